//! Words of a line of run-time state.

use std::str::{FromStr, SplitAsciiWhitespace};

/// Parses the next word.
pub(super) fn next<T: FromStr>(words: &mut SplitAsciiWhitespace<'_>) -> Option<T> {
    words.next()?.parse().ok()
}

/// Parses hexadecimal digits; no word means no bytes.
pub(super) fn bytes(words: &mut SplitAsciiWhitespace<'_>) -> Option<Vec<u8>> {
    let digits = words.next().unwrap_or_default();
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return None;
    };
    pairs
        .iter()
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
