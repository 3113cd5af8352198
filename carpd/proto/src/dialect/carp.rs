//! CARP: its checks in their order, its digest and its sealed counter.
//!
//! **Invariant:** digests cover the settings as a whole, so no advertisement carries half of a change.

pub(crate) mod digest;
pub(crate) mod mismatch;
pub(crate) mod replay;
mod restart;
pub(crate) mod seal;
pub(crate) mod spent;

use core::time::Duration;
use std::collections::VecDeque;

use self::digest::Digests;
use self::mismatch::Mismatch;
use self::replay::Replay;
use self::seal::{Seal, Sealed};
use crate::action::{Action, Notice};
use crate::claim::Claim;
use crate::family::{Family, PerFamily};
use crate::fault::Fault;
use crate::key::Key;
use crate::link::{Link, link_layer_address};
use crate::name::Unit;
use crate::sender::Sender;
use crate::settings::Settings;
use crate::sysctl::Sysctls;
use crate::time::Now;
use crate::wire::carp::{
    ADVERTISEMENT, AUTHLEN, BOW_OUT, Header, HeaderError, TTL, VERSION, parse_host,
};
use crate::wire::frames;
use crate::wire::ip::Packet;

/// Number of our own advertisements of each family that are remembered to detect loops.
const SENT_LIMIT: usize = 8;

/// The value of `net.inet.carp.replay` that requires sealed counters.
const STRICT: u8 = 2;

/// CARP packet that passed the checks that need no virtual host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) sender: Sender,
    pub(crate) family: Family,
    header: Header,
}

impl Received {
    /// Checks the TTL, the length and the checksum.
    pub(crate) fn parse(packet: &Packet<'_>) -> Result<Self, Fault> {
        if packet.ttl != TTL {
            return Err(Fault::Ttl(packet.ttl));
        }
        let header = Header::parse(packet.payload).map_err(|error| match error {
            HeaderError::Short => short(packet.payload),
            HeaderError::Checksum => Fault::Checksum,
        })?;
        Ok(Self {
            sender: Sender {
                source: packet.source,
                host: parse_host(packet.payload),
            },
            family: packet.family(),
            header,
        })
    }

    pub(crate) const fn vhid(&self) -> u8 {
        self.header.vhid
    }

    const fn claim(&self) -> Claim {
        Claim {
            advbase: self.header.advbase,
            advskew: self.header.advskew,
            demotion: self.header.demotion,
            bows_out: self.header.is_bow_out(),
        }
    }
}

/// Result of the checks that need a virtual host.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heard {
    /// A valid advertisement of a peer.
    Valid(Claim),
    /// An advertisement with a good digest that is refused because this host sealed the same counter:
    /// two equal masters may be sealing in step.
    InStep(Claim, Fault),
    Refused(Fault),
}

/// CARP as one virtual host uses it.
#[derive(Clone, Debug)]
pub(crate) struct Carp {
    unit: Unit,
    digests: Option<Digests>,
    /// Digests of the password that is accepted but never sent.
    accepted: Option<Digests>,
    seals: PerFamily<Seal>,
    sent: PerFamily<VecDeque<(Sender, u64, [u8; 20])>>,
    replay: PerFamily<Replay>,
}

impl Carp {
    pub(crate) fn new(unit: Unit) -> Self {
        Self {
            unit,
            digests: None,
            accepted: None,
            seals: PerFamily::default(),
            sent: PerFamily::default(),
            replay: PerFamily::default(),
        }
    }

    /// Computes the part of the digests that all advertisements under `settings` have in common.
    pub(crate) fn configure(&mut self, settings: &Settings) {
        let addresses = settings.plain_addresses();
        let digests = |key: &Key| {
            settings
                .vhid
                .map(|vhid| Digests::new(key, vhid, &addresses))
        };
        self.accepted = settings.accept_key.as_ref().and_then(digests);
        self.digests = digests(&settings.key);
    }

    /// Checks version, digest, loop and replay, in this order.
    pub(crate) fn hear(
        &mut self,
        received: &Received,
        sysctls: &Sysctls,
        now: Now,
        out: &mut Vec<Action>,
    ) -> Heard {
        let (family, header) = (received.family, &received.header);
        if header.version != VERSION {
            return Heard::Refused(Fault::Version(header.version));
        }
        if !self.verifies(header) {
            return Heard::Refused(Fault::Digest);
        }
        if self.is_own(received) {
            return Heard::Refused(Fault::Loop);
        }
        self.follow_clock(now, sysctls.replay_window, out);
        let last = self.seals.of(family).last();
        let replay = self.replay.of_mut(family);
        replay.begin(last);
        let source = received.sender.source;
        let (mode, window) = (sysctls.replay, sysctls.replay_window);
        if let Err(refusal) = replay.check(mode, window, now, source, header) {
            let fault = refusal.into();
            return if mode == STRICT && header.counter == last {
                Heard::InStep(received.claim(), fault)
            } else {
                Heard::Refused(fault)
            };
        }
        // A strict peer refuses counters that are not greater than its own. In the other modes a
        // counter can be any number, so one from the future is ignored.
        if mode == STRICT || Sealed::open(header.counter).unix() <= now.unix {
            self.seals.of_mut(family).follow(header.counter);
        }
        Heard::Valid(received.claim())
    }

