//! What a BACKUP knows of its master, and when it counts it as dead.

use core::time::Duration;

use super::{Env, State, Vhost};
use crate::election::{Interval, effective_advskew, lease, master_down_time, wait};
use crate::numbers::Advbase;
use crate::time::Instant;

/// What a BACKUP keeps in mind. One for both address families: a master that is heard by either of
/// them lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    /// When the master was last heard, or this host began to listen.
    heard: Instant,
    /// The interval that the master advertised; `None` before one was heard.
    theirs: Option<Interval>,
    /// When the master counts as dead.
    pub(super) master_down: Instant,
    /// When it counts as able to send again.
    lapse: Option<Instant>,
    /// Until when what is heard may have been queued while this host stood still.
    listens_until: Option<Instant>,
}

/// What a BACKUP itself adds to its wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    advbase: Advbase,
    advskew: u8,
}

impl Patience {
    /// The master-down time.
    pub(super) fn master_down_time(self) -> Duration {
        master_down_time(self.advbase, self.advskew)
    }
}

impl Watch {
    /// Begins to listen at `now`.
    pub(super) fn starting(now: Instant, theirs: Option<Interval>, patience: Patience) -> Self {
        Self {
            heard: now,
            theirs,
            master_down: now,
            lapse: None,
            listens_until: None,
        }
        .derived(patience)
    }

    /// What comes first.
    pub(super) fn deadline(self) -> Instant {
        let Self { master_down, .. } = self;
        self.lapse
            .map_or(master_down, |lapse| lapse.min(master_down))
    }

    pub(super) fn has_lapsed(self, now: Instant) -> bool {
        self.lapse.is_some_and(|lapse| lapse <= now)
    }

    pub(super) const fn with_lapse(self, lapse: Option<Instant>) -> Self {
        Self { lapse, ..self }
    }

    /// This host stood still, and may not have heard its master meanwhile: it begins anew, and
    /// listens for as long as a lease before anything but silence makes it MASTER. What was queued
    /// before decides nothing.
    pub(super) fn woken(self, now: Instant, patience: Patience) -> Self {
        let lease = Duration::from_secs(lease(patience.advbase).into());
        Self {
            listens_until: Some(now + lease),
            ..self
        }
        .restarted(now, patience)
    }

    /// Whether it only listens: see [`Watch::woken`].
    pub(super) fn only_listens(self, now: Instant) -> bool {
        self.listens_until.is_some_and(|until| now < until)
    }

    /// The master was heard at `now`.
    fn restarted(self, now: Instant, patience: Patience) -> Self {
        Self { heard: now, ..self }.derived(patience)
    }

    /// Derives the deadline from what was heard and from `patience`: no change of settings
    /// postpones a takeover by more than they say.
    fn derived(self, patience: Patience) -> Self {
        let wait = wait(patience.advbase, patience.advskew, self.theirs);
        Self {
            master_down: self.heard + wait,
            ..self
        }
    }
}

impl Vhost {
    /// How long this host waits. A suppressed one waits by the skew that it would advertise, so that
    /// healthy ones time out first.
    pub(super) const fn patience(&self, env: &Env<'_>) -> Patience {
        let advskew = self.settings.advskew.get();
        Patience {
            advbase: self.settings.advbase,
            advskew: effective_advskew(advskew, env.suppress > 0),
        }
    }

    /// What this host waits by changed; the master was heard when it was.
    pub(super) fn adjust_wait(&mut self, watch: Watch, env: &Env<'_>) {
        let Watch { master_down, .. } = watch.derived(self.patience(env));
        self.state = State::Backup(Watch {
            master_down: master_down.max(env.now.instant),
            ..watch
        });
    }

    /// A master was heard that advertises once in `theirs`.
    pub(super) fn master_lives(&mut self, watch: Watch, theirs: Interval, env: &Env<'_>) {
        let watch = Watch {
            theirs: Some(theirs),
            ..watch
        };
        self.state = State::Backup(watch.restarted(env.now.instant, self.patience(env)));
    }
}
