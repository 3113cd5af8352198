//! Whether the kernel thread does what is asked of it.

use core::cell::Cell;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use carp_proto::Instant;

/// Counts what was asked, on the asking thread.
#[derive(Debug)]
pub(super) struct Progress {
    asked: Cell<u64>,
    done: Arc<AtomicU64>,
    /// How much was done when something was last seen to be done.
    seen: Cell<u64>,
    since: Cell<Instant>,
}

/// Counts what was done, on the working thread.
#[derive(Debug)]
pub(super) struct Done(Arc<AtomicU64>);

/// Nothing asked yet.
pub(super) fn start() -> (Progress, Done) {
    let done = Arc::new(AtomicU64::new(0));
    let progress = Progress {
        asked: Cell::new(0),
        done: Arc::clone(&done),
        seen: Cell::new(0),
        since: Cell::new(Instant::ZERO),
    };
    (progress, Done(done))
}

impl Progress {
    /// Something more is asked. Gives how long nothing was done although something was asked.
    pub(super) fn ask(&self, now: Instant) -> Duration {
        let done = self.done.load(Ordering::Relaxed);
        if done != self.seen.get() || done == self.asked.get() {
            self.seen.set(done);
            self.since.set(now);
        }
        self.asked.set(self.asked.get().wrapping_add(1));
        now.since(self.since.get())
    }
}

impl Done {
    /// One more.
    pub(super) fn one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_waits_counts() {
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        let (progress, done) = start();
        assert_eq!(progress.ask(at(10)), Duration::ZERO);
        done.one();
        assert_eq!(progress.ask(at(20)), Duration::ZERO, "nothing waited");
        assert_eq!(progress.ask(at(22)), Duration::from_secs(2));
        done.one();
        assert_eq!(progress.ask(at(25)), Duration::ZERO, "something was done");
        assert_eq!(progress.ask(at(29)), Duration::from_secs(4));
    }
}