    /// Finds out why the digest of `received` is wrong.
    pub(crate) fn explain(settings: &Settings, received: &Received) -> Mismatch {
        let (counter, digest) = (received.header.counter, &received.header.digest);
        let addresses = settings.plain_addresses();
        settings.vhid.map_or(Mismatch::Unknown, |vhid| {
            Mismatch::explain(&settings.key, vhid, &addresses, counter, digest)
        })
    }

    /// Frames of one advertisement of each family.
    pub(crate) fn advertise(
        &mut self,
        claim: Claim,
        settings: &Settings,
        link: &Link,
        sysctls: &Sysctls,
        now: Now,
        out: &mut Vec<Action>,
    ) -> Vec<Vec<u8>> {
        self.follow_clock(now, sysctls.replay_window, out);
        settings
            .families()
            .filter_map(|family| self.frame(family, claim, settings, link, sysctls, now))
            .collect()
    }

    fn frame(
        &mut self,
        family: Family,
        claim: Claim,
        settings: &Settings,
        link: &Link,
        sysctls: &Sysctls,
        now: Now,
    ) -> Option<Vec<u8>> {
        let vhid = settings.vhid?;
        let mac = link_layer_address(settings, Some(link))?;
        let sender = Sender::own(family, settings, link)?;
        let digests = self.digests.as_ref()?;
        let Claim {
            advbase,
            advskew,
            demotion,
            bows_out,
        } = claim;
        let (advbase, advskew) = if bows_out {
            (BOW_OUT, BOW_OUT)
        } else {
            (advbase, advskew)
        };
        let seal = self.seals.of_mut(family);
        let replay = self.replay.of_mut(family);
        let counter = match replay.sealing(sysctls.replay) {
            None => seal.next(now.unix, advbase, advskew, demotion),
            Some(spent) => {
                spent.begin(seal.last());
                let mut counter = seal.next(now.unix, advbase, advskew, demotion);
                // A clock that was set back passes the same times again.
                while spent.remembers(counter) {
                    counter = seal.next(now.unix, advbase, advskew, demotion);
                }
                spent.add(counter, now, sysctls.replay_window);
                counter
            }
        };
        let header = Header {
            version: VERSION,
            kind: ADVERTISEMENT,
            vhid: vhid.get(),
            advskew,
            authlen: AUTHLEN,
            demotion,
            advbase,
            counter,
            digest: digests.digest(counter),
        };
        let sent = self.sent.of_mut(family);
        if sent.len() == SENT_LIMIT {
            sent.pop_front();
        }
        sent.push_back((sender, counter, header.digest));
        let Sender { source, host } = sender;
        Some(match host {
            None => frames::advertisement(mac, source, &header),
            Some(host) => frames::advertisement_of(mac, source, host, &header),
        })
    }

    /// Makes the next counter of each family greater than the last ones of both. A rival that was heard
    /// by one family may hear this host by the other alone.
    pub(crate) fn seal_above_rivals(&mut self) {
        let last = Family::ALL.map(|family| self.seals.of(family).last());
        for family in Family::ALL {
            for last in last {
                self.seals.of_mut(family).follow(last);
            }
        }
    }

    fn verifies(&self, header: &Header) -> bool {
        [&self.digests, &self.accepted]
            .into_iter()
            .flatten()
            .any(|digests| digests.verify(header.counter, &header.digest))
    }

    /// Returns true for an advertisement of our own that came back. Two equal hosts that become MASTER
    /// together make equal headers, so the sender is compared too.
    fn is_own(&self, received: &Received) -> bool {
        let Received {
            sender,
            family,
            header,
        } = received;
        self.sent
            .of(*family)
            .contains(&(*sender, header.counter, header.digest))
    }

    /// Drops counters that are ahead of the clock by more than `window`: the clock was set back.
    fn follow_clock(&mut self, now: Now, window: Duration, out: &mut Vec<Action>) {
        for family in Family::ALL {
            self.replay.of_mut(family).follow_clock(now, window);
        }
        let seals = [&mut self.seals.v4, &mut self.seals.v6];
        let ahead = seals.map(|seal| seal.follow_clock(now.unix, window));
        if let Some(ahead) = ahead.into_iter().flatten().max() {
            let unit = self.unit;
            out.push(Action::Notice(Notice::ClockSetBack { unit, ahead }));
        }
    }
}

fn short(payload: &[u8]) -> Fault {
    match *payload {
        [first, group, ..] if first & 0x0f == 1 && (2..=3).contains(&(first >> 4)) => Fault::Vrrp {
            version: first >> 4,
            group,
            unit: None,
        },
        _ => Fault::Short(payload.len()),
    }
}
