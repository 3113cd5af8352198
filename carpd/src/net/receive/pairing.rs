//! Frames that two sockets hear on one wire, each of which is to be handed on once.

use core::time::Duration;
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;

use carp_proto::Instant;

/// How long the second of tap and ear may take to hear what the first has heard.
pub(super) const LAG: Duration = Duration::from_secs(1);

/// One of two sockets on the same wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Tap,
    Ear,
}

/// What one socket has heard and the other one not yet: equal frames as often as they came.
#[derive(Debug, Default)]
pub(super) struct Heard {
    hasher: RandomState,
    /// Who waits for the other one, by what the frame hashes to.
    waiting: HashMap<u64, (Side, VecDeque<u64>)>,
    /// In the order in which they came, those that wait no more included.
    frames: VecDeque<Frame>,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    number: u64,
    hash: u64,
    at: Instant,
    /// Whether it says something about the ear if that does not hear it.
    judged: bool,
}

impl Heard {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// `true` if the other one has heard an equal frame that waits for this.
    pub(super) fn cancel(&mut self, side: Side, frame: &[u8]) -> bool {
        let hash = self.hasher.hash_one(frame);
        match self.waiting.get_mut(&hash) {
            Some((by, numbers)) if *by != side => {
                numbers.pop_front();
                if numbers.is_empty() {
                    self.waiting.remove(&hash);
                }
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn note(&mut self, side: Side, frame: &[u8], judged: bool, now: Instant) {
        let (number, hash) = (self.next, self.hasher.hash_one(frame));
        self.next += 1;
        let (_, numbers) = self.waiting.entry(hash).or_insert((side, VecDeque::new()));
        numbers.push_back(number);
        self.frames.push_back(Frame {
            number,
            hash,
            at: now,
            judged,
        });
    }

    /// Waits no longer for what should have come by now; `true` if any of it was judged.
    pub(super) fn forget(&mut self, now: Instant, ear_empty: Instant) -> bool {
        let mut missed = false;
        while let Some(&frame) = self.frames.front() {
            // The ear's copy may wait in its socket until that was empty.
            if now.since(frame.at) < LAG || (frame.judged && ear_empty < frame.at + LAG / 2) {
                break;
            }
            self.frames.pop_front();
            if let Some((_, numbers)) = self.waiting.get_mut(&frame.hash)
                && numbers.front() == Some(&frame.number)
            {
                numbers.pop_front();
                if numbers.is_empty() {
                    self.waiting.remove(&frame.hash);
                }
                missed |= frame.judged;
            }
        }
        missed
    }

    /// Whether anything that says something about the ear still waits for it.
    pub(super) fn is_judging(&self) -> bool {
        let waits = |frame: &Frame| {
            let waiting = self.waiting.get(&frame.hash);
            waiting.is_some_and(|(_, numbers)| numbers.contains(&frame.number))
        };
        self.frames.iter().any(|frame| frame.judged && waits(frame))
    }

    /// Nothing of this says anything any more.
    pub(super) fn unjudge(&mut self) {
        for frame in &mut self.frames {
            frame.judged = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const NOW: Instant = Instant::from_micros(1_000_000);

    fn hear(heard: &mut Heard, side: Side, frame: u8) -> bool {
        let handed_on = !heard.cancel(side, &[frame]);
        if handed_on {
            heard.note(side, &[frame], side == Side::Tap, NOW);
        }
        handed_on
    }

    proptest! {
        /// Whatever comes how often, and whoever is ahead of the other by how much.
        #[test]
        fn what_both_hear_is_handed_on_as_often_as_it_came(
            wire in vec(0..4_u8, 0..40),
            order in vec(any::<bool>(), 0..80),
        ) {
            let mut heard = Heard::default();
            let (mut tap, mut ear) = (wire.iter(), wire.iter());
            let mut handed_on = Vec::new();
            for tap_first in order.into_iter().chain(core::iter::repeat_n(true, 40)).chain(core::iter::repeat_n(false, 40)) {
                let (side, next) = if tap_first {
                    (Side::Tap, tap.next())
                } else {
                    (Side::Ear, ear.next())
                };
                if let Some(frame) = next && hear(&mut heard, side, *frame) {
                    handed_on.push(*frame);
                }
            }
            let mut expected = wire;
            expected.sort_unstable();
            handed_on.sort_unstable();
            prop_assert_eq!(handed_on, expected);
            prop_assert!(heard.waiting.is_empty());
            prop_assert!(!heard.forget(NOW + LAG, NOW + LAG));
            prop_assert!(heard.is_empty());
        }

        /// What only one of them hears is handed on by that one, each time.
        #[test]
        fn what_one_of_them_misses_is_handed_on_nevertheless(
            wire in vec((0..4_u8, any::<bool>(), any::<bool>()), 0..40),
        ) {
            let mut heard = Heard::default();
            for (frame, tap, ear) in wire {
                let mut times = 0;
                for (side, hears) in [(Side::Tap, tap), (Side::Ear, ear)] {
                    if hears && hear(&mut heard, side, frame) {
                        times += 1;
                    }
                }
                // What one has missed before, an equal one can take the place of.
                prop_assert!(times <= usize::from(tap) + usize::from(ear));
                let missed = heard.forget(NOW + LAG, NOW + LAG);
                prop_assert_eq!(missed, tap && !ear);
                prop_assert_eq!(times, usize::from(tap || ear));
            }
        }
    }

    #[test]
    fn nothing_is_missed_before_the_ear_has_been_read() {
        let mut heard = Heard::default();
        hear(&mut heard, Side::Tap, 1);
        assert!(!heard.forget(NOW + LAG, NOW));
        assert!(!hear(&mut heard, Side::Ear, 1), "it was there all the time");
        hear(&mut heard, Side::Tap, 1);
        hear(&mut heard, Side::Tap, 1);
        hear(&mut heard, Side::Ear, 1);
        assert!(heard.forget(NOW + LAG, NOW + LAG), "one of two");
        assert!(heard.is_empty() && heard.waiting.is_empty());
    }
}
