//! Pairing of the frames that two sources receive from one wire, so that each is handed on once.

use core::time::Duration;
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;

use carp_proto::Instant;

/// Limit for the time between the arrivals of one frame at both sources.
pub(super) const MAX_LAG: Duration = Duration::from_secs(1);

/// Source of frames of one wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The direct socket.
    Direct,
    /// The two helper devices.
    Helpers,
}

/// Frames that one source has received and the other not yet. Equal frames count as often as they came.
#[derive(Debug, Default)]
pub(super) struct Unpaired {
    hasher: RandomState,
    /// By hash of the frame: the source that has received it, and numbers in `frames`.
    waiting: HashMap<u64, (Source, VecDeque<u64>)>,
    /// In order of arrival, including frames that were paired since.
    frames: VecDeque<Frame>,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    number: u64,
    hash: u64,
    at: Instant,
    /// Set if the helper devices have lost an advertisement unless they receive this frame.
    is_evidence: bool,
}

impl Unpaired {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Pairs `frame` with an equal one of the other source. Returns false if there is none.
    pub(super) fn pair(&mut self, source: Source, frame: &[u8]) -> bool {
        let hash = self.hasher.hash_one(frame);
        match self.waiting.get_mut(&hash) {
            Some((first, numbers)) if *first != source => {
                numbers.pop_front();
                if numbers.is_empty() {
                    self.waiting.remove(&hash);
                }
                true
            }
            Some(_) | None => false,
        }
    }

    /// Adds a frame that waits for an equal one of the other source.
    pub(super) fn add(&mut self, source: Source, frame: &[u8], is_evidence: bool, now: Instant) {
        let (number, hash) = (self.next, self.hasher.hash_one(frame));
        self.next += 1;
        let (_, numbers) = self
            .waiting
            .entry(hash)
            .or_insert((source, VecDeque::new()));
        numbers.push_back(number);
        self.frames.push_back(Frame {
            number,
            hash,
            at: now,
            is_evidence,
        });
    }

    /// Removes frames that have waited too long, and returns true if that proves a loss. Copies may wait
    /// in the sockets of the helper devices, which had no frame left at `helpers_drained`.
    pub(super) fn expire(&mut self, now: Instant, helpers_drained: Instant) -> bool {
        let mut is_lost = false;
        while let Some(&frame) = self.frames.front() {
            let may_be_queued = frame.is_evidence && helpers_drained < frame.at + MAX_LAG / 2;
            if now.since(frame.at) < MAX_LAG || may_be_queued {
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
                is_lost |= frame.is_evidence;
            }
        }
        is_lost
    }

    /// Returns true while a frame waits that is evidence.
    pub(super) fn has_evidence(&self) -> bool {
        let waits = |frame: &Frame| {
            let waiting = self.waiting.get(&frame.hash);
            waiting.is_some_and(|(_, numbers)| numbers.contains(&frame.number))
        };
        self.frames
            .iter()
            .any(|frame| frame.is_evidence && waits(frame))
    }

    /// Takes all waiting frames for no evidence of a loss.
    pub(super) fn discard_evidence(&mut self) {
        for frame in &mut self.frames {
            frame.is_evidence = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use core::iter::repeat_n;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const NOW: Instant = Instant::from_micros(1_000_000);

    /// Returns true if the frame is handed on.
    fn receive(unpaired: &mut Unpaired, source: Source, frame: u8) -> bool {
        let is_new = !unpaired.pair(source, &[frame]);
        if is_new {
            unpaired.add(source, &[frame], source == Source::Direct, NOW);
        }
        is_new
    }

    proptest! {
        /// Frames of any number, in any order of the sources.
        #[test]
        fn frame_that_both_receive_is_handed_on_as_often_as_it_came(
            wire in vec(0..4_u8, 0..40),
            order in vec(any::<bool>(), 0..80),
        ) {
            let mut unpaired = Unpaired::default();
            let (mut direct, mut helpers) = (wire.iter(), wire.iter());
            let mut handed_on = Vec::new();
            for is_direct in order.into_iter().chain(repeat_n(true, 40)).chain(repeat_n(false, 40)) {
                let (source, next) = if is_direct {
                    (Source::Direct, direct.next())
                } else {
                    (Source::Helpers, helpers.next())
                };
                if let Some(frame) = next && receive(&mut unpaired, source, *frame) {
                    handed_on.push(*frame);
                }
            }
            let mut expected = wire;
            expected.sort_unstable();
            handed_on.sort_unstable();
            prop_assert_eq!(handed_on, expected);
            prop_assert!(unpaired.waiting.is_empty());
            prop_assert!(!unpaired.expire(NOW + MAX_LAG, NOW + MAX_LAG));
            prop_assert!(unpaired.is_empty());
        }

        #[test]
        fn frame_that_one_source_misses_is_handed_on_each_time(
            wire in vec((0..4_u8, any::<bool>(), any::<bool>()), 0..40),
        ) {
            let mut unpaired = Unpaired::default();
            for (frame, by_direct, by_helpers) in wire {
                let mut times = 0;
                for (source, receives) in [(Source::Direct, by_direct), (Source::Helpers, by_helpers)] {
                    if receives && receive(&mut unpaired, source, frame) {
                        times += 1;
                    }
                }
                // An equal frame can take the place of one that was missed before.
                prop_assert!(times <= usize::from(by_direct) + usize::from(by_helpers));
                let is_lost = unpaired.expire(NOW + MAX_LAG, NOW + MAX_LAG);
                prop_assert_eq!(is_lost, by_direct && !by_helpers);
                prop_assert_eq!(times, usize::from(by_direct || by_helpers));
            }
        }
    }

    #[test]
    fn frame_is_not_lost_before_the_helpers_have_been_read() {
        let mut unpaired = Unpaired::default();
        receive(&mut unpaired, Source::Direct, 1);
        assert!(!unpaired.expire(NOW + MAX_LAG, NOW));
        let is_new = receive(&mut unpaired, Source::Helpers, 1);
        assert!(!is_new, "it was in the socket all the time");
        receive(&mut unpaired, Source::Direct, 1);
        receive(&mut unpaired, Source::Direct, 1);
        receive(&mut unpaired, Source::Helpers, 1);
        assert!(
            unpaired.expire(NOW + MAX_LAG, NOW + MAX_LAG),
            "one of two was lost"
        );
        assert!(unpaired.is_empty() && unpaired.waiting.is_empty());
    }
}
