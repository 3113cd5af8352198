//! Peer that follows the rules of BSD's kernels (`ip_carp.c` of NetBSD and DragonFly): no demotion, no seal,
//! and it yields to an equal master.

use std::net::IpAddr;
use std::time::Duration;

use carp_proto::wire::carp::{ADVERTISEMENT, AUTHLEN, Header, VERSION};
use carp_proto::wire::frames;
use carp_proto::{
    Advbase, Advskew, Digests, Family, Input, Instant, Interval, Key, Mac, StateName, Vhid,
};

use super::{Segment, fates};

/// A callout of BSD's kernels is late by up to a tick.
const TICK: Duration = Duration::from_millis(10);

/// Settings of the peer.
#[derive(Clone, Debug)]
pub(crate) struct BsdSettings {
    pub(crate) vhid: Vhid,
    pub(crate) key: Key,
    pub(crate) advbase: Advbase,
    pub(crate) advskew: Advskew,
    pub(crate) preempt: bool,
    pub(crate) addresses: Vec<IpAddr>,
    /// Families by which it advertises and listens.
    pub(crate) families: Vec<Family>,
}

#[derive(Clone, Debug)]
pub(super) struct Bsd {
    settings: BsdSettings,
    /// Source addresses.
    sources: Vec<IpAddr>,
    digests: Digests,
    counter: u64,
    master: bool,
    deadline: Instant,
}

impl Bsd {
    fn new(settings: BsdSettings, sources: Vec<IpAddr>, counter: u64, now: Instant) -> Self {
        let digests = Digests::new(&settings.key, settings.vhid, &settings.addresses);
        let mut bsd = Self {
            settings,
            sources,
            digests,
            counter,
            master: false,
            deadline: now,
        };
        bsd.wait(now);
        bsd
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) const fn state(&self) -> StateName {
        if self.master {
            StateName::Master
        } else {
            StateName::Backup
        }
    }

    pub(super) fn holds(&self, address: IpAddr) -> bool {
        self.master && self.settings.addresses.contains(&address)
    }

    /// Its status, without times and counters.
    pub(super) fn shown(&self) -> impl core::hash::Hash {
        (self.master, self.settings.advskew.get())
    }

    /// Handles an input, and returns the frames that it sends.
    pub(super) fn handle(&mut self, input: &Input<'_>, now: Instant) -> Vec<Vec<u8>> {
        match input {
            Input::Deadline => self.become_master(now),
            Input::Packet { frame, .. } => match fates::advertisement(frame) {
                Some((family, header)) => self.heard(family, &header, now),
                None => Vec::new(),
            },
            Input::Link(_)
            | Input::LinkGone(_)
            | Input::Sent { .. }
            | Input::Taken { .. }
            | Input::Refused { .. }
            | Input::Resume { .. }
            | Input::Gateways(_)
            | Input::Granted { .. }
            | Input::Request(..) => Vec::new(),
        }
    }

    /// `carp_input_c()`
    fn heard(&mut self, family: Family, header: &Header, now: Instant) -> Vec<Vec<u8>> {
        let valid = header.vhid == self.settings.vhid.get()
            && self.settings.families.contains(&family)
            && self.digests.verify(header.counter, &header.digest);
        if !valid {
            return Vec::new();
        }
        self.counter = header.counter;
        let theirs = Interval::new(header.advbase, header.advskew);
        let ours = self.interval();
        if self.master {
            if theirs <= ours {
                self.master = false;
                self.wait(now);
            }
            return Vec::new();
        }
        let base = self.settings.advbase.get();
        let too_slow = base > 0 && theirs.duration() > Duration::from_secs(3 * u64::from(base));
        if (self.settings.preempt && theirs > ours) || too_slow {
            return self.become_master(now);
        }
        self.wait(now);
        Vec::new()
    }

    fn interval(&self) -> Interval {
        Interval::new(self.settings.advbase.get(), self.settings.advskew.get())
    }

    /// `carp_setrun()`, `case BACKUP`
    fn wait(&mut self, now: Instant) {
        let (base, skew) = (self.settings.advbase.get(), self.settings.advskew.get());
        let skew = Duration::from_micros(u64::from(skew) * 1_000_000 / 256);
        self.deadline = now
            + TICK
            + match base {
                0 => self.interval().duration() * 3,
                base => Duration::from_secs(3 * u64::from(base)) + skew,
            };
    }

    /// `carp_master_down()` and `carp_send_ad()`
    fn become_master(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.master = true;
        self.deadline = now + self.interval().duration();
        self.counter += 1;
        let header = Header {
            version: VERSION,
            kind: ADVERTISEMENT,
            vhid: self.settings.vhid.get(),
            advskew: self.settings.advskew.get(),
            authlen: AUTHLEN,
            demotion: 0,
            advbase: self.settings.advbase.get(),
            counter: self.counter,
            digest: self.digests.digest(self.counter),
        };
        let mac = Mac::virtual_of(self.settings.vhid);
        let is_used = |source: &&IpAddr| self.settings.families.contains(&Family::of(**source));
        let sources = self.sources.iter().filter(is_used);
        sources
            .map(|source| frames::advertisement(mac, *source, &header))
            .collect()
    }
}

impl Segment {
    /// Makes a host follow BSD's rules.
    pub(crate) fn become_bsd(&mut self, name: &str, settings: BsdSettings) {
        self.kill(name);
        let host = self.index(name);
        let links = self.hosts[host].links.values();
        let own = links.flat_map(|link| link.addresses.iter().map(|own| own.address));
        let sources = own.take(2).collect();
        // NetBSD starts with a random counter.
        let counter = self.dice(1 << 40);
        self.hosts[host].bsd = Some(Bsd::new(settings, sources, counter, self.now));
    }

    /// Returns true if a host follows BSD's rules.
    pub(crate) fn is_bsd(&self, name: &str) -> bool {
        self.hosts[self.index(name)].bsd.is_some()
    }
}
