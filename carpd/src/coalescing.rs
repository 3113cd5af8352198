//! Frames that come one behind the other: when to let some come in before they are read.

use std::thread;
use std::time::Duration;

use carp_proto::Instant;

/// Frames that come within such a time of others are read together with what follows: 255 virtual
/// hosts of a peer advertise in a row, and each frame would wake the protocol's thread.
const GATHER: Duration = Duration::from_millis(1);

/// Nothing is gathered that near to a deadline, nor, therefore, where peers advertise that often.
const NEAR: Duration = Duration::from_millis(50);

/// Coalesces frames as network cards coalesce their interrupts.
///
/// **Invariant:** the first of a row is never kept waiting, nor is a deadline.
#[derive(Debug)]
pub(crate) struct Coalescing {
    heard: Instant,
}

impl Coalescing {
    /// Nothing was heard yet.
    pub(crate) const fn new() -> Self {
        Self {
            heard: Instant::ZERO,
        }
    }

    /// Lets frames come in for a moment, now that all were read, if they come one behind the other.
    pub(crate) fn wait(&mut self, now: Instant, deadline: Option<Instant>) {
        if let Some(pause) = self.pause(now, deadline) {
            // Not tokio's: every frame would wake that.
            thread::sleep(pause);
        }
    }

    /// How long to wait; `None` if the frames to come shall wake us.
    fn pause(&mut self, now: Instant, deadline: Option<Instant>) -> Option<Duration> {
        let goes_on = now.since(self.heard) < GATHER;
        let is_free = deadline.is_none_or(|deadline| deadline.since(now) > NEAR);
        self.heard = now;
        (goes_on && is_free).then(|| {
            // What comes after the pause still belongs to the row.
            self.heard = now + GATHER;
            GATHER
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(1_000_000 + micros)
    }

    #[test]
    fn the_first_of_a_row_is_not_kept_waiting_and_the_others_are() {
        let mut coalescing = Coalescing::new();
        assert_eq!(coalescing.pause(at(0), None), None);
        assert_eq!(coalescing.pause(at(20), None), Some(GATHER));
        assert_eq!(coalescing.pause(at(1_100), None), Some(GATHER));
        assert_eq!(coalescing.pause(at(1_000_000), None), None);
    }

    #[test]
    fn frames_that_come_one_by_one_are_never_kept_waiting() {
        let mut coalescing = Coalescing::new();
        for micros in (0..100_000).step_by(1_000) {
            assert_eq!(coalescing.pause(at(micros), None), None, "{micros}");
        }
    }

    #[test]
    fn nothing_waits_when_a_deadline_is_near_or_has_passed() {
        let mut coalescing = Coalescing::new();
        assert_eq!(coalescing.pause(at(0), None), None);
        for due in [0, 500, 50_010] {
            assert_eq!(coalescing.pause(at(10), Some(at(due))), None, "{due}");
        }
        assert_eq!(coalescing.pause(at(20), Some(at(50_021))), Some(GATHER));
    }
}
