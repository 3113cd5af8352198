//! Hooks: programs in a directory that run on changes of state, with the facts in their
//! environment.
//!
//! **Invariant:** hooks for one interface run one after the other, in the order of its changes, and
//! for each change in the order of their names. Hooks of different interfaces are independent, up to
//! [`CONCURRENT_INTERFACES`]. Only the queue of its interface waits for a hook.

mod directory;
mod program;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carp_proto::{Transition, Unit};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tracing::warn;

use self::program::RUN_TIMEOUT;
use crate::lock::lock;

/// Number of interfaces whose hooks run at the same time.
const CONCURRENT_INTERFACES: usize = 8;

/// Maximum number of queued changes of one interface, so that hanging hooks cannot fill the memory.
const QUEUE_LIMIT: usize = 1000;

/// Time for hooks when carpd stops: for the running hook and one more.
const STOP_TIMEOUT: Duration = RUN_TIMEOUT.saturating_mul(2);

/// Runner of the hooks. Clones share the queues.
#[derive(Clone, Debug)]
pub(crate) struct Hooks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    /// D-Bus address at which hooks reach carpd.
    bus: String,
    /// Queued changes of each interface whose hooks are running.
    queues: Mutex<BTreeMap<Unit, VecDeque<Transition>>>,
    slots: Semaphore,
    /// Number of interfaces whose hooks are running.
    busy: watch::Sender<usize>,
    /// Faults of the directory that were last logged.
    logged: Mutex<BTreeSet<String>>,
}

impl Hooks {
    /// Returns a runner of the hooks in `directory`, which can come and go. Hooks reach carpd at the
    /// private socket `socket`.
    pub(crate) fn new(directory: PathBuf, socket: &Path) -> Self {
        Self(Arc::new(Shared {
            directory,
            bus: format!("unix:path={}", socket.display()),
            queues: Mutex::default(),
            slots: Semaphore::new(CONCURRENT_INTERFACES),
            busy: watch::Sender::new(0),
            logged: Mutex::default(),
        }))
    }

    /// Queues the hooks for `transition` behind earlier ones of its interface. Call this inside a tokio
    /// runtime.
    pub(crate) fn run(&self, transition: &Transition) {
        let shared = &self.0;
        let mut queues = lock(&shared.queues);
        if let Some(queue) = queues.get_mut(&transition.unit) {
            if queue.len() == QUEUE_LIMIT {
                queue.pop_front();
                let unit = transition.unit;
                warn!("{unit}: hooks are too slow: a change of state is skipped");
            }
            queue.push_back(transition.clone());
            return;
        }
        queues.insert(transition.unit, VecDeque::new());
        drop(queues);
        shared.busy.send_modify(|busy| *busy += 1);
        tokio::spawn(Arc::clone(shared).work(transition.clone()));
    }

    /// Waits until all hooks have run, or until [`STOP_TIMEOUT`].
    pub(crate) async fn finish(&self) {
        let mut busy = self.0.busy.subscribe();
        if timeout(STOP_TIMEOUT, busy.wait_for(|busy| *busy == 0))
            .await
            .is_err()
        {
            warn!("hooks still run and are killed");
        }
    }
}

impl Shared {
    /// Runs the hooks for `transition`, and then for the queued changes.
    async fn work(self: Arc<Self>, transition: Transition) {
        let unit = transition.unit;
        let mut next = Some(transition);
        while let Some(transition) = next {
            // The semaphore is never closed.
            let _slot = self.slots.acquire().await;
            self.run_all(&transition).await;
            let mut queues = lock(&self.queues);
            next = queues.get_mut(&unit).and_then(VecDeque::pop_front);
            if next.is_none() {
                queues.remove(&unit);
            }
        }
        self.busy.send_modify(|busy| *busy -= 1);
    }

    async fn run_all(&self, transition: &Transition) {
        let (programs, faults) = directory::programs(&self.directory);
        self.log_new(faults);
        if programs.is_empty() {
            return;
        }
        let mut environment = program::environment(transition);
        environment.push(("CARPD_BUS_ADDRESS", self.bus.clone()));
        for program in programs {
            program::run(&program, transition.unit, &environment).await;
        }
    }

    /// Logs each fault of the directory once, for as long as it lasts.
    fn log_new(&self, faults: BTreeSet<String>) {
        let mut logged = lock(&self.logged);
        for fault in faults.difference(&logged) {
            warn!("{fault}");
        }
        *logged = faults;
    }
}
