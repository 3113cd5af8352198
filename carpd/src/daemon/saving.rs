//! When the loop hands run-time state to the writer.

use std::time::Duration;

use carp_proto::Instant;
use tokio::sync::oneshot;

use super::Daemon;

/// How long the counters of what was heard in replay mode 2 wait until they are saved. A change of
/// settings or of a state does not wait.
const SAVE_COUNTERS: Duration = Duration::from_secs(1);

impl Daemon {
    /// When to save; `None` if there is nothing to save.
    pub(super) fn next_save(&self) -> Option<Instant> {
        if !self.complete {
            None
        } else if self.engine.has_unsaved() {
            Some(self.saved)
        } else if self.engine.has_heard() {
            Some(self.saved + SAVE_COUNTERS)
        } else {
            None
        }
    }

    /// Notifies `done` once a restart would know everything that has happened until now. Until
    /// everything is set up, a restart begins with rc.conf again.
    pub(super) fn save_and_notify(&mut self, done: oneshot::Sender<()>) {
        if self.complete {
            let now = self.clock.now();
            let unsaved = self.engine.has_unsaved().then(|| {
                self.saved = now.instant;
                self.engine.take_unsaved(now)
            });
            self.keeper.save_and_notify(unsaved, done);
        }
    }
}
