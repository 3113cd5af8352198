//! State that the next instance needs and that is not saved yet.

use super::Engine;
use crate::saved::UnsavedState;
use crate::status::StateName;
use crate::time::Now;

impl Engine {
    /// Returns true if settings, states or sysctls changed since [`Engine::take_unsaved`] was last
    /// called.
    #[must_use]
    pub fn has_unsaved(&self) -> bool {
        self.changes.must_save()
    }

    /// Returns true if an advertisement was accepted in replay mode 2 since then.
    #[must_use]
    pub fn has_heard(&self) -> bool {
        self.changes.has_heard()
    }

    /// Changes that another instance needs to [resume](crate::Input::Resume).
    #[must_use]
    pub fn take_unsaved(&mut self, now: Now) -> UnsavedState {
        let units = self.changes.take();
        let remember = |unit| {
            let vhost = self.vhosts.get(&unit);
            (unit, vhost.map(|vhost| vhost.saved(now)))
        };
        UnsavedState {
            sysctls: self.sysctls,
            interfaces: units.into_iter().map(remember).collect(),
        }
    }

    /// Marks each MASTER as changed after the wall clock was set forward. Its counters are sealed by that
    /// clock, and would exceed the next instance's bound.
    pub(super) fn watch_clock(&mut self, now: Now) {
        if self.changes.was_set_forward(now) {
            let vhosts = self.vhosts.values();
            let masters = vhosts.filter(|vhost| vhost.state() == StateName::Master);
            for vhost in masters {
                self.changes.settings_or_state(vhost.unit);
            }
        }
    }
}
