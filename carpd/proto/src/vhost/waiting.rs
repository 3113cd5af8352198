//! A virtual host that waits as BACKUP.

use super::watch::{OwnWait, Watch};
use super::{Env, State, Vhost};
use crate::election::{Interval, effective_advskew, lease_time, master_down_time};

impl Vhost {
    /// Own parameters of the wait. A suppressed host waits by the advskew that it would advertise, so
    /// that healthy hosts time out first.
    pub(super) const fn own_wait(&self, env: &Env<'_>) -> OwnWait {
        let advskew = self.settings.advskew.get();
        OwnWait {
            advbase: self.settings.advbase,
            advskew: effective_advskew(advskew, env.suppress > 0),
        }
    }

    /// Moves the master-down deadline after a change of the own parameters.
    pub(super) fn adjust_wait(&mut self, watch: Watch, env: &Env<'_>) {
        let Watch { master_down, .. } = watch.recomputed(self.own_wait(env));
        self.state = State::Backup(watch.with_master_down(master_down.max(env.now.instant)));
    }

    /// Restarts the master-down timer.
    pub(super) fn master_lives(&mut self, watch: Watch, theirs: Interval, env: &Env<'_>) {
        self.state = State::Backup(watch.heard(theirs, env.now.instant, self.own_wait(env)));
    }

    /// Sets the time at which failed sending ends as a cause of suppression. A BACKUP sends nothing that
    /// could end it.
    pub(super) fn with_sending_lapse(&self, watch: Watch, env: &Env<'_>) -> Watch {
        let settings = &self.settings;
        let wait = master_down_time(settings.advbase, settings.advskew.get());
        let after = self.sending.lapse_after(wait);
        watch.with_sending_lapse(self.sending.is_failing().then(|| env.now.instant + after))
    }

    /// Returns true if the deadline is long past: this host stood still, and may have missed
    /// advertisements.
    pub(super) fn has_slept(&self, watch: Watch, env: &Env<'_>) -> bool {
        env.now.instant.since(watch.master_down) >= lease_time(self.settings.advbase)
    }
}
