//! Received packets: the checks in their order, and the counter that each fault raises.

use core::net::IpAddr;

use super::Engine;
use crate::action::{Action, Notice};
use crate::counters::Counter;
use crate::dialect::{Dialect, Heard, Mismatch, Received};
use crate::family::Family;
use crate::fault::Fault;
use crate::link::IfIndex;
use crate::name::Unit;
use crate::numbers::Vhid;
use crate::status::StateName;
use crate::time::Now;
use crate::vhost::Event;
use crate::wire::carp::{GROUP_V4, GROUP_V6, PROTOCOL};
use crate::wire::ethernet::{ETHERTYPE_ARP, Frame};
use crate::wire::ip;

/// Origin of a packet and the virtual host that it is for, as far as they are known.
#[derive(Clone, Copy)]
struct Origin {
    device: IfIndex,
    unit: Option<Unit>,
    source: Option<IpAddr>,
}

impl Engine {
    /// Handles an Ethernet frame. Frames that carry neither ARP nor protocol 112 are ignored.
    pub(super) fn packet(
        &mut self,
        device: IfIndex,
        frame: &[u8],
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let Some(frame) = Frame::parse(frame) else {
            return;
        };
        if frame.ethertype == ETHERTYPE_ARP {
            return self.arp_request(device, &frame, out);
        }
        let Some(family) = ip::family_of(&frame, PROTOCOL) else {
            return;
        };
        self.unattributed.raise(received(family));
        if !self.sysctls.allow {
            return;
        }
        let packet = ip::Packet::parse(family, &frame);
        let origin = Origin {
            device,
            unit: None,
            source: packet.ok().map(|packet| packet.source),
        };
        match packet {
            Ok(packet) if !self.is_for_us(device, packet.destination) => {}
            Ok(_) | Err(_) if !self.carries(device) => {
                self.refuse(origin, Fault::NoInterface, now, out);
            }
            Err(_) => self.refuse(origin, Fault::IpHeader, now, out),
            Ok(packet) => match Received::parse(&packet) {
                Ok(received) => self.advertisement(origin, &received, now, out),
                Err(Fault::Vrrp { version, group, .. }) => {
                    let unit = self.running(device, group);
                    let fault = Fault::Vrrp {
                        version,
                        group,
                        unit,
                    };
                    self.refuse(origin, fault, now, out);
                }
                Err(fault) => self.refuse(origin, fault, now, out),
            },
        }
    }

    fn advertisement(
        &mut self,
        mut origin: Origin,
        received: &Received,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let (device, vhid) = (origin.device, received.vhid());
        let Some(unit) = self.running(device, vhid) else {
            if self.bound_to(device, vhid).is_some() {
                // A virtual host in INIT is expected to hear its peers.
                self.count_refused(origin, Counter::Badvhid);
            } else {
                self.refuse(origin, Fault::NoVhid(vhid), now, out);
            }
            return;
        };
        origin.unit = Some(unit);
        self.attribute(unit, received.family);
        let Some(vhost) = self.vhosts.get_mut(&unit) else {
            return;
        };
        let sender = received.sender;
        match vhost.dialect.hear(received, &self.sysctls, now, out) {
            Heard::Valid(claim) => {
                if self.sysctls.replay == 2 {
                    self.changes.heard(unit);
                }
                self.event(unit, Event::Heard { sender, claim }, now, out);
            }
            Heard::InStep(claim, fault) => {
                self.event(unit, Event::HeardInStep { sender, claim }, now, out);
                self.refuse(origin, fault, now, out);
            }
            Heard::Refused(Fault::Digest) => {
                self.refuse_digest(origin, unit, received, now, out);
            }
            Heard::Refused(fault) => self.refuse(origin, fault, now, out),
        }
    }

    /// Counts a packet that failed a check and, unless `log` is 0, reports it at a limited rate.
    fn refuse(&mut self, origin: Origin, fault: Fault, now: Now, out: &mut Vec<Action>) {
        let counter = fault.counter();
        self.count_refused(origin, counter);
        if let Some(held_back) = self.may_report(origin, counter, now) {
            self.report(origin, fault.to_string(), held_back, out);
        }
    }

    /// As [`Engine::refuse`]. Only a wrong digest that is reported is examined: the commonest mistake is
    /// a peer with our password and a different list of addresses.
    fn refuse_digest(
        &mut self,
        origin: Origin,
        unit: Unit,
        received: &Received,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let counter = Fault::Digest.counter();
        self.count_refused(origin, counter);
        let Some(held_back) = self.may_report(origin, counter, now) else {
            return;
        };
        let Some(vhost) = self.vhosts.get_mut(&unit) else {
            return;
        };
        let mismatch = Dialect::explain(&vhost.settings, received);
        match mismatch {
            Mismatch::PeerLacks(_) => vhost.counters.raise(Counter::Badaddrs),
            Mismatch::Unknown => {}
        }
        self.report(origin, mismatch.to_string(), held_back, out);
    }

    fn count_refused(&mut self, origin: Origin, counter: Counter) {
        match origin.unit.and_then(|unit| self.vhosts.get_mut(&unit)) {
            Some(vhost) => {
                vhost.counters.raise(counter);
                self.touched.insert(vhost.unit);
            }
            None => self.unattributed.raise(counter),
        }
    }

    /// Number of packets held back since the last report, if this one may be reported.
    fn may_report(&mut self, origin: Origin, counter: Counter, now: Now) -> Option<u64> {
        let is_logged = self.sysctls.log > 0;
        is_logged
            .then(|| self.limiter.admit(origin.device, counter, now.instant))
            .flatten()
    }

    fn report(&self, origin: Origin, text: String, held_back: u64, out: &mut Vec<Action>) {
        let name = self.links.get(&origin.device).map(|link| link.name.clone());
        let Origin {
            device,
            unit,
            source,
        } = origin;
        out.push(Action::Notice(Notice::BadPacket {
            device,
            name,
            unit,
            source,
            text,
            held_back,
        }));
    }

    /// Moves a received packet from the unattributed counters to the virtual host it is for.
    fn attribute(&mut self, unit: Unit, family: Family) {
        let counter = received(family);
        if let Some(vhost) = self.vhosts.get_mut(&unit) {
            vhost.counters.raise(counter);
            self.unattributed.take_back(counter);
        }
    }

    /// Virtual host with this vhid on this physical interface, unless it is in INIT.
    fn running(&self, device: IfIndex, vhid: u8) -> Option<Unit> {
        self.bound_to(device, vhid)
            .filter(|unit| self.state(*unit) != StateName::Init)
    }

    fn bound_to(&self, device: IfIndex, vhid: u8) -> Option<Unit> {
        let vhid = Vhid::try_from(u64::from(vhid)).ok()?;
        self.bound.get(&(device, vhid)).copied()
    }

    /// Returns true if a packet was sent to the group, or to the physical interface itself (FreeBSD's
    /// `peer`).
    fn is_for_us(&self, device: IfIndex, destination: IpAddr) -> bool {
        destination == IpAddr::V4(GROUP_V4)
            || destination == IpAddr::V6(GROUP_V6)
            || self
                .links
                .get(&device)
                .is_some_and(|link| link.has(destination))
    }
}

const fn received(family: Family) -> Counter {
    match family {
        Family::V4 => Counter::Ipackets,
        Family::V6 => Counter::Ipackets6,
    }
}
