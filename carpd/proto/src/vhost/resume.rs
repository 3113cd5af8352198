//! What a virtual host remembers over a restart.

use std::collections::BTreeSet;

use super::Vhost;
use crate::family::Family;
use crate::link::Link;
use crate::memory::{Accepted, Lease, LeasedOn, Remembered};
use crate::settings::LinkLayer;
use crate::time::Now;
use crate::wire::ethernet::Mac;

impl Vhost {
    /// What the next carpd must know.
    pub(crate) fn remembered(&self, now: Now) -> Remembered {
        Remembered {
            settings: self.settings.clone(),
            state: self.state(),
            sealed: Family::ALL.map(|family| self.advertiser.last(family)),
            accepted: Family::ALL.map(|family| {
                let replay = self.replay.of(family);
                Accepted {
                    counter: replay.newest(),
                    at: replay.newest_at(),
                }
            }),
            at: now,
        }
    }

    /// Goes on behind every counter of the carpd before. `leased`: the kernel has kept its
    /// addresses.
    pub(crate) fn recall(&mut self, before: &Remembered, leased: bool, now: Now) {
        let counters = before.sealed.into_iter().zip(before.accepted);
        for (family, (sealed, accepted)) in Family::ALL.into_iter().zip(counters) {
            let accepted = accepted.until(now);
            self.replay.of_mut(family).resume(accepted, now.instant);
            let sealed = before.sealed_until(sealed, leased, now);
            self.advertiser.follow(family, sealed.max(accepted));
        }
    }

    /// Whether the kernel still has one of its addresses where it belongs: it was MASTER, and none
    /// of its backups has waited long enough to take over.
    pub(crate) fn is_leased(&self, link: Option<&Link>, leases: &BTreeSet<Lease>) -> bool {
        let (Some(link), Some(vhid)) = (link, self.settings.vhid) else {
            return false;
        };
        let on = match self.settings.lladdr {
            LinkLayer::Virtual => LeasedOn::Device {
                unit: self.unit,
                parent: link.index,
                mac: Mac::virtual_of(vhid),
            },
            LinkLayer::Parent => LeasedOn::Parent(link.index),
        };
        self.settings.addresses.iter().any(|address| {
            leases.contains(&Lease {
                on,
                address: address.address,
            })
        })
    }
}
