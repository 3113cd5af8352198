//! Whether a physical interface is heard by its tap or by its ear, as values: no socket, no clock.
//!
//! The *tap* is a packet socket on the physical interface: it hears everything, and every packet
//! that the host forwards passes it. The *ear* is a pair of them on macvlan devices that the
//! kernel gives copies of what comes from a virtual MAC, and of what is for the groups: free for
//! all others, and behind what is at the ingress hook of the physical interface.
//!
//! **Invariant:** the tap is shut only while every virtual host is MASTER and the ear is proved: it
//! hears probes on the receive path of the physical interface, of each family in use, and missed
//! nothing that the tap heard beside it. A frame is handed on once, by whichever hears it first.

#[cfg(test)]
mod tests;

use core::time::Duration;
use std::collections::BTreeSet;

use carp_proto::{Family, Instant};

use super::pairing::{Heard, Side};
use super::probe::{self, Kind};

/// How often something is looked at that depends on the time.
const PACE: Duration = Duration::from_millis(200);

/// How long tap and ear are open together before the ear is believed, at least: longer than the
/// interval of most advertisements.
const OVERLAP: Duration = Duration::from_millis(1500);

/// How often that is done again, for what no probe shows.
const WATCH: Duration = Duration::from_secs(30);

/// How often the ear is probed.
const PROBE: Duration = Duration::from_secs(1);

/// How long a probe may be on its way.
const ANSWER: Duration = Duration::from_millis(400);

/// The ear is believed for so long after the last probe that was heard.
const BELIEF: Duration = Duration::from_secs(3);

/// How long the tap stays open after a probe was not heard, or more was heard than can be compared,
const SHORT_DISTRUST: Duration = Duration::from_secs(10);

/// and after the ear missed an advertisement.
const DISTRUST: Duration = Duration::from_secs(600);

/// How long to wait before the device of an ear is asked for again.
const RETRY: Duration = Duration::from_secs(5);

/// So many frames may wait to be heard a second time.
const MOST: usize = 16384;

/// What is to be done besides opening and shutting sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The device of the ear is needed, or not any more.
    Listen(bool),
    /// The probe of this number is to be sent.
    Probe(u64),
    /// The tap stays open although it could be shut: for whoever looks after this host.
    Explain(Why),
}

/// Why the tap stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The ear does not hear its probes.
    NoAnswer,
    /// The ear missed an advertisement.
    Missed,
    /// A peer advertises to this host alone.
    Unicast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The tap alone.
    Tap,
    /// Both, to prove the ear.
    Both { since: Instant },
    /// The ear alone.
    Ear { since: Instant },
}

/// Which sockets of a physical interface are to be open, and which frames are handed on.
#[derive(Debug)]
pub(super) struct Ears {
    /// Families in use, while every virtual host is MASTER; none: the tap alone.
    wanted: BTreeSet<Family>,
    phase: Phase,
    /// A socket that is shut when it is empty.
    lingering: Option<Side>,
    /// The tap has been empty since both are open: all it hears now the ear can hear, too.
    warm: bool,
    /// When the ear was last empty.
    ear_empty: Instant,
    probe: Option<Probe>,
    last_probe: u64,
    /// When the last probe that was heard was asked for; none since both are open.
    proved: Option<Instant>,
    distrusted_until: Instant,
    explained: bool,
    heard: Heard,
    /// When the device of the ear is to be asked for; `None` while it is there.
    ask: Option<Instant>,
    /// When something was to be looked at again.
    due: Instant,
    orders: Vec<Order>,
}

#[derive(Debug)]
struct Probe {
    number: u64,
    asked: Instant,
    sent: Option<Instant>,
    missing: BTreeSet<Family>,
}

