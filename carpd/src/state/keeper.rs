//! The thread that writes run-time state.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use carp_proto::Unsaved;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::file::Place;
use super::format::Saved;
use crate::clock::Clock;

/// How long to wait before a file that could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// How long the end waits for a disk.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it looks whether the disk has done.
const PAUSE: Duration = Duration::from_millis(5);

/// Has run-time state written. If it is dropped, the file stays as it is.
#[derive(Debug)]
pub(crate) struct Keeper {
    queue: SyncSender<Job>,
    done: oneshot::Receiver<()>,
    /// What there was no room for.
    unsent: Option<Unsaved>,
}

/// What becomes of the file at the end.
#[derive(Debug)]
pub(crate) enum Last {
    /// It has this in it too, for the next carpd.
    Keep(Unsaved),
    /// It is removed.
    Forget,
}

#[derive(Debug)]
enum Job {
    Save(Unsaved),
    Forget,
}

impl Keeper {
    /// Starts the thread. What is in the file stays there until something is saved.
    ///
    /// # Errors
    /// If the thread cannot be made.
    pub(crate) fn start(place: Place) -> io::Result<Self> {
        // One being written, one waiting: what comes meanwhile is put together by the sender.
        let (queue, jobs) = sync_channel(1);
        let (finish, done) = oneshot::channel();
        thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || {
                Writer {
                    place,
                    saved: Saved::default(),
                    failed: false,
                }
                .run(&jobs);
                // Nobody waits if the loop is gone.
                let _ = finish.send(());
            })?;
        Ok(Self {
            queue,
            done,
            unsent: None,
        })
    }

    /// Has what changed written, as soon as there is room. Never blocks.
    pub(crate) fn save(&mut self, unsaved: Unsaved) {
        let unsaved = self.gather(unsaved);
        match self.queue.try_send(Job::Save(unsaved)) {
            Err(TrySendError::Full(Job::Save(unsaved))) => self.unsent = Some(unsaved),
            // The thread is gone only if it has failed.
            Err(TrySendError::Full(Job::Forget) | TrySendError::Disconnected(_)) | Ok(()) => {}
        }
    }

    /// Whether [`Keeper::save`] has to be called again, with whatever has changed by then.
    pub(crate) const fn is_behind(&self) -> bool {
        self.unsent.is_some()
    }

    /// Ends the thread, within a few seconds; `false` if it was not done by then.
    pub(crate) async fn end(mut self, last: Last) -> bool {
        let mut job = match last {
            Last::Keep(unsaved) => Job::Save(self.gather(unsaved)),
            Last::Forget => Job::Forget,
        };
        let Self { queue, done, .. } = self;
        timeout(PATIENCE, async {
            while let Err(TrySendError::Full(unsent)) = queue.try_send(job) {
                job = unsent;
                sleep(PAUSE).await;
            }
            drop(queue);
            // It fails if the thread has, which has nothing more to do.
            let _ = done.await;
        })
        .await
        .is_ok()
    }

    fn gather(&mut self, unsaved: Unsaved) -> Unsaved {
        match self.unsent.take() {
            None => unsaved,
            Some(mut earlier) => {
                earlier.sysctls = unsaved.sysctls;
                earlier.interfaces.extend(unsaved.interfaces);
                earlier
            }
        }
    }
}

struct Writer {
    place: Place,
    saved: Saved,
    /// The last time.
    failed: bool,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let job = if self.failed {
                jobs.recv_timeout(AGAIN)
            } else {
                jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match job {
                Ok(Job::Save(unsaved)) => self.saved.memory.update(unsaved),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Job::Forget) => {
                    if let Err(error) = self.place.remove() {
                        warn!("cannot remove {}: {error}", self.place.display());
                    }
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.write();
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
