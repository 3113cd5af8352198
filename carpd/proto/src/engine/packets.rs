//! What comes in from the wire: the checks in their order, and the counter each failure raises.

use core::net::{IpAddr, Ipv4Addr};

use super::Engine;
use crate::action::{Action, Notice};
use crate::advertiser::Sender;
use crate::balance::{Candidate, answerer};
use crate::counters::Counter;
use crate::dialect::carp::mismatch::Mismatch;
use crate::dialect::carp::seal::Sealed;
use crate::family::Family;
use crate::link::IfIndex;
use crate::mac::Mac;
use crate::name::Unit;
use crate::numbers::Vhid;
use crate::status::StateName;
use crate::time::Now;
use crate::vhost::{ArpDuty, Event};
use crate::wire::carp::{self, Header, HeaderError};
use crate::wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame};
use crate::wire::{arp, frames, ipv4, ipv6};

/// What an IP header says, of either family.
struct Packet<'a> {
    family: Family,
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    payload: &'a [u8],
}

impl Packet<'_> {
    fn sender(&self) -> Sender {
        Sender {
            source: self.source,
            host: carp::parse_host(self.payload),
        }
    }
}

/// Where a refused packet came from and whom it was for, as far as is known.
#[derive(Clone, Copy)]
struct Origin {
    device: IfIndex,
    unit: Option<Unit>,
    source: Option<IpAddr>,
}

