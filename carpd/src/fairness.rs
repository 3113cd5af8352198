//! Fairness of the protocol loop: received frames, deadlines and queues each get their turn.
//!
//! A flood can deliver another frame whenever the loop asks for one. Two counters bound what it delays.

/// Maximum number of frames in a batch.
pub(crate) const BATCH: usize = 256;

/// Maximum number of entries that a turn takes from each queue.
pub(crate) const QUEUE_TURN: usize = 32;

/// The queues get a turn after this many batches in a row.
const BATCHES_PER_TURN: u32 = 4;

/// An expired deadline waits for at most this many full batches.
const FULL_BATCHES_PER_DEADLINE: u32 = 16;

/// Counters of batches that were read in a row.
#[derive(Debug, Default)]
pub(crate) struct Fairness {
    /// Full batches since the deadline expired.
    postponed: u32,
    /// Batches since the queues had their turn.
    batches: u32,
}

impl Fairness {
    /// Returns whether to handle an expired deadline after a batch, full or not.
    ///
    /// While full batches keep arriving, the deadline waits: the advertisement that cancels it can
    /// still be queued, for example after this process was stopped for a while. A batch that is not
    /// full has emptied the queues. The wait is bounded, so that a flood cannot stop this host from
    /// advertising.
    pub(crate) fn handles_deadline(&mut self, has_expired: bool, batch_is_full: bool) -> bool {
        let waits = has_expired && batch_is_full && self.postponed < FULL_BATCHES_PER_DEADLINE;
        if waits {
            self.postponed += 1;
        } else {
            self.postponed = 0;
        }
        has_expired && !waits
    }

    /// Counts a batch, and returns whether the queues get their turn now.
    pub(crate) fn queues_have_their_turn(&mut self) -> bool {
        self.batches += 1;
        let turn = self.batches >= BATCHES_PER_TURN;
        if turn {
            self.batches = 0;
        }
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadline_is_handled_after_a_batch_that_emptied_the_queues() {
        let mut fairness = Fairness::default();
        assert!(fairness.handles_deadline(true, false));
        assert!(!fairness.handles_deadline(true, true));
        assert!(fairness.handles_deadline(true, false));
    }

    #[test]
    fn deadline_waits_for_a_bounded_number_of_full_batches() {
        let mut fairness = Fairness::default();
        for _ in 0..2 {
            let waited = (0..).take_while(|_| !fairness.handles_deadline(true, true));
            assert_eq!(waited.count(), 16);
        }
    }

    #[test]
    fn wait_of_a_deadline_begins_anew_once_none_has_expired() {
        let mut fairness = Fairness::default();
        assert!(!fairness.handles_deadline(true, true));
        assert!(!fairness.handles_deadline(false, true));
        let waited = (0..).take_while(|_| !fairness.handles_deadline(true, true));
        assert_eq!(waited.count(), 16);
    }

    #[test]
    fn queues_have_every_fourth_turn() {
        let mut fairness = Fairness::default();
        let turns: Vec<bool> = (0..8).map(|_| fairness.queues_have_their_turn()).collect();
        let four = [false, false, false, true];
        assert_eq!(turns, [four, four].concat());
    }
}
