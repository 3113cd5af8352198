//! State of a virtual host that survives a restart.

use std::collections::BTreeSet;

use super::Vhost;
use crate::lease::{Lease, LeasedOn};
use crate::link::Link;
use crate::mac::Mac;
use crate::saved::SavedInterface;
use crate::settings::LinkLayer;
use crate::time::Now;

impl Vhost {
    /// State for the next instance.
    pub(crate) fn saved(&self, now: Now) -> SavedInterface {
        let (sealed, accepted) = self.dialect.counters();
        SavedInterface {
            settings: self.settings.clone(),
            state: self.state(),
            sealed,
            accepted,
            at: now,
        }
    }

    /// Returns true if the kernel still has one of the addresses in its place. Then the previous
    /// instance was MASTER, and no backup has waited long enough to take over.
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
