//! The error of every parser that judges form alone.

/// Bytes that contradict themselves, or that the parser does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed packet")]
pub struct Malformed;
