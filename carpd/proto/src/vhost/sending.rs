//! Advertisements that could not be sent: a cause of suppression which ends in every state.

use core::time::Duration;

use super::watch::Watch;
use super::{Env, Vhost};
use crate::election::master_down_time;

/// So many advertisements in a row that could not be sent suppress preemption, and so many that
/// could be sent take it back (`ip_carp.c`, `CARP_SENDAD_MAX_ERRORS`).
const SENDING_RUN: u32 = 3;

/// The longest time after which a BACKUP counts as able to send.
const LONGEST_LAPSE: Duration = Duration::from_secs(60);

/// How sending went lately: runs of equal results, and what they caused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sending {
    failed: u32,
    succeeded: u32,
    is_failing: bool,
    /// How often it began to fail since it last worked.
    failures: u32,
}

impl Sending {
    /// An advertisement was sent; `true` if sending works again with it.
    pub(crate) fn succeed(&mut self) -> bool {
        self.failed = 0;
        self.succeeded = self.succeeded.saturating_add(1);
        if self.succeeded < SENDING_RUN {
            return false;
        }
        self.failures = 0;
        core::mem::take(&mut self.is_failing)
    }

    /// An advertisement could not be sent; `true` if sending fails with it.
    pub(crate) fn fail(&mut self) -> bool {
        self.succeeded = 0;
        self.failed = self.failed.saturating_add(1);
        if self.failed < SENDING_RUN || self.is_failing {
            return false;
        }
        self.is_failing = true;
        self.failures = self.failures.saturating_add(1);
        true
    }

    /// Whether it is a cause of suppression.
    pub(crate) const fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// It is tried again once this host is MASTER.
    pub(super) const fn lapse(&mut self) {
        self.failed = 0;
        self.is_failing = false;
    }

    /// How long it stays a cause in BACKUP: the master-down time, and twice as long each time that
    /// sending fails again.
    fn lapse_after(&self, master_down_time: Duration) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        (master_down_time * (1 << doublings)).min(LONGEST_LAPSE)
    }
}

impl Vhost {
    /// A BACKUP sends nothing that could show that it can: the cause ends with time.
    pub(super) fn lapsing(&self, watch: Watch, env: &Env<'_>) -> Watch {
        let settings = &self.settings;
        let wait = master_down_time(settings.advbase, settings.advskew.get());
        let after = self.sending.lapse_after(wait);
        watch.with_lapse(self.sending.is_failing.then(|| env.now.instant + after))
    }
}
