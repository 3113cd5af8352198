//! Somebody who knows what a host was told, and looks at every advertisement that it sends.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use carp_proto::wire::carp::Header;
use carp_proto::wire::ethernet::{ETHERTYPE_IPV4, Frame};
use carp_proto::wire::{ipv4, ipv6};
use carp_proto::{
    Answer, Change, Digests, IfIndex, Key, Refusal, Request, Sealed, Settings, Unit, UnixTime, Vhid,
};

/// The settings of a carp interface that an advertisement depends on.
#[derive(Clone, Debug, Default)]
struct Told {
    vhid: Option<Vhid>,
    key: Key,
    advbase: u8,
    advskew: u8,
    addresses: Vec<IpAddr>,
}

/// By what a host's counters are judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) now: UnixTime,
    /// The replay window.
    pub(super) window: Duration,
}

impl Clock {
    /// Whether peers whose clock is the same refuse `counter`.
    fn is_behind(self, counter: u64) -> bool {
        Sealed::open(counter).is_ahead(self.now, self.window)
    }
}

/// What one host was told, command line by command line.
#[derive(Clone, Debug, Default)]
pub(super) struct Observer {
    /// The last settings of every interface, and those before.
    told: BTreeMap<Unit, (Told, Told)>,
    /// The last counter of every interface, vhid and family.
    counters: BTreeMap<(IfIndex, u8, bool), u64>,
    /// What was sent while nobody knew yet whether a command line succeeds.
    unjudged: Vec<(Header, bool)>,
}

impl Observer {
    /// A request was answered; what it changed counts from the first frame that it caused.
    pub(super) fn answered(&mut self, request: &Request, answer: &Result<Answer, Refusal>) {
        if answer.is_ok() {
            match request {
                Request::Create {
                    unit: Some(unit),
                    changes,
                } => {
                    self.tell(
                        *unit,
                        Told {
                            advbase: 1,
                            ..Told::default()
                        },
                        changes,
                    );
                }
                Request::Configure { unit, changes } => {
                    self.tell(*unit, self.told[unit].0.clone(), changes);
                }
                Request::Install { unit, settings } => {
                    let before = self
                        .told
                        .get(unit)
                        .map_or_else(Told::default, |told| told.0.clone());
                    self.told.insert(*unit, (Told::of(settings), before));
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

    fn tell(&mut self, unit: Unit, before: Told, changes: &[Change]) {
        let mut told = before.clone();
        for change in changes {
            told.change(change);
        }
        self.told.insert(unit, (told, before));
    }

    /// The clock was set: what is too far ahead of it now is no last counter any more.
    pub(super) fn clock_was_set(&mut self, clock: Clock) {
        self.counters.retain(|_, last| !clock.is_behind(*last));
    }

    /// An advertisement left.
    pub(super) fn transmitted(&mut self, device: IfIndex, frame: &[u8], clock: Clock) {
        self.saw(device, frame, clock, false);
    }

    /// A bow-out is going to leave: what the host was counts, not what it becomes.
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

    /// Every header is that of settings which were in force as a whole.
    pub(super) fn judge(&mut self) {
        for (header, bow_out) in std::mem::take(&mut self.unjudged) {
            let right = self
                .told
                .values()
                .any(|(now, before)| now.made(&header) || (bow_out && before.made(&header)));
            assert!(
                right,
                "half of a change is on the wire: {header:?} of {:?}",
                self.told
            );
        }
    }
}

impl Told {
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

    /// Whether these settings, as a whole, make this header.
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