impl Engine {
    /// One Ethernet frame. Whatever is neither an advertisement nor an ARP request is not ours.
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
        let parsed = match frame.ethertype {
            ETHERTYPE_ARP => return self.arp_request(device, &frame, out),
            ETHERTYPE_IPV4 if is_carp(frame.payload, 9) => {
                self.count(Counter::Ipackets);
                ipv4::Packet::parse(frame.payload).map(|packet| Packet {
                    family: Family::V4,
                    source: packet.source.into(),
                    destination: packet.destination.into(),
                    ttl: packet.ttl,
                    payload: packet.payload,
                })
            }
            ETHERTYPE_IPV6 if is_carp(frame.payload, 6) => {
                self.count(Counter::Ipackets6);
                ipv6::Packet::parse(frame.payload).map(|packet| Packet {
                    family: Family::V6,
                    source: packet.source.into(),
                    destination: packet.destination.into(),
                    ttl: packet.hop_limit,
                    payload: packet.payload,
                })
            }
            _ => return,
        };
        if !self.sysctls.allow {
            return;
        }
        let origin = Origin {
            device,
            unit: None,
            source: None,
        };
        match parsed {
            Ok(packet) => self.advertisement(device, &packet, now, out),
            Err(_) if !self.carries(device) => {
                self.refuse(origin, Counter::Badif, "no carp interface here", now, out);
            }
            Err(_) => {
                self.refuse(
                    origin,
                    Counter::Hdrops,
                    "shorter than its IP header says",
                    now,
                    out,
                );
            }
        }
    }

    fn count(&mut self, counter: Counter) {
        self.unattributed.raise(counter);
    }

    fn advertisement(
        &mut self,
        device: IfIndex,
        packet: &Packet<'_>,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let mut origin = Origin {
            device,
            unit: None,
            source: Some(packet.source),
        };
        if !self.is_for_us(device, packet.destination) {
            return;
        }
        if !self.carries(device) {
            return self.refuse(origin, Counter::Badif, "no carp interface here", now, out);
        }
        if packet.ttl != carp::TTL {
            let text = format!("TTL {} instead of 255: forwarded by a router", packet.ttl);
            return self.refuse(origin, Counter::Badttl, &text, now, out);
        }
        let header = match Header::parse(packet.payload) {
            Ok(header) => header,
            Err(HeaderError::Short) => {
                let text = self.short_text(device, packet.payload);
                return self.refuse(origin, Counter::Badlen, &text, now, out);
            }
            Err(HeaderError::Checksum) => {
                return self.refuse(origin, Counter::Badsum, "checksum wrong", now, out);
            }
        };
        let Some(unit) = self.running(device, header.vhid) else {
            if self.bound_to(device, header.vhid).is_some() {
                // Ours, in INIT: that its peers advertise is nothing to report.
                self.refuse_quietly(origin, Counter::Badvhid);
                return;
            }
            let text = format!("no virtual host with vhid {} here", header.vhid);
            return self.refuse(origin, Counter::Badvhid, &text, now, out);
        };
        origin.unit = Some(unit);
        self.attribute(unit, packet.family);
        if header.version != carp::VERSION {
            let text = format!("version {} instead of 2", header.version);
            return self.refuse(origin, Counter::Badver, &text, now, out);
        }
        match self.authentic(unit, packet, &header, now, out) {
            Ok(()) => {
                let event = Event::Heard {
                    sender: packet.sender(),
                    header: &header,
                };
                self.event(unit, event, now, out);
            }
            Err(Doubt::Digest) => self.refuse_digest(origin, unit, &header, now, out),
            Err(Doubt::Alike(text)) => {
                let event = Event::HeardAlike {
                    sender: packet.sender(),
                    header: &header,
                };
                self.event(unit, event, now, out);
                self.refuse(origin, Counter::Badauth, &text, now, out);
            }
            Err(Doubt::Other(text)) => self.refuse(origin, Counter::Badauth, &text, now, out),
        }
    }

    /// Checks 9 and 10: digest, our own come back, repetition.
    fn authentic(
        &mut self,
        unit: Unit,
        packet: &Packet<'_>,
        header: &Header,
        now: Now,
        out: &mut Vec<Action>,
    ) -> Result<(), Doubt> {
        let (mode, window) = (self.sysctls.replay, self.sysctls.replay_window);
        let Some(vhost) = self.vhosts.get_mut(&unit) else {
            return Err(Doubt::Digest);
        };
        if !vhost.advertiser.verify(header) {
            return Err(Doubt::Digest);
        }
        if vhost
            .advertiser
            .is_own(packet.family, packet.sender(), header)
        {
            let text = "our own advertisement came back: network loop";
            return Err(Doubt::Other(text.to_owned()));
        }
        vhost.follow_clock(now, window, out);
        let is_alike = header.counter == vhost.advertiser.last(packet.family);
        let replay = vhost.replay.of_mut(packet.family);
        replay.begin(vhost.advertiser.last(packet.family));
        replay
            .check(mode, window, now, packet.source, header)
            .map_err(|refusal| {
                if mode == 2 && is_alike {
                    Doubt::Alike(refusal.to_string())
                } else {
                    Doubt::Other(refusal.to_string())
                }
            })?;
        // A peer in mode 2 believes no counter that is behind its own. Elsewhere a counter is any
        // number: one from the future is not followed.
        if mode == 2 || Sealed::open(header.counter).unix() <= now.unix {
            vhost.advertiser.follow(packet.family, header.counter);
        }
        if mode == 2 {
            self.changes.heard(unit);
        }
        Ok(())
    }

    /// Counts a packet that failed a check and, unless `log` is 0, reports it now and then.
    fn refuse(
        &mut self,
        origin: Origin,
        counter: Counter,
        text: &str,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        if self.refuse_quietly(origin, counter) {
            self.report(origin, counter, text, now, out);
        }
    }

    /// A wrong digest is looked into when it is reported: a peer with our password but another
    /// list of addresses is the commonest mistake.
    fn refuse_digest(
        &mut self,
        origin: Origin,
        unit: Unit,
        header: &Header,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        if !self.refuse_quietly(origin, Counter::Badauth) {
            return;
        }
        let Some(held_back) = self
            .limiter
            .admit(origin.device, Counter::Badauth, now.instant)
        else {
            return;
        };
        let Some(vhost) = self.vhosts.get_mut(&unit) else {
            return;
        };
        let addresses: Vec<IpAddr> = vhost
            .settings
            .addresses
            .iter()
            .map(|each| each.address)
            .collect();
        let Some(vhid) = vhost.settings.vhid else {
            return;
        };
        let mismatch = Mismatch::explain(
            &vhost.settings.key,
            vhid,
            &addresses,
            header.counter,
            &header.digest,
        );
        match mismatch {
            Mismatch::PeerLacks(_) => vhost.counters.raise(Counter::Badaddrs),
            Mismatch::Unknown => {}
        }
        self.notice(origin, mismatch.to_string(), held_back, out);
    }

    fn refuse_quietly(&mut self, origin: Origin, counter: Counter) -> bool {
        match origin.unit.and_then(|unit| self.vhosts.get_mut(&unit)) {
            Some(vhost) => {
                vhost.counters.raise(counter);
                self.touched.insert(vhost.unit);
            }
            None => self.unattributed.raise(counter),
        }
        self.sysctls.log > 0
    }

    fn report(
        &mut self,
        origin: Origin,
        counter: Counter,
        text: &str,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        if let Some(held_back) = self.limiter.admit(origin.device, counter, now.instant) {
            self.notice(origin, text.to_owned(), held_back, out);
        }
    }

    fn notice(&self, origin: Origin, text: String, held_back: u64, out: &mut Vec<Action>) {
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

    /// VRRP shares the protocol number, the groups and the virtual MACs.
    fn short_text(&self, device: IfIndex, payload: &[u8]) -> String {
        let [first, group, ..] = *payload else {
            return format!("{} bytes, 36 at least", payload.len());
        };
        let version = first >> 4;
        let looks_like_vrrp = first & 0x0f == 1 && (2..=3).contains(&version);
        match self.running(device, group) {
            _ if !looks_like_vrrp => format!("{} bytes, 36 at least", payload.len()),
            Some(unit) => format!(
                "VRRPv{version} group {group}: its virtual MAC is that of {unit}; use another vhid"
            ),
            None => format!("VRRPv{version} group {group}"),
        }
    }

    /// Moves what was counted for nobody to the virtual host it was for. Whatever is made of the
    /// packet then touches that.
    fn attribute(&mut self, unit: Unit, family: Family) {
        let counter = match family {
            Family::V4 => Counter::Ipackets,
            Family::V6 => Counter::Ipackets6,
        };
        if let Some(vhost) = self.vhosts.get_mut(&unit) {
            vhost.counters.raise(counter);
            self.unattributed.take_back(counter);
        }
    }

    /// The virtual host that is not in INIT and has this vhid on this physical interface.
    fn running(&self, device: IfIndex, vhid: u8) -> Option<Unit> {
        self.bound_to(device, vhid)
            .filter(|unit| self.state(*unit) != StateName::Init)
    }

    fn bound_to(&self, device: IfIndex, vhid: u8) -> Option<Unit> {
        let vhid = Vhid::try_from(u64::from(vhid)).ok()?;
        self.bound.get(&(device, vhid)).copied()
    }

    /// Whether it went to the group or to the physical interface itself (FreeBSD's `peer`).
    fn is_for_us(&self, device: IfIndex, destination: IpAddr) -> bool {
        destination == IpAddr::V4(carp::GROUP_V4)
            || destination == IpAddr::V6(carp::GROUP_V6)
            || self
                .links
                .get(&device)
                .is_some_and(|link| link.has(destination))
    }

    fn arp_request(&self, device: IfIndex, frame: &Frame<'_>, out: &mut Vec<Action>) {
        let Ok(request) = arp::Packet::parse(frame.payload) else {
            return;
        };
        if request.operation != arp::Operation::Request || request.sender == request.target {
            return;
        }
        let Some(mac) = self.answering_mac(device, request.target, request.sender) else {
            return;
        };
        let frame = frames::arp_reply(mac, request.target, request.sender_mac, request.sender);
        out.push(Action::Resolve { device, frame });
    }

    /// The virtual MAC of the virtual host that must answer for `target`, if carpd does the
    /// answering there and it is this host's turn. Unicast requests follow the same rule.
    ///
    /// Virtual hosts in INIT count: all hosts must divide the clients by the same number, also
    /// while a virtual host runs on some of them only.
    fn answering_mac(&self, device: IfIndex, target: Ipv4Addr, source: Ipv4Addr) -> Option<Mac> {
        let candidates: Vec<Candidate> = self
            .on(device)
            .filter(|vhost| vhost.can_share(target.into()))
            .map(|vhost| Candidate {
                unit: vhost.unit,
                master: vhost.state() == StateName::Master,
            })
            .collect();
        let unit = answerer(&candidates, source, self.sysctls.arpbalance)?;
        let vhost = self.vhosts.get(&unit)?;
        match vhost.arp {
            ArpDuty::Kernel => None,
            ArpDuty::Carpd { .. } => vhost.settings.vhid.map(Mac::virtual_of),
        }
    }
}

/// Why a header is not believed.
enum Doubt {
    Digest,
    /// Its counter is the last one that we sealed ourselves.
    Alike(String),
    Other(String),
}

fn is_carp(packet: &[u8], offset: usize) -> bool {
    packet.get(offset) == Some(&carp::PROTOCOL)
}
