//! Results of sending: a cause of suppression that ends in every state.

use core::time::Duration;

/// Number of advertisements in a row after which a failure suppresses preemption, and a success ends
/// that (`ip_carp.c`, `CARP_SENDAD_MAX_ERRORS`).
const RUN_LENGTH: u32 = 3;

/// Upper limit of the time after which a BACKUP counts as able to send.
const LONGEST_LAPSE: Duration = Duration::from_secs(60);

/// Runs of equal results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sending {
    failed: u32,
    succeeded: u32,
    is_failing: bool,
    /// Failing runs since the last successful run.
    failing_runs: u32,
}

impl Sending {
    /// Records a success. Returns true if sending no longer fails.
    pub(crate) fn succeed(&mut self) -> bool {
        self.failed = 0;
        self.succeeded = self.succeeded.saturating_add(1);
        if self.succeeded < RUN_LENGTH {
            return false;
        }
        self.failing_runs = 0;
        core::mem::take(&mut self.is_failing)
    }

    /// Records a failure. Returns true if sending now fails.
    pub(crate) fn fail(&mut self) -> bool {
        self.succeeded = 0;
        self.failed = self.failed.saturating_add(1);
        if self.failed < RUN_LENGTH || self.is_failing {
            return false;
        }
        self.is_failing = true;
        self.failing_runs = self.failing_runs.saturating_add(1);
        true
    }

    /// Returns true while sending is a cause of suppression.
    pub(crate) const fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// Ends the cause without a success. Sending is tried again when this host is MASTER.
    pub(super) const fn lapse(&mut self) {
        self.failed = 0;
        self.is_failing = false;
    }

    /// Time that the cause lasts in BACKUP: the master-down time, doubled for each failing run.
    pub(super) fn lapse_after(&self, master_down_time: Duration) -> Duration {
        let doublings = self.failing_runs.saturating_sub(1).min(16);
        (master_down_time * (1 << doublings)).min(LONGEST_LAPSE)
    }
}
