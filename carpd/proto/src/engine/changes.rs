//! Changes since the state was last saved.

use core::time::Duration;
use std::collections::BTreeSet;

use crate::name::Unit;
use crate::time::Now;

/// A smaller step forward of the wall clock goes unnoticed. After a restart counters continue further
/// ahead than this.
const UNNOTICED_STEP: Duration = Duration::from_millis(100);

/// Changes since [`Engine::take_unsaved`](crate::Engine::take_unsaved) was last called.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    units: BTreeSet<Unit>,
    heard: BTreeSet<Unit>,
    has_sysctls: bool,
    /// Least difference of the wall clock and the monotonic clock since the wall clock was last set
    /// forward, in microseconds.
    clock_difference: Option<i128>,
}

impl Changes {
    pub(super) fn settings_or_state(&mut self, unit: Unit) {
        self.units.insert(unit);
    }

    /// A counter was accepted in replay mode 2.
    pub(super) fn heard(&mut self, unit: Unit) {
        self.heard.insert(unit);
    }

    pub(super) const fn sysctls(&mut self) {
        self.has_sysctls = true;
    }

    /// Returns true after a change of settings, states or sysctls.
    pub(super) fn must_save(&self) -> bool {
        self.has_sysctls || !self.units.is_empty()
    }

    pub(super) fn has_heard(&self) -> bool {
        !self.heard.is_empty()
    }

    /// Takes the carp interfaces that changed.
    pub(super) fn take(&mut self) -> BTreeSet<Unit> {
        let mut units = core::mem::take(&mut self.units);
        units.append(&mut self.heard);
        self.has_sysctls = false;
        units
    }

    /// Returns true if the wall clock was set forward.
    pub(super) fn was_set_forward(&mut self, now: Now) -> bool {
        let difference = i128::from(now.unix.micros()) - i128::from(now.instant.micros());
        let least = *self.clock_difference.get_or_insert(difference);
        let is_forward = difference > least.saturating_add_unsigned(UNNOTICED_STEP.as_micros());
        if is_forward || difference < least {
            self.clock_difference = Some(difference);
        }
        is_forward
    }
}
