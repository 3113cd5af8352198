//! Receive path of a physical interface, without sockets and clocks: which sockets are open, and which
//! frames are handed on.
//!
//! **Invariant:** the direct socket is closed only while every virtual host is MASTER and the helper
//! devices are proved: they receive probes of each address family in use, on the receive path of the
//! physical interface, and they missed nothing that the direct socket received beside them. A frame is
//! handed on once, from the source that receives it first.

#[cfg(test)]
mod tests;

use core::time::Duration;
use std::collections::BTreeSet;

use carp_proto::{Family, Instant};

use super::pairing::{Source, Unpaired};
use super::probe::{self, Reach};

/// Interval of everything here that depends on the time.
const TICK_INTERVAL: Duration = Duration::from_millis(200);

/// Time for which both sources are compared, at least, before the helper devices are relied on: longer
/// than the interval of most advertisements.
const MIN_OVERLAP: Duration = Duration::from_millis(1500);

/// Interval of further comparisons, which find what no probe can show.
const COMPARISON_INTERVAL: Duration = Duration::from_secs(30);

/// Interval of probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Limit for the arrival of a probe.
const PROBE_TIMEOUT: Duration = Duration::from_millis(400);

/// Time for which a received probe proves that the helper devices receive.
const PROOF_LIFETIME: Duration = Duration::from_secs(3);

/// Time for which the direct socket stays open after a probe was lost, or after more frames arrived than
/// can be compared.
const SHORT_DISTRUST: Duration = Duration::from_secs(10);

/// Time for which the direct socket stays open after the helper devices missed an advertisement.
const LONG_DISTRUST: Duration = Duration::from_secs(600);

/// Interval of requests for helper devices.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Limit of frames that one source has received and the other not yet.
const MAX_UNPAIRED: usize = 16384;

/// Step that is due, besides opening and closing sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The helper devices are needed; or, if false, they are not needed any more.
    UseHelpers(bool),
    /// The probe with this number is to be sent.
    Probe(u64),
    /// The log is to say why the direct socket stays open.
    Explain(DirectReason),
}

/// Reason for the direct socket to stay open while every virtual host is MASTER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DirectReason {
    /// The helper devices do not receive their probes.
    ProbeLost,
    /// The helper devices missed an advertisement.
    AdvertisementLost,
    /// A peer advertises to this host alone, which no helper device receives.
    UnicastPeer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The direct socket alone receives.
    Direct,
    /// Both receive, to prove the helper devices.
    Both { since: Instant },
    /// The helper devices alone receive.
    Helpers { since: Instant },
}

/// Receive path of one physical interface.
#[derive(Debug)]
pub(super) struct ReceivePath {
    /// Address families in use while every virtual host is MASTER; otherwise empty, and the direct
    /// socket alone receives.
    families: BTreeSet<Family>,
    phase: Phase,
    /// Source that is not used any more and closes once it has no frame left.
    closing: Option<Source>,
    /// Set once the direct socket had no frame left since both are open. All frames it receives from
    /// then on, the helper devices can receive, too.
    direct_is_drained: bool,
    /// Last time at which the helper devices had no frame left.
    helpers_drained: Instant,
    probe: Option<Probe>,
    last_probe: u64,
    /// Time of the request for the last probe that was received; none since both are open.
    proved: Option<Instant>,
    distrusted_until: Instant,
    is_explained: bool,
    unpaired: Unpaired,
    /// Time of the next request for the helper devices; `None` while they are up.
    retry: Option<Instant>,
    /// Time of the next tick.
    due: Instant,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Probe {
    number: u64,
    requested: Instant,
    sent: Option<Instant>,
    missing: BTreeSet<Family>,
}

impl ReceivePath {
    /// The direct socket alone receives.
    pub(super) fn new() -> Self {
        Self {
            families: BTreeSet::new(),
            phase: Phase::Direct,
            closing: None,
            direct_is_drained: false,
            helpers_drained: Instant::ZERO,
            probe: None,
            last_probe: 0,
            proved: None,
            distrusted_until: Instant::ZERO,
            is_explained: false,
            unpaired: Unpaired::default(),
            retry: None,
            due: Instant::ZERO,
            steps: Vec::new(),
        }
    }

