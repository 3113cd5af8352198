//! What a restart must know and does not know yet.

use core::time::Duration;
use std::collections::BTreeSet;

use super::Engine;
use crate::memory::Unsaved;
use crate::name::Unit;
use crate::status::StateName;
use crate::time::Now;

/// A wall clock that is set forward by less goes unnoticed; what resumes reckons with more.
const STEP: Duration = Duration::from_millis(100);

/// What changed since [`Engine::take_unsaved`] was last called.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    units: BTreeSet<Unit>,
    heard: BTreeSet<Unit>,
    sysctls: bool,
    /// The least time by which the wall clock was ahead of the other since it was last set
    /// forward, in microseconds.
    ahead: Option<i128>,
}

impl Changes {
    pub(super) fn settings_or_state(&mut self, unit: Unit) {
        self.units.insert(unit);
    }

    pub(super) fn heard(&mut self, unit: Unit) {
        self.heard.insert(unit);
    }

    pub(super) const fn sysctls(&mut self) {
        self.sysctls = true;
    }

    /// Whether the wall clock was set forward.
    fn was_set_forward(&mut self, now: Now) -> bool {
        let ahead = i128::from(now.unix.micros()) - i128::from(now.instant.micros());
        let least = *self.ahead.get_or_insert(ahead);
        let forward = ahead > least.saturating_add_unsigned(STEP.as_micros());
        if forward || ahead < least {
            self.ahead = Some(ahead);
        }
        forward
    }
}

impl Engine {
    /// Whether settings, states or sysctls changed since [`Engine::take_unsaved`] was last called.
    #[must_use]
    pub fn has_unsaved(&self) -> bool {
        self.changes.sysctls || !self.changes.units.is_empty()
    }

    /// Whether anything was accepted in replay mode 2 since then.
    #[must_use]
    pub fn has_heard(&self) -> bool {
        !self.changes.heard.is_empty()
    }

    /// What another carpd must know to [resume](crate::Input::Resume), as far as it changed.
    #[must_use]
    pub fn take_unsaved(&mut self, now: Now) -> Unsaved {
        let mut units = core::mem::take(&mut self.changes.units);
        units.append(&mut self.changes.heard);
        self.changes.sysctls = false;
        let remember = |unit| {
            (
                unit,
                self.vhosts.get(&unit).map(|vhost| vhost.remembered(now)),
            )
        };
        Unsaved {
            sysctls: self.sysctls,
            interfaces: units.into_iter().map(remember).collect(),
        }
    }

    /// Counters are sealed with the wall clock: where it was set forward, those that were sealed
    /// since are beyond what the next carpd would reckon.
    pub(super) fn watch_clock(&mut self, now: Now) {
        if self.changes.was_set_forward(now) {
            let vhosts = self.vhosts.values();
            let masters = vhosts.filter(|vhost| vhost.state() == StateName::Master);
            self.changes.units.extend(masters.map(|vhost| vhost.unit));
        }
    }
}
