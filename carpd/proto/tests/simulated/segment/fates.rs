//! Faults of single advertisements, and of one address family between two hosts.

use std::net::IpAddr;
use std::time::Duration;

use carp_proto::Family;
use carp_proto::wire::carp::{Header, PROTOCOL};
use carp_proto::wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame};
use carp_proto::wire::{arp, ipv4, ipv6, ndisc};

use super::Segment;

/// Fate of one advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    /// Lost.
    Lost,
    /// Delayed.
    Late(Duration),
    /// Delivered, and delivered again later.
    Twice(Duration),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Fates {
    /// Fates of the next advertisements from one host to another.
    next: Vec<(usize, usize, Family, Fate)>,
}

impl Fates {
    /// Delays of the copies of a frame; `None` without a fate.
    pub(super) fn of(&mut self, from: usize, to: usize, frame: &[u8]) -> Option<Vec<Duration>> {
        if self.next.is_empty() {
            return None;
        }
        let (family, _) = advertisement(frame)?;
        let decided = |it: &(usize, usize, Family, Fate)| (it.0, it.1, it.2) == (from, to, family);
        let position = self.next.iter().position(decided)?;
        Some(match self.next.remove(position).3 {
            Fate::Lost => Vec::new(),
            Fate::Late(late) => vec![late],
            Fate::Twice(later) => vec![Duration::ZERO, later],
        })
    }
}

impl Segment {
    /// Sets the fate of the next advertisement of `family` from one host to another.
    pub(crate) fn decide(&mut self, from: usize, to: usize, family: Family, fate: Fate) {
        self.fates.next.push((from, to, family, fate));
    }

    /// Stops advertisements of `family` from one host to another, or lets them pass again.
    pub(crate) fn cut_family(&mut self, from: usize, to: usize, family: Family, cut: bool) {
        let entry = (from, to, ethertype(family));
        if cut {
            self.cut_ethertypes.insert(entry);
        } else {
            self.cut_ethertypes.remove(&entry);
        }
    }

    /// Returns true if advertisements of `family` from one host to another are stopped.
    pub(crate) fn is_family_cut(&self, from: usize, to: usize, family: Family) -> bool {
        self.cut_ethertypes.contains(&(from, to, ethertype(family)))
    }

    /// Removes all fates.
    pub(crate) fn forget_fates(&mut self) {
        self.fates.next.clear();
    }
}

const fn ethertype(family: Family) -> u16 {
    match family {
        Family::V4 => ETHERTYPE_IPV4,
        Family::V6 => ETHERTYPE_IPV6,
    }
}

/// Address that a frame announces.
pub(crate) fn announced(frame: &[u8]) -> Option<IpAddr> {
    let frame = Frame::parse(frame)?;
    match frame.ethertype {
        ETHERTYPE_ARP => {
            let packet = arp::Packet::parse(frame.payload).ok()?;
            (packet.sender == packet.target).then_some(packet.sender.into())
        }
        ETHERTYPE_IPV6 => {
            let packet = ipv6::Packet::parse(frame.payload).ok()?;
            let found = ndisc::Advertisement::parse(packet.source, packet.payload).ok()?;
            Some(found.target.into())
        }
        _ => None,
    }
}

/// Family and header of an advertisement.
pub(super) fn advertisement(frame: &[u8]) -> Option<(Family, Header)> {
    let frame = Frame::parse(frame)?;
    let (family, protocol, payload) = match frame.ethertype {
        ETHERTYPE_IPV4 => {
            let packet = ipv4::Packet::parse(frame.payload).ok()?;
            (Family::V4, packet.protocol, packet.payload)
        }
        ETHERTYPE_IPV6 => {
            let packet = ipv6::Packet::parse(frame.payload).ok()?;
            (Family::V6, packet.next_header, packet.payload)
        }
        _ => return None,
    };
    let header = Header::parse(payload).ok()?;
    (protocol == PROTOCOL).then_some((family, header))
}