impl Ears {
    /// The tap alone.
    pub(super) fn new() -> Self {
        Self {
            wanted: BTreeSet::new(),
            phase: Phase::Tap,
            lingering: None,
            warm: false,
            ear_empty: Instant::ZERO,
            probe: None,
            last_probe: 0,
            proved: None,
            distrusted_until: Instant::ZERO,
            explained: false,
            heard: Heard::default(),
            ask: None,
            due: Instant::ZERO,
            orders: Vec::new(),
        }
    }

    /// Every virtual host is MASTER, and these families are in use; or, if there is none, a
    /// virtual host is not.
    pub(super) fn want(&mut self, families: BTreeSet<Family>, now: Instant) {
        if families == self.wanted {
            return;
        }
        self.wanted = families;
        if self.wanted.is_empty() {
            self.tap_alone();
            self.ask = None;
            self.orders.push(Order::Listen(false));
        } else if self.phase == Phase::Tap {
            self.ask = Some(now);
        } else {
            self.doubt(now);
        }
    }

    /// The device of the ear is there, and up.
    pub(super) fn ear_is_there(&mut self, now: Instant) {
        if self.phase == Phase::Tap && !self.wanted.is_empty() {
            self.ask = None;
            self.both(now);
        }
    }

    /// The ear is broken, or its device is gone or down.
    pub(super) fn ear_is_gone(&mut self, now: Instant) {
        self.tap_alone();
        self.lingering = None;
        if !self.wanted.is_empty() {
            self.ask = Some(now + RETRY);
        }
    }

    /// Something has changed, perhaps what the ear hears: it has to be proved again.
    pub(super) fn doubt(&mut self, now: Instant) {
        if self.phase != Phase::Tap {
            self.both(now);
        }
    }

    /// Whether a socket is to be open.
    pub(super) fn opens(&self, side: Side) -> bool {
        let alone = match self.phase {
            Phase::Tap => Some(Side::Tap),
            Phase::Ear { .. } => Some(Side::Ear),
            Phase::Both { .. } => None,
        };
        alone.is_none_or(|alone| alone == side) || self.lingering == Some(side)
    }

    /// A socket has heard `frame`; `true` if it is to be handed on.
    pub(super) fn hears(&mut self, side: Side, frame: &[u8], now: Instant) -> bool {
        let both = matches!(self.phase, Phase::Both { .. });
        let compared = both || self.lingering.is_some();
        if !compared && self.heard.is_empty() {
            return true;
        }
        if self.heard.cancel(side, frame) {
            return false;
        }
        let kind = probe::kind(frame);
        if both && side == Side::Tap && kind == Kind::Unicast {
            self.distrust(DISTRUST, Why::Unicast, now);
        }
        if compared {
            let judged = both && self.warm && side == Side::Tap && kind == Kind::Any;
            self.heard.note(side, frame, judged, now);
            if self.heard.len() > MOST {
                self.tap_alone();
                self.distrusted_until = self.distrusted_until.max(now + SHORT_DISTRUST);
                self.ask = Some(now + RETRY);
            }
        }
        true
    }

    /// Whether it matters that a socket is empty, so that it has to be read to be sure.
    pub(super) fn asks(&self, side: Side) -> bool {
        let both = matches!(self.phase, Phase::Both { .. });
        let waits = match side {
            Side::Tap => both && !self.warm,
            Side::Ear => both || self.is_waiting() || !self.heard.is_empty(),
        };
        waits || self.lingering == Some(side)
    }

    /// There was nothing more to read from a socket, surely.
    pub(super) fn is_empty(&mut self, side: Side, now: Instant) {
        match side {
            Side::Ear => self.ear_empty = now,
            Side::Tap => self.warm = true,
        }
        if self.lingering == Some(side) {
            self.lingering = None;
        }
    }

