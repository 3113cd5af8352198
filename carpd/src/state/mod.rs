//! Run-time state: what a carpd that comes back must know of the one that was killed, or told to
//! keep everything.
//!
//! **Invariant:** the protocol never waits for a disk, and no file is believed that is not whole,
//! root's own and of this boot.

mod file;
pub(crate) mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
mod keeper;
mod saving;
mod version1;

pub(crate) use self::file::{Past, Place, recall};
pub(crate) use self::keeper::{Keeper, Last};
pub(crate) use self::saving::Saving;
