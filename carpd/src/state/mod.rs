//! Run-time state: the facts that carpd needs to resume after it was killed or told to keep its
//! addresses.
//!
//! The protocol never waits for a disk. A file counts only if it is complete, root's own, and of
//! this boot.

mod file;
pub(crate) mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
mod keeper;
mod saving;
mod version1;
mod words;

pub(crate) use self::file::{Past, Place, recall};
pub(crate) use self::keeper::{Keeper, Last};
pub(crate) use self::saving::Saving;
