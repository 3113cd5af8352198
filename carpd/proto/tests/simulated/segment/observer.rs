//! Observer: knows the command lines of a host, and checks each advertisement that it sends.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use carp_proto::wire::carp::Header;
use carp_proto::wire::ethernet::{ETHERTYPE_IPV4, Frame};
use carp_proto::wire::{ipv4, ipv6};
use carp_proto::{
    Answer, Change, Digests, IfIndex, Key, Refusal, Request, Sealed, Settings, Unit, UnixTime, Vhid,
};

/// Settings of a carp interface that its advertisements depend on.
#[derive(Clone, Debug, Default)]
struct Known {
    vhid: Option<Vhid>,
    key: Key,
    advbase: u8,
    advskew: u8,
    addresses: Vec<IpAddr>,
}

/// Clock by which the counters of a host are checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) now: UnixTime,
    /// The replay window.
    pub(super) window: Duration,
}

impl Clock {
    /// Returns true if peers with the same clock refuse `counter`.
    fn is_behind(self, counter: u64) -> bool {
        Sealed::open(counter).is_ahead(self.now, self.window)
    }
}

/// Record of the command lines and counters of one host.
#[derive(Clone, Debug, Default)]
pub(super) struct Observer {
    /// Last settings of each interface, and the ones before.
    known: BTreeMap<Unit, (Known, Known)>,
    /// Last counter of each interface, vhid and family.
    counters: BTreeMap<(IfIndex, u8, bool), u64>,
    /// Advertisements sent before the answer of a command line.
    unjudged: Vec<(Header, bool)>,
}

impl Observer {
    /// Records the answer of a request. Its changes apply from the first frame that it caused.
    pub(super) fn answered(&mut self, request: &Request, answer: &Result<Answer, Refusal>) {
        if answer.is_ok() {
            match request {
                Request::Create {
                    unit: Some(unit),
                    changes,
                } => {
                    self.record(
                        *unit,
                        Known {
                            advbase: 1,
                            ..Known::default()
                        },
                        changes,
                    );
                }
                Request::Configure { unit, changes } => {
                    self.record(*unit, self.known[unit].0.clone(), changes);
                }
                Request::Install { unit, settings } => {
                    let before = self
                        .known
                        .get(unit)
                        .map_or_else(Known::default, |known| known.0.clone());
                    self.known.insert(*unit, (Known::of(settings), before));
                }
                Request::Create { unit: None, .. }
                | Request::Destroy(_)
                | Request::Set(..)
                | Request::Suppress { .. }
                | Request::Release(_)
                | Request::ResetStatistics
                | Request::Stop => {}
            }
        }
        self.judge();
    }

    fn record(&mut self, unit: Unit, before: Known, changes: &[Change]) {
        let mut known = before.clone();
        for change in changes {
            known.change(change);
        }
        self.known.insert(unit, (known, before));
    }

    /// Follows a clock that was set: counters that are too far ahead of it are forgotten.
    pub(super) fn clock_was_set(&mut self, clock: Clock) {
        self.counters.retain(|_, last| !clock.is_behind(*last));
    }

    /// Records an advertisement.
    pub(super) fn transmitted(&mut self, device: IfIndex, frame: &[u8], clock: Clock) {
        self.saw(device, frame, clock, false);
    }

    /// Records a bow-out, which belongs to the settings before a change.
    pub(super) fn bowed_out(&mut self, device: IfIndex, frame: &[u8], clock: Clock) {
        self.saw(device, frame, clock, true);
    }

    fn saw(&mut self, device: IfIndex, frame: &[u8], clock: Clock, bow_out: bool) {
        let frame = Frame::parse(frame).unwrap();
        let v4 = frame.ethertype == ETHERTYPE_IPV4;
        let payload = if v4 {
            ipv4::Packet::parse(frame.payload).unwrap().payload
        } else {
            ipv6::Packet::parse(frame.payload).unwrap().payload
        };
        let header = Header::parse(payload).unwrap();
        assert_eq!(header.is_bow_out(), bow_out);
        let last = self.counters.entry((device, header.vhid, v4)).or_default();
        assert!(
            header.counter > *last,
            "a counter that does not grow: {header:?}"
        );
        assert!(
            !clock.is_behind(header.counter),
            "a counter too far ahead of the clock: {header:?}"
        );
        *last = header.counter;
        self.unjudged.push((header, bow_out));
    }

    /// Checks that each header belongs to settings that were in force as a whole.
    pub(super) fn judge(&mut self) {
        for (header, bow_out) in std::mem::take(&mut self.unjudged) {
            let right = self
                .known
                .values()
                .any(|(now, before)| now.made(&header) || (bow_out && before.made(&header)));
            assert!(
                right,
                "half of a change is on the wire: {header:?} of {:?}",
                self.known
            );
        }
    }
}

impl Known {
    fn of(settings: &Settings) -> Self {
        Self {
            vhid: settings.vhid,
            key: settings.key.clone(),
            advbase: settings.advbase.get(),
            advskew: settings.advskew.get(),
            addresses: settings.addresses.iter().map(|each| each.address).collect(),
        }
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Vhid(vhid) => self.vhid = Some(*vhid),
            Change::Key(key) => self.key = key.clone(),
            Change::Advbase(advbase) => self.advbase = advbase.get(),
            Change::Advskew(advskew) => self.advskew = advskew.get(),
            Change::AddAddress(added) => self.addresses.push(added.address),
            Change::RemoveAddress(removed) => self.addresses.retain(|each| each != removed),
            Change::AcceptKey(_)
            | Change::Carpdev(_)
            | Change::Description(_)
            | Change::Lladdr(_)
            | Change::State(_)
            | Change::Up(_) => {}
        }
    }

    /// Returns true if these settings, as a whole, make this header.
    fn made(&self, header: &Header) -> bool {
        let intervals = [self.advskew, self.advskew.max(240), 0].map(|skew| (self.advbase, skew));
        let claimed = (header.advbase, header.advskew);
        let fits = header.is_bow_out() || intervals.contains(&claimed);
        self.vhid.is_some_and(|vhid| {
            let digests = Digests::new(&self.key, vhid, &self.addresses);
            vhid.get() == header.vhid && fits && digests.digest(header.counter) == header.digest
        })
    }
}
