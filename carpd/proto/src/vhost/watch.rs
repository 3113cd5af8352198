//! A BACKUP's watch over its master: the master-down timer.

use core::time::Duration;

use crate::election::{Interval, lease_time, master_down_time, wait};
use crate::numbers::Advbase;
use crate::time::Instant;

/// Timers of a BACKUP. The families share them, because a master that is heard by either family is
/// alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    /// Time at which the master was last heard, or the watch began.
    heard: Instant,
    /// Interval that the master advertised, if it was heard.
    theirs: Option<Interval>,
    /// Time at which the master counts as dead.
    pub(super) master_down: Instant,
    /// Time at which this host counts as able to send again.
    sending_lapse: Option<Instant>,
    /// Until then, an advertisement may have been queued while this host stood still.
    listens_until: Option<Instant>,
}

/// This host's own parameters of the wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnWait {
    pub(super) advbase: Advbase,
    /// The effective advskew.
    pub(super) advskew: u8,
}

impl OwnWait {
    pub(super) fn master_down_time(self) -> Duration {
        master_down_time(self.advbase, self.advskew)
    }
}

impl Watch {
    /// The same watch with another deadline for the master.
    pub(super) const fn with_master_down(self, master_down: Instant) -> Self {
        Self {
            master_down,
            ..self
        }
    }

    /// Watch that begins at `now`.
    pub(super) fn starting(now: Instant, theirs: Option<Interval>, own: OwnWait) -> Self {
        Self {
            heard: now,
            theirs,
            master_down: now,
            sending_lapse: None,
            listens_until: None,
        }
        .recomputed(own)
    }

    /// The earlier of the two deadlines.
    pub(super) fn deadline(self) -> Instant {
        let Self { master_down, .. } = self;
        self.sending_lapse
            .map_or(master_down, |lapse| lapse.min(master_down))
    }

    pub(super) fn has_sending_lapsed(self, now: Instant) -> bool {
        self.sending_lapse.is_some_and(|lapse| lapse <= now)
    }

    pub(super) const fn with_sending_lapse(self, sending_lapse: Option<Instant>) -> Self {
        Self {
            sending_lapse,
            ..self
        }
    }

    /// Watch after this host stood still and may have missed advertisements: it begins again. For the
    /// time of a lease, only silence makes this host MASTER, because advertisements that were queued
    /// before must decide nothing.
    pub(super) fn woken(self, now: Instant, own: OwnWait) -> Self {
        Self {
            listens_until: Some(now + lease_time(own.advbase)),
            heard: now,
            ..self
        }
        .recomputed(own)
    }

    /// Returns true while nothing but silence makes this host MASTER: see [`Watch::woken`].
    pub(super) fn only_listens(self, now: Instant) -> bool {
        self.listens_until.is_some_and(|until| now < until)
    }

    /// Watch after the master advertised `theirs` at `now`.
    pub(super) fn heard(self, theirs: Interval, now: Instant, own: OwnWait) -> Self {
        Self {
            heard: now,
            theirs: Some(theirs),
            ..self
        }
        .recomputed(own)
    }

    /// Computes the master-down deadline from the last advertisement and `own`. A change of settings must not
    /// start the wait again.
    pub(super) fn recomputed(self, own: OwnWait) -> Self {
        let wait = wait(own.advbase, own.advskew, self.theirs);
        Self {
            master_down: self.heard + wait,
            ..self
        }
    }
}
