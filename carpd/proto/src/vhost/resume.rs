//! What a virtual host remembers over a restart.

use core::time::Duration;
use std::collections::BTreeSet;

use super::Vhost;
use crate::action::{Action, Notice};
use crate::family::Family;
use crate::lease::{Lease, LeasedOn};
use crate::link::Link;
use crate::mac::Mac;
use crate::memory::{Accepted, Remembered};
use crate::settings::LinkLayer;
use crate::time::Now;

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
                    counter: replay.spent().floor(),
                    at: replay.accepted_at(),
                    spent: replay.spent().counters().collect(),
                }
            }),
            at: now,
        }
    }

    /// Goes on behind every counter of the carpd before. `leased`: the kernel has kept its
    /// addresses.
    pub(crate) fn recall(&mut self, before: &Remembered, leased: bool, now: Now) {
        let counters = before.sealed.into_iter().zip(&before.accepted);
        for (family, (sealed, accepted)) in Family::ALL.into_iter().zip(counters) {
            let until = accepted.until(now);
            let replay = self.replay.of_mut(family);
            let last = before.sealed_until(sealed, leased, now);
            replay.resume(last.max(until), &accepted.spent, now.instant);
            self.advertiser.resume(family, last);
            self.advertiser.follow(family, until);
        }
    }

    /// Whatever is reckoned with counters begins with this: if the clock was set back, those that
    /// are further ahead of it than `window` count no more.
    pub(crate) fn follow_clock(&mut self, now: Now, window: Duration, out: &mut Vec<Action>) {
        for family in Family::ALL {
            self.replay.of_mut(family).follow_clock(now, window);
        }
        if let Some(ahead) = self.advertiser.follow_clock(now, window) {
            let unit = self.unit;
            out.push(Action::Notice(Notice::ClockSetBack { unit, ahead }));
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
