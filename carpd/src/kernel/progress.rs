//! Progress of the kernel thread, by which the protocol loop notices that it hangs.

use core::cell::Cell;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use carp_proto::Instant;

/// Counter of requests, on the requesting thread.
#[derive(Debug)]
pub(super) struct Progress {
    requested: Cell<u64>,
    done: Arc<AtomicU64>,
    /// Number of done requests when that number was last seen to change.
    seen: Cell<u64>,
    since: Cell<Instant>,
}

/// Counter of done requests, on the working thread.
#[derive(Debug)]
pub(super) struct Done(Arc<AtomicU64>);

/// Returns both counters at zero.
pub(super) fn start() -> (Progress, Done) {
    let done = Arc::new(AtomicU64::new(0));
    let progress = Progress {
        requested: Cell::new(0),
        done: Arc::clone(&done),
        seen: Cell::new(0),
        since: Cell::new(Instant::ZERO),
    };
    (progress, Done(done))
}

impl Progress {
    /// Counts a request. Returns the time for which no request was done although there was one.
    pub(super) fn request(&self, now: Instant) -> Duration {
        let done = self.done.load(Ordering::Relaxed);
        if done != self.seen.get() || done == self.requested.get() {
            self.seen.set(done);
            self.since.set(now);
        }
        self.requested.set(self.requested.get().wrapping_add(1));
        now.since(self.since.get())
    }
}

impl Done {
    /// Counts a done request.
    pub(super) fn one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_waiting_requests_count() {
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        let (progress, done) = start();
        assert_eq!(progress.request(at(10)), Duration::ZERO);
        done.one();
        assert_eq!(progress.request(at(20)), Duration::ZERO, "nothing waited");
        assert_eq!(progress.request(at(22)), Duration::from_secs(2));
        done.one();
        assert_eq!(
            progress.request(at(25)),
            Duration::ZERO,
            "something was done"
        );
        assert_eq!(progress.request(at(29)), Duration::from_secs(4));
    }
}
