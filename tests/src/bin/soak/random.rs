//! Numbers that follow from a seed alone, so that a run can be repeated.

/// `SplitMix64`, by Sebastiano Vigna.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Below `end`, which is not 0.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// One of `all`.
    #[expect(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "it is below the length of an array"
    )]
    pub(crate) const fn one_of<T: Copy, const N: usize>(&mut self, all: [T; N]) -> T {
        const { assert!(N > 0) };
        all[self.below(N as u64) as usize]
    }
}
