//! Schedule of saving: when the protocol loop hands run-time state to the writer.

use std::time::Duration;

use carp_proto::{Engine, Instant, Now};
use tokio::sync::oneshot;

use super::keeper::{Keeper, Last};

/// Longest time until the counters of received advertisements, in replay mode 2, are saved.
/// Settings and states are saved at once.
const COUNTERS_INTERVAL: Duration = Duration::from_secs(1);

/// Saves the state of an engine.
///
/// Nothing is saved until the configuration is complete: a restart before that reads rc.conf
/// again.
#[derive(Debug)]
pub(crate) struct Saving {
    keeper: Keeper,
    is_complete: bool,
    last: Instant,
}

impl Saving {
    /// Saves to `keeper`, once the configuration [is complete](Self::complete).
    pub(crate) const fn new(keeper: Keeper) -> Self {
        Self {
            keeper,
            is_complete: false,
            last: Instant::ZERO,
        }
    }

    /// Records that every configured interface is set up.
    pub(crate) const fn complete(&mut self) {
        self.is_complete = true;
    }

    /// Returns whether every configured interface is set up.
    pub(crate) const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Returns the time of the next [`tick`](Self::tick); `None` if there is nothing to save.
    pub(crate) fn deadline(&self, engine: &Engine) -> Option<Instant> {
        if !self.is_complete {
            None
        } else if engine.has_unsaved() {
            Some(self.last)
        } else if engine.has_heard() {
            Some(self.last + COUNTERS_INTERVAL)
        } else {
            None
        }
    }

    /// Saves, if it is time.
    pub(crate) fn tick(&mut self, engine: &mut Engine, now: Now) {
        if self.deadline(engine).is_some_and(|due| due <= now.instant) {
            self.last = now.instant;
            self.keeper.save(engine.take_unsaved(now));
        }
    }

    /// Notifies `done` once everything that has happened so far would survive a restart.
    pub(crate) fn save_and_notify(
        &mut self,
        engine: &mut Engine,
        now: Now,
        done: oneshot::Sender<()>,
    ) {
        if self.is_complete {
            let unsaved = engine.has_unsaved().then(|| {
                self.last = now.instant;
                engine.take_unsaved(now)
            });
            self.keeper.save_and_notify(unsaved, done);
        }
    }

    /// Ends the writer; returns `false` if it does not end in time.
    pub(crate) async fn end(self, last: Last) -> bool {
        self.keeper.end(last).await
    }
}