    /// Follows a change of roles: every virtual host is MASTER and uses these families, or, without
    /// any family, a virtual host is not MASTER.
    pub(super) fn use_families(&mut self, families: BTreeSet<Family>, now: Instant) {
        if families == self.families {
            return;
        }
        self.families = families;
        if self.families.is_empty() {
            self.use_direct();
            self.retry = None;
            self.steps.push(Step::UseHelpers(false));
        } else if self.phase == Phase::Direct {
            self.retry = Some(now);
        } else {
            self.check_again(now);
        }
    }

    /// Starts to prove the helper devices, which are up.
    pub(super) fn helpers_are_up(&mut self, now: Instant) {
        if self.phase == Phase::Direct && !self.families.is_empty() {
            self.retry = None;
            self.use_both(now);
        }
    }

    /// Relies on the direct socket: the helper devices are down, gone or cannot be read.
    pub(super) fn helpers_are_lost(&mut self, now: Instant) {
        self.use_direct();
        self.closing = None;
        if !self.families.is_empty() {
            self.retry = Some(now + RETRY_INTERVAL);
        }
    }

    /// Proves the helper devices again, after a change that may affect what they receive.
    pub(super) fn check_again(&mut self, now: Instant) {
        if self.phase != Phase::Direct {
            self.use_both(now);
        }
    }

    /// Returns true if the sockets of `source` are to be open.
    pub(super) fn uses(&self, source: Source) -> bool {
        let alone = match self.phase {
            Phase::Direct => Some(Source::Direct),
            Phase::Helpers { .. } => Some(Source::Helpers),
            Phase::Both { .. } => None,
        };
        alone.is_none_or(|alone| alone == source) || self.closing == Some(source)
    }

    /// Returns true if `frame` is to be handed on, and false if the other source has received it
    /// before.
    pub(super) fn is_new(&mut self, source: Source, frame: &[u8], now: Instant) -> bool {
        let both = matches!(self.phase, Phase::Both { .. });
        let compares = both || self.closing.is_some();
        if !compares && self.unpaired.is_empty() {
            return true;
        }
        if self.unpaired.pair(source, frame) {
            return false;
        }
        let reach = probe::reach(frame);
        if both && source == Source::Direct && reach == Reach::DirectOnly {
            self.distrust(LONG_DISTRUST, DirectReason::UnicastPeer, now);
        }
        if compares {
            let is_direct = source == Source::Direct;
            let is_evidence = both && self.direct_is_drained && is_direct && reach == Reach::Both;
            self.unpaired.add(source, frame, is_evidence, now);
            if self.unpaired.len() > MAX_UNPAIRED {
                self.use_direct();
                self.distrusted_until = self.distrusted_until.max(now + SHORT_DISTRUST);
                self.retry = Some(now + RETRY_INTERVAL);
            }
        }
        true
    }

    /// Returns true if `source` has to be read until no frame is left, because that changes the path.
    pub(super) fn is_to_be_drained(&self, source: Source) -> bool {
        let both = matches!(self.phase, Phase::Both { .. });
        let waits = match source {
            Source::Direct => both && !self.direct_is_drained,
            Source::Helpers => both || self.awaits_probe() || !self.unpaired.is_empty(),
        };
        waits || self.closing == Some(source)
    }

    /// Follows that `source` had no frame left, for certain.
    pub(super) fn drained(&mut self, source: Source, now: Instant) {
        match source {
            Source::Direct => self.direct_is_drained = true,
            Source::Helpers => self.helpers_drained = now,
        }
        if self.closing == Some(source) {
            self.closing = None;
        }
    }

    /// Expects the probe with this number, which was just sent.
    pub(super) fn probe_sent(&mut self, number: u64, now: Instant) {
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.number == number) {
            probe.sent = Some(now);
        }
    }

