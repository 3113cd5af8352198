//! A fuzzer's bytes as decisions. Where they end, every decision is 0, so that any prefix of an
//! input is an input too.

/// What is left of them.
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// All of them are left.
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left to decide.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// The next bit, as a byte of its own.
    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// The next eight bytes.
    pub(crate) fn long(&mut self) -> u64 {
        u64::from_be_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// One of `all`, which has at most 256.
    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    /// At most `most` bytes.
    pub(crate) fn some(&mut self, most: u8) -> &'a [u8] {
        let wanted = usize::from(self.byte()) % (usize::from(most) + 1);
        let (some, rest) = self.0.split_at(wanted.min(self.0.len()));
        self.0 = rest;
        some
    }
}
