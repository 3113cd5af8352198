//! Reason for a refused value.

/// Reason for a refused value.
#[derive(Debug, PartialEq, Eq)]
pub enum BadValue {
    /// It does not match [`Keyword::wants`](super::Keyword::wants).
    Mismatch,
    /// Another reason, as a line.
    Because(String),
}
