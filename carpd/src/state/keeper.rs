//! The thread that writes run-time state.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use carp_proto::UnsavedState;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{info, warn};

use super::file::Place;
use super::format::Saved;
use crate::clock::Clock;
use crate::lock::lock;

/// Pause before a file that could not be written is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Time to wait for the disk at the end.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// The writer rests this many times as long as the last write took. Thousands of transitions, one
/// by one, must not keep a processor busy with the same file.
const REST: u32 = 4;

/// Handle of the writer of run-time state. When it is dropped, the file stays as it is.
#[derive(Debug)]
pub(crate) struct Keeper {
    slot: Arc<Slot>,
    done: oneshot::Receiver<()>,
}

/// The file at the end.
#[derive(Debug)]
pub(crate) enum Last {
    /// It is written once more, for the next instance.
    Keep(UnsavedState),
    /// It is removed.
    Forget,
}

/// Changes that the protocol's thread leaves for the writer. Neither holds the lock longer than to
/// add or take them.
#[derive(Debug, Default)]
struct Slot {
    pending: Mutex<Pending>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    unsaved: Option<UnsavedState>,
    /// Notified once all changes until then are in the file, or could not be written.
    waiting: Vec<oneshot::Sender<()>>,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Stop,
    Forget,
}

impl Slot {
    fn put(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut lock(&self.pending));
        self.filled.notify_one();
    }

    /// Waits for changes, for `limit` at most.
    fn take(&self, limit: Option<Duration>) -> Pending {
        let pending = lock(&self.pending);
        let mut pending = match limit {
            None => self
                .filled
                .wait_while(pending, |pending| pending.is_empty())
                .unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                self.filled
                    .wait_timeout_while(pending, limit, |pending| pending.is_empty())
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        core::mem::take(&mut *pending)
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.unsaved.is_none() && self.waiting.is_empty() && self.end.is_none()
    }

    fn add(&mut self, unsaved: UnsavedState) {
        match &mut self.unsaved {
            None => self.unsaved = Some(unsaved),
            Some(earlier) => {
                earlier.sysctls = unsaved.sysctls;
                earlier.interfaces.extend(unsaved.interfaces);
            }
        }
    }
}

impl Keeper {
    /// Starts the thread. The file stays as it is until the first save.
    ///
    /// # Errors
    /// If the thread cannot be made.
    pub(crate) fn start(place: Place) -> io::Result<Self> {
        let slot = Arc::new(Slot::default());
        let (finish, done) = oneshot::channel();
        let writer = Writer {
            place,
            saved: Saved::default(),
            failed: false,
        };
        let jobs = Arc::clone(&slot);
        thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || {
                writer.run(&jobs);
                // Fails if the loop is gone.
                let _ = finish.send(());
            })?;
        Ok(Self { slot, done })
    }

    /// Saves changes as soon as the present write is done. Never blocks.
    pub(crate) fn save(&self, unsaved: UnsavedState) {
        self.slot.put(|pending| pending.add(unsaved));
    }

    /// As [`Keeper::save`]. `done` is notified once the file has this and all changes before, or
    /// cannot be written.
    pub(crate) fn save_and_notify(&self, unsaved: Option<UnsavedState>, done: oneshot::Sender<()>) {
        self.slot.put(|pending| {
            if let Some(unsaved) = unsaved {
                pending.add(unsaved);
            }
            pending.waiting.push(done);
        });
    }

    /// Ends the thread, within a few seconds; returns `false` if it was not done by then.
    pub(crate) async fn end(mut self, last: Last) -> bool {
        self.slot.put(|pending| match last {
            Last::Keep(unsaved) => {
                pending.add(unsaved);
                pending.end = Some(End::Stop);
            }
            Last::Forget => pending.end = Some(End::Forget),
        });
        // An error means that the thread has ended, and has nothing left to do.
        timeout(END_TIMEOUT, &mut self.done).await.is_ok()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.slot.put(|pending| {
            pending.end.get_or_insert(End::Stop);
        });
    }
}

struct Writer {
    place: Place,
    saved: Saved,
    /// True if the last write failed.
    failed: bool,
}

impl Writer {
    fn run(mut self, slot: &Slot) {
        loop {
            let pending = slot.take(self.failed.then_some(RETRY_INTERVAL));
            if let Some(End::Forget) = pending.end {
                if let Err(error) = self.place.remove() {
                    warn!("cannot remove {}: {error}", self.place.display());
                }
                return;
            }
            let changed = pending.unsaved.is_some();
            if let Some(unsaved) = pending.unsaved {
                self.saved.memory.update(unsaved);
            }
            let started = Clock.now().instant;
            if changed || self.failed {
                self.write();
            }
            let took = Clock.now().instant.since(started);
            for waiting in pending.waiting {
                // Fails if the client is gone.
                let _ = waiting.send(());
            }
            if let Some(End::Stop) = pending.end {
                return;
            }
            thread::sleep(took * REST);
        }
    }

    fn write(&mut self) {
        let place = self.place.display();
        match self.place.save(&mut self.saved, Clock) {
            Ok(()) if self.failed => {
                info!("{place} is up to date again");
                self.failed = false;
            }
            Ok(()) => {}
            Err(error) if !self.failed => {
                warn!(
                    "cannot write {place}: {error}; carpd goes on, but one that starts after a \
                     crash would not know what has changed since the file was written last"
                );
                self.failed = true;
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::recall;
    use super::*;

    fn log_is(log: u8) -> UnsavedState {
        let mut unsaved = UnsavedState {
            sysctls: carp_proto::Sysctls::default(),
            interfaces: std::collections::BTreeMap::new(),
        };
        unsaved.sysctls.log = log;
        unsaved
    }

    #[tokio::test]
    async fn notified_change_is_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let keeper = Keeper::start(Place::new(directory.path())).unwrap();
        for log in 0..20 {
            keeper.save(log_is(99));
            let (done, saved) = oneshot::channel();
            keeper.save_and_notify(Some(log_is(log)), done);
            saved.await.unwrap();
            let past = recall(&Place::new(directory.path()), Clock).unwrap();
            assert_eq!(past.memory.sysctls.log, log);
        }
        assert!(keeper.end(Last::Forget).await);
        assert!(recall(&Place::new(directory.path()), Clock).is_none());
    }

    #[tokio::test]
    async fn client_is_answered_when_the_file_cannot_be_written() {
        let directory = tempfile::tempdir().unwrap();
        let nowhere = directory.path().join("missing");
        let keeper = Keeper::start(Place::new(&nowhere)).unwrap();
        let (done, saved) = oneshot::channel();
        keeper.save_and_notify(Some(log_is(1)), done);
        saved.await.unwrap();
        assert!(keeper.end(Last::Keep(log_is(2))).await);
    }
}
