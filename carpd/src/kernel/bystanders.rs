//! Warnings about addresses and devices of this host that carpd affects while a physical interface carries
//! carp interfaces. The log names each once.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use carp_proto::IfIndex;
use tracing::warn;

use super::holdings::Holdings;

/// Addresses and devices that carpd may affect, and those that the log has named.
#[derive(Debug, Default)]
pub(super) struct Bystanders {
    /// Macvlan and macvtap devices of other programs: number, physical interface, name.
    guests: BTreeMap<u32, (IfIndex, String)>,
    named_guests: BTreeSet<u32>,
    named_addresses: BTreeSet<(IfIndex, IpAddr)>,
}

impl Bystanders {
    /// Follows a change of the guest with this number, which has this physical interface and name, or is
    /// gone.
    pub(super) fn follow(&mut self, number: u32, guest: Option<(IfIndex, String)>) {
        if let Some(guest) = guest {
            self.guests.insert(number, guest);
        } else {
            self.guests.remove(&number);
            self.named_guests.remove(&number);
        }
    }

    /// Names the addresses of other interfaces for which a physical interface answered ARP requests
    /// before carpd set its `arp_ignore`. The addresses of one interface have `changed`.
    pub(super) fn name_silenced(&mut self, changed: IfIndex, holdings: &Holdings) {
        for interface in holdings.attached.answering_less() {
            let lost = holdings.own.elsewhere_in_subnets_of(interface, changed);
            let named = &mut self.named_addresses;
            let new: Vec<IpAddr> = lost
                .into_iter()
                .filter(|address| named.insert((interface, *address)))
                .collect();
            let Some((first, rest)) = new.split_first() else {
                continue;
            };
            let Some(name) = holdings.netlink.name_of(interface) else {
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

    /// Names the guests of physical interfaces that carry carp interfaces: they receive no frame that
    /// leaves by that interface.
    pub(super) fn name_guests(&mut self, holdings: &Holdings) {
        let attached: BTreeSet<IfIndex> = holdings.attached.all().collect();
        for (number, (interface, guest)) in &self.guests {
            if !attached.contains(interface) || !self.named_guests.insert(*number) {
                continue;
            }
            let Some(name) = holdings.netlink.name_of(*interface) else {
                continue;
            };
            warn!(
                "{guest}: as a macvlan on {name} it gets no replies from virtual addresses while \
                 this host is MASTER and {name} has an address in their subnet: see carp(4)"
            );
        }
    }
}
