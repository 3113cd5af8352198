//! What a BACKUP knows of its master, and when it counts it as dead.

use super::{Env, State, Vhost};
use crate::config::Settings;
use crate::election::master_down_time;
use crate::time::Instant;

/// What a BACKUP keeps in mind. One for both address families: a master that is heard by either of
/// them lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    /// When the master was last heard, or this host began to listen.
    heard: Instant,
    /// When the master counts as dead.
    pub(super) master_down: Instant,
}

impl Watch {
    /// Begins to listen at `now`.
    pub(super) fn starting(now: Instant, settings: &Settings) -> Self {
        Self {
            heard: now,
            master_down: now,
        }
        .derived(settings)
    }

    /// Derives the deadline from what was heard and from `settings`: no change of settings
    /// postpones a takeover by more than they say.
    fn derived(self, settings: &Settings) -> Self {
        let wait = master_down_time(settings.advbase, settings.advskew.get());
        Self {
            master_down: self.heard + wait,
            ..self
        }
    }
}

impl Vhost {
    /// The settings changed: the master was heard when it was, but this host waits by the new ones.
    pub(super) fn adjust_wait(&mut self, watch: Watch, env: &Env<'_>) {
        let Watch { master_down, .. } = watch.derived(&self.settings);
        self.state = State::Backup(Watch {
            master_down: master_down.max(env.now.instant),
            ..watch
        });
    }

    /// The master was heard.
    pub(super) fn master_lives(&mut self, env: &Env<'_>) {
        self.state = State::Backup(Watch::starting(env.now.instant, &self.settings));
    }
}
