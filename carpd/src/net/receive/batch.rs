//! Frames that were received together.

use core::ops::Range;

use carp_proto::IfIndex;

/// Frames of one read. The buffer keeps its memory from one read to the next.
#[derive(Debug)]
pub(crate) struct Batch {
    budget: usize,
    /// Number of frames that were read and are not in the batch.
    skipped: usize,
    bytes: Vec<u8>,
    frames: Vec<(IfIndex, Range<usize>)>,
}

impl Batch {
    /// Returns an empty batch for at most `budget` frames.
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            budget,
            skipped: 0,
            bytes: Vec::new(),
            frames: Vec::with_capacity(budget),
        }
    }

    /// Returns the frames in the order in which they were read, each with its physical interface.
    pub(crate) fn frames(&self) -> impl Iterator<Item = (IfIndex, &[u8])> {
        self.frames.iter().filter_map(|(interface, range)| {
            self.bytes
                .get(range.clone())
                .map(|bytes| (*interface, bytes))
        })
    }

    /// Returns true if the budget is spent, so that more frames may be waiting.
    pub(crate) fn is_full(&self) -> bool {
        self.read() >= self.budget
    }

    /// Returns true if no frame is in the batch.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Returns the number of frames that were read.
    pub(super) fn read(&self) -> usize {
        self.frames.len() + self.skipped
    }

    /// Counts a frame that was read and is not handed on.
    pub(super) fn skip(&mut self) {
        self.skipped += 1;
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
        self.skipped = 0;
    }

    pub(super) fn push(&mut self, interface: IfIndex, frame: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(frame);
        self.frames.push((interface, start..self.bytes.len()));
    }
}