    /// The probe of this number was sent.
    pub(super) fn probe_sent(&mut self, number: u64, now: Instant) {
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.number == number) {
            probe.sent = Some(now);
        }
    }

    /// The ear has heard the probe of this number.
    pub(super) fn probe_heard(&mut self, number: u64, family: Family) {
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.number == number) {
            probe.missing.remove(&family);
            if probe.missing.is_empty() {
                self.proved = Some(probe.asked);
            }
        }
    }

    /// When [`tick`](Self::tick) is wanted; `None` if nothing depends on the time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if !self.orders.is_empty() {
            Some(Instant::ZERO)
        } else if self.phase == Phase::Tap && self.heard.is_empty() {
            self.ask
        } else {
            Some(self.due)
        }
    }

    /// Does what is due, and says what is to be done.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Order> {
        self.due = now + PACE;
        if self.heard.forget(now, self.ear_empty) && self.phase != Phase::Tap {
            self.doubt(now);
            self.distrust(DISTRUST, Why::Missed, now);
        }
        if self.ask.is_some_and(|at| at <= now) {
            self.ask = Some(now + RETRY);
            self.orders.push(Order::Listen(true));
        }
        if self.phase != Phase::Tap {
            self.judge_probe(now);
            self.judge(now);
            self.probe_again(now);
        }
        core::mem::take(&mut self.orders)
    }

    /// What the last probe says.
    fn judge_probe(&mut self, now: Instant) {
        let Some(Probe {
            sent: Some(sent),
            ref missing,
            ..
        }) = self.probe
        else {
            return;
        };
        // It may wait in the socket until then.
        let due = sent + ANSWER;
        if !missing.is_empty() && now >= due && self.ear_empty >= due {
            self.both(now);
            self.distrust(SHORT_DISTRUST, Why::NoAnswer, now);
        }
    }

    fn judge(&mut self, now: Instant) {
        match self.phase {
            Phase::Tap => {}
            Phase::Both { since } => {
                let proved = self.proved.is_some_and(|at| now.since(at) < BELIEF);
                let long_enough = now.since(since) >= OVERLAP && self.ear_empty >= since;
                let believed = proved && long_enough && self.warm && now >= self.distrusted_until;
                if believed && !self.heard.is_judging() {
                    self.phase = Phase::Ear { since: now };
                    self.lingering = Some(Side::Tap);
                    self.explained = false;
                }
            }
            Phase::Ear { since } => {
                let proved = self.proved.is_some_and(|at| now.since(at) < BELIEF);
                if !proved || now.since(since) >= WATCH {
                    self.both(now);
                }
            }
        }
    }

    fn probe_again(&mut self, now: Instant) {
        let wait = self
            .probe
            .as_ref()
            .is_some_and(|probe| now.since(probe.asked) < PROBE);
        if !wait && !self.is_waiting() {
            self.last_probe += 1;
            self.probe = Some(Probe {
                number: self.last_probe,
                asked: now,
                sent: None,
                missing: self.wanted.clone(),
            });
            self.orders.push(Order::Probe(self.last_probe));
        }
    }

    /// Whether the ear has yet to hear a probe that was sent.
    fn is_waiting(&self) -> bool {
        let waits = |probe: &Probe| probe.sent.is_some() && !probe.missing.is_empty();
        self.probe.as_ref().is_some_and(waits)
    }

    fn distrust(&mut self, time: Duration, why: Why, now: Instant) {
        self.distrusted_until = self.distrusted_until.max(now + time);
        if !self.explained {
            self.explained = true;
            self.orders.push(Order::Explain(why));
        }
    }

    fn both(&mut self, now: Instant) {
        self.due = now;
        self.phase = Phase::Both { since: now };
        self.lingering = None;
        self.warm = false;
        self.probe = None;
        self.proved = None;
    }

    fn tap_alone(&mut self) {
        self.lingering = match self.phase {
            Phase::Tap => self.lingering,
            // What the ear heard before there was a tap.
            Phase::Ear { .. } => Some(Side::Ear),
            Phase::Both { since } => (self.ear_empty < since).then_some(Side::Ear),
        };
        self.phase = Phase::Tap;
        self.probe = None;
        self.heard.unjudge();
    }
}
