//! Warns of addresses and devices of this host that lose something while a physical interface
//! carries carp interfaces. The log names each once.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use carp_proto::IfIndex;
use tracing::warn;

use super::worker::Worker;

/// Devices that may lose, and the names that the log has had.
#[derive(Debug, Default)]
pub(super) struct Bystanders {
    /// The macvlan and macvtap devices of others: their number, what they are on, their name.
    guests: BTreeMap<u32, (IfIndex, String)>,
    named_guests: BTreeSet<u32>,
    named_addresses: BTreeSet<(IfIndex, IpAddr)>,
}

impl Bystanders {
    /// The device of this number is on an interface, or `None`: gone.
    pub(super) fn follow(&mut self, number: u32, guest: Option<(IfIndex, String)>) {
        if let Some(guest) = guest {
            self.guests.insert(number, guest);
        } else {
            self.guests.remove(&number);
            self.named_guests.remove(&number);
        }
    }
}

impl Worker {
    /// Sets the sysctls of a physical interface, and names everything that loses by that.
    pub(super) fn attach(&mut self, interface: IfIndex) {
        self.sysctls.attach(interface, &self.netlink);
        self.name_silenced(interface);
        self.name_guests();
    }

    /// Names the addresses of other interfaces for which a physical interface answered ARP
    /// requests before its `arp_ignore` was changed. One interface has `changed`.
    pub(super) fn name_silenced(&mut self, changed: IfIndex) {
        let physical: Vec<IfIndex> = self.sysctls.answering_less().collect();
        for interface in physical {
            let lost = self.own.elsewhere_in_subnets_of(interface, changed);
            let named = &mut self.bystanders.named_addresses;
            let fresh: Vec<IpAddr> = lost
                .into_iter()
                .filter(|address| named.insert((interface, *address)))
                .collect();
            let Some((first, rest)) = fresh.split_first() else {
                continue;
            };
            let Some(name) = self.netlink.name_of(interface) else {
                continue;
            };
            let more = match rest.len() {
                0 => String::new(),
                count => format!(" and {count} more"),
            };
            warn!(
                "{name}: ARP requests for {first}{more} of another interface are not answered any \
                 more: give it to {name}, see carp(4)"
            );
        }
    }

    /// Names the devices of others on a physical interface that carries carp interfaces: they get
    /// no frame that leaves by that interface.
    pub(super) fn name_guests(&mut self) {
        let attached: BTreeSet<IfIndex> = self.sysctls.attached().collect();
        let Bystanders {
            guests,
            named_guests,
            ..
        } = &mut self.bystanders;
        for (number, (interface, guest)) in guests {
            if !attached.contains(interface) || !named_guests.insert(*number) {
                continue;
            }
            let Some(name) = self.netlink.name_of(*interface) else {
                continue;
            };
            warn!(
                "{guest}: as a macvlan on {name} it gets no replies from virtual addresses while \
                 this host is MASTER and {name} has an address in their subnet: see carp(4)"
            );
        }
    }
}
