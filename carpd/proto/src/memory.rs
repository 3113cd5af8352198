//! What a carpd that comes back must know of the one before.
//!
//! **Invariant:** what is resumed is never less than what was sent or accepted before, however long
//! before the end it was remembered.

use std::collections::BTreeMap;

use crate::name::Unit;
use crate::settings::Settings;
use crate::status::StateName;
use crate::sysctl::Sysctls;
use crate::time::{Instant, Now};

/// Everything that one carpd tells the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The sysctls as they were set.
    pub sysctls: Sysctls,
    /// Every carp interface.
    pub interfaces: BTreeMap<Unit, Remembered>,
}

/// What changed since it was last asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsaved {
    /// The sysctls, whether they changed or not.
    pub sysctls: Sysctls,
    /// What changed of the carp interfaces; `None` for one that is gone.
    pub interfaces: BTreeMap<Unit, Option<Remembered>>,
}

/// What is remembered of one carp interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Everything that is set on it.
    pub settings: Settings,
    /// The state it was in.
    pub state: StateName,
    /// The last counter sealed for IPv4 and for IPv6; 0 if there was none.
    pub sealed: [u64; 2],
    /// The last one accepted in replay mode 2 for IPv4 and for IPv6, and when.
    pub accepted: [Accepted; 2],
    /// When all this was so.
    pub at: Now,
}

/// What was accepted in replay mode 2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The greatest counter that counts; 0 if there was none.
    pub counter: u64,
    /// When the last one came in.
    pub at: Instant,
    /// Counters that were accepted or sent lately, at most [`Spent::MOST`](crate::Spent::MOST),
    /// ascending: a clock that is set back may come to them again.
    pub spent: Vec<u64>,
}

impl Memory {
    /// Takes in what changed.
    pub fn update(&mut self, unsaved: Unsaved) {
        self.sysctls = unsaved.sysctls;
        let before = core::mem::take(&mut self.interfaces);
        let kept = before.into_iter().map(|(unit, known)| (unit, Some(known)));
        // Made as a whole, a map has no room for more: for thousands of interfaces that is
        // half of it. Of two values for a key it has the second.
        let all: BTreeMap<_, _> = kept.chain(unsaved.interfaces).collect();
        let there = all
            .into_iter()
            .filter_map(|(unit, known)| Some((unit, known?)));
        self.interfaces = there.collect();
    }
}
