//! State of carpd that survives a restart.

use std::collections::BTreeMap;

use crate::name::Unit;
use crate::settings::Settings;
use crate::status::StateName;
use crate::sysctl::Sysctls;
use crate::time::{Instant, Now};

/// State of one instance, for the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedState {
    /// Sysctls as set.
    pub sysctls: Sysctls,
    /// All carp interfaces.
    pub interfaces: BTreeMap<Unit, SavedInterface>,
}

/// Changes since the state was last saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsavedState {
    /// Sysctls, changed or not.
    pub sysctls: Sysctls,
    /// Carp interfaces that changed; `None` for one that was removed.
    pub interfaces: BTreeMap<Unit, Option<SavedInterface>>,
}

/// State of one carp interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedInterface {
    /// All settings.
    pub settings: Settings,
    /// State of the virtual host.
    pub state: StateName,
    /// Last counter sealed for IPv4 and for IPv6; 0 if there was none.
    pub sealed: [u64; 2],
    /// Counters accepted for IPv4 and for IPv6.
    pub accepted: [AcceptedCounters; 2],
    /// Time of all this.
    pub at: Now,
}

/// Counters accepted in replay mode 2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcceptedCounters {
    /// Counter up to which all are spent; 0 if there is none.
    pub counter: u64,
    /// Time of the last one.
    pub at: Instant,
    /// Counters accepted or sent lately, ascending, at most [`Spent::MOST`](crate::Spent::MOST). A clock
    /// that is set back may pass their times again.
    pub spent: Vec<u64>,
}

impl SavedState {
    /// Adds changes.
    pub fn update(&mut self, unsaved: UnsavedState) {
        self.sysctls = unsaved.sysctls;
        let before = core::mem::take(&mut self.interfaces);
        let kept = before
            .into_iter()
            .map(|(unit, interface)| (unit, Some(interface)));
        // A map that is made at once has no spare room, which for thousands of interfaces is half of its
        // size. Of two values for a key it takes the second.
        let all: BTreeMap<_, _> = kept.chain(unsaved.interfaces).collect();
        let present = all
            .into_iter()
            .filter_map(|(unit, interface)| Some((unit, interface?)));
        self.interfaces = present.collect();
    }
}