    /// Notes that the helper devices have received the probe with this number.
    pub(super) fn probe_received(&mut self, number: u64, family: Family) {
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.number == number) {
            probe.missing.remove(&family);
            if probe.missing.is_empty() {
                self.proved = Some(probe.requested);
            }
        }
    }

    /// Returns the time of the next [`tick`](Self::tick); `None` if nothing depends on the time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if !self.steps.is_empty() {
            Some(Instant::ZERO)
        } else if self.phase == Phase::Direct && self.unpaired.is_empty() {
            self.retry
        } else {
            Some(self.due)
        }
    }

    /// Does what is due, and returns the steps that are not done here.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Step> {
        self.due = now + TICK_INTERVAL;
        let is_lost = self.unpaired.expire(now, self.helpers_drained);
        if is_lost && self.phase != Phase::Direct {
            self.check_again(now);
            self.distrust(LONG_DISTRUST, DirectReason::AdvertisementLost, now);
        }
        if self.retry.is_some_and(|at| at <= now) {
            self.retry = Some(now + RETRY_INTERVAL);
            self.steps.push(Step::UseHelpers(true));
        }
        if self.phase != Phase::Direct {
            self.notice_lost_probe(now);
            self.change_phase(now);
            self.request_probe(now);
        }
        core::mem::take(&mut self.steps)
    }

    fn notice_lost_probe(&mut self, now: Instant) {
        let Some(Probe {
            sent: Some(sent),
            ref missing,
            ..
        }) = self.probe
        else {
            return;
        };
        // Until then it may wait in the socket.
        let due = sent + PROBE_TIMEOUT;
        if !missing.is_empty() && now >= due && self.helpers_drained >= due {
            self.use_both(now);
            self.distrust(SHORT_DISTRUST, DirectReason::ProbeLost, now);
        }
    }

    fn change_phase(&mut self, now: Instant) {
        let is_proved = self.proved.is_some_and(|at| now.since(at) < PROOF_LIFETIME);
        match self.phase {
            Phase::Direct => {}
            Phase::Both { since } => {
                let is_compared = now.since(since) >= MIN_OVERLAP && self.helpers_drained >= since;
                let is_trusted = now >= self.distrusted_until;
                if is_proved
                    && is_compared
                    && is_trusted
                    && self.direct_is_drained
                    && !self.unpaired.has_evidence()
                {
                    self.phase = Phase::Helpers { since: now };
                    self.closing = Some(Source::Direct);
                    self.is_explained = false;
                }
            }
            Phase::Helpers { since } => {
                if !is_proved || now.since(since) >= COMPARISON_INTERVAL {
                    self.use_both(now);
                }
            }
        }
    }

    fn request_probe(&mut self, now: Instant) {
        let is_early = self
            .probe
            .as_ref()
            .is_some_and(|probe| now.since(probe.requested) < PROBE_INTERVAL);
        if !is_early && !self.awaits_probe() {
            self.last_probe += 1;
            self.probe = Some(Probe {
                number: self.last_probe,
                requested: now,
                sent: None,
                missing: self.families.clone(),
            });
            self.steps.push(Step::Probe(self.last_probe));
        }
    }

    /// Returns true if a probe was sent that the helper devices have not received yet.
    fn awaits_probe(&self) -> bool {
        let waits = |probe: &Probe| probe.sent.is_some() && !probe.missing.is_empty();
        self.probe.as_ref().is_some_and(waits)
    }

    fn distrust(&mut self, time: Duration, reason: DirectReason, now: Instant) {
        self.distrusted_until = self.distrusted_until.max(now + time);
        if !self.is_explained {
            self.is_explained = true;
            self.steps.push(Step::Explain(reason));
        }
    }

    fn use_both(&mut self, now: Instant) {
        self.due = now;
        self.phase = Phase::Both { since: now };
        self.closing = None;
        self.direct_is_drained = false;
        self.probe = None;
        self.proved = None;
    }

    fn use_direct(&mut self) {
        self.closing = match self.phase {
            Phase::Direct => self.closing,
            // They may have frames from before the direct socket was open.
            Phase::Helpers { .. } => Some(Source::Helpers),
            Phase::Both { since } => (self.helpers_drained < since).then_some(Source::Helpers),
        };
        self.phase = Phase::Direct;
        self.probe = None;
        self.unpaired.discard_evidence();
    }
}
