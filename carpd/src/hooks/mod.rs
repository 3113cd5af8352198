//! Hooks: programs in a directory that run on changes of state, with the facts in their
//! environment.
//!
//! **Invariant:** one interface's changes run one after the other in their order, each with all
//! hooks in the order of their names; those of different interfaces do not wait for each other
//! beyond [`AT_ONCE`]. Nothing here waits for a hook but its own queue.

mod directory;
mod program;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use carp_proto::{Transition, Unit};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tracing::warn;

use self::program::LIMIT;

/// Of how many interfaces hooks run at once.
const AT_ONCE: usize = 8;

/// How many changes of one interface wait at most; hooks that hang must not fill the memory.
const WAITING: usize = 1000;

/// How long hooks have when carpd stops: for the one that runs, and for one after it.
const FAREWELL: Duration = LIMIT.saturating_mul(2);

/// Runs the hooks. A clone is another handle to the same queues.
#[derive(Clone, Debug)]
pub(crate) struct Hooks(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    /// The address at which programs find carpd again.
    bus: String,
    /// What waits, for each interface of which a hook runs.
    queues: Mutex<BTreeMap<Unit, VecDeque<Transition>>>,
    slots: Semaphore,
    /// How many interfaces have hooks running.
    busy: watch::Sender<usize>,
    /// What was wrong with the directory when it was told last.
    told: Mutex<BTreeSet<String>>,
}

impl Hooks {
    /// Hooks from `directory`, which may come and go; what they run finds carpd at the private
    /// socket `socket`.
    pub(crate) fn new(directory: PathBuf, socket: &Path) -> Self {
        Self(Some(Arc::new(Shared {
            directory,
            bus: format!("unix:path={}", socket.display()),
            queues: Mutex::default(),
            slots: Semaphore::new(AT_ONCE),
            busy: watch::Sender::new(0),
            told: Mutex::default(),
        })))
    }

    /// No hooks.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// Lets the hooks run for `transition`, behind the earlier ones of its interface. Within a
    /// tokio runtime.
    pub(crate) fn run(&self, transition: &Transition) {
        let Some(shared) = &self.0 else { return };
        let mut queues = lock(&shared.queues);
        if let Some(queue) = queues.get_mut(&transition.unit) {
            if queue.len() == WAITING {
                queue.pop_front();
                let unit = transition.unit;
                warn!("{unit}: hooks are too slow: a change of state is not told to them");
            }
            queue.push_back(transition.clone());
            return;
        }
        queues.insert(transition.unit, VecDeque::new());
        drop(queues);
        shared.busy.send_modify(|busy| *busy += 1);
        tokio::spawn(Arc::clone(shared).work(transition.clone()));
    }

    /// Waits until all hooks have run, or have had time enough.
    pub(crate) async fn finish(&self) {
        let Some(shared) = &self.0 else { return };
        let mut busy = shared.busy.subscribe();
        if timeout(FAREWELL, busy.wait_for(|busy| *busy == 0))
            .await
            .is_err()
        {
            warn!("hooks still run, and are ended");
        }
    }
}

impl Shared {
    /// Runs the hooks for `transition`, and then for what waits behind it.
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
        self.tell(faults);
        if programs.is_empty() {
            return;
        }
        let mut environment = program::environment(transition);
        environment.push(("CARPD_BUS_ADDRESS", self.bus.clone()));
        for program in programs {
            program::run(&program, transition.unit, &environment).await;
        }
    }

    /// Warns of what is wrong with the directory, once for as long as it is.
    fn tell(&self, faults: BTreeSet<String>) {
        let mut told = lock(&self.told);
        for fault in faults.difference(&told) {
            warn!("{fault}");
        }
        *told = faults;
    }
}

/// A panic elsewhere leaves whole values behind: each is changed by one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
