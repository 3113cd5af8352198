//! Spent counters, which are not accepted again even if the clock passes the same time twice.

use core::time::Duration;
use std::collections::VecDeque;

use super::seal::Sealed;
use crate::time::Now;

/// Counters of one virtual host and address family that were heard or sent in replay mode 2.
///
/// **Invariant:** after the clock is set back, the floor is not ahead of it by more than the replay window.
/// A floor further ahead would refuse all advertisements until that time. Only the exact counters stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Every counter up to this one is spent.
    floor: u64,
    /// Each spent counter greater than this one is in `counters`; 0 at first.
    known_from: u64,
    /// Exact counters, ascending. Some are below the floor, which goes back with the clock.
    counters: VecDeque<u64>,
}

impl Spent {
    /// Maximum number of exact counters: more than four minutes at one advertisement a second.
    pub const MOST: usize = 256;

    /// Counter up to which all are spent; 0 if there is none.
    #[must_use]
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// Exact counters, ascending, at most [`Self::MOST`].
    pub fn counters(&self) -> impl Iterator<Item = u64> {
        self.counters.iter().copied()
    }

    /// Returns true if `counter` is spent.
    #[must_use]
    pub fn has(&self, counter: u64) -> bool {
        counter <= self.floor || self.remembers(counter)
    }

    /// Returns true if `counter` is one of the exact counters.
    #[must_use]
    pub fn remembers(&self, counter: u64) -> bool {
        self.counters.binary_search(&counter).is_ok()
    }

    /// Continues after a restart: each counter up to `floor` is spent, and so are `counters`, which are
    /// ascending.
    pub fn resume(&mut self, floor: u64, counters: &[u64]) {
        self.counters = counters.iter().copied().take(Self::MOST).collect();
        let is_full = self.counters.len() == Self::MOST;
        let first = self.counters.front().filter(|_| is_full);
        self.known_from = floor.max(first.copied().unwrap_or(1));
        self.floor = floor;
    }

    /// On the first call, spends each counter up to `last`.
    pub fn begin(&mut self, last: u64) {
        if self.known_from == 0 {
            self.floor = self.floor.max(last);
            self.known_from = last.max(1);
        }
    }

    /// Spends each counter up to `counter`, which was accepted.
    pub fn accept(&mut self, counter: u64, now: Now, window: Duration) {
        self.floor = self.floor.max(counter);
        self.add(counter, now, window);
    }

    /// Spends `counter` alone. If there are too many exact counters, raises the floor to the smallest one,
    /// unless that is ahead of a clock that was set back.
    pub fn add(&mut self, counter: u64, now: Now, window: Duration) {
        if let Err(place) = self.counters.binary_search(&counter) {
            self.counters.insert(place, counter);
        }
        if self.counters.len() > Self::MOST
            && let Some(smallest) = self.counters.pop_front()
        {
            self.known_from = self.known_from.max(smallest);
            if !Sealed::open(smallest).is_ahead(now.unix, window) {
                self.floor = self.floor.max(smallest);
            }
        }
    }

    /// Lowers the floor if it is ahead of the clock by more than `window`: to the clock, or further, to
    /// where all counters above it are known exactly.
    pub fn follow_clock(&mut self, now: Now, window: Duration) {
        if Sealed::open(self.floor).is_ahead(now.unix, window) {
            self.floor = self.known_from.min(Sealed::least(now.unix));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Instant, UnixTime};

    const WINDOW: Duration = Duration::from_secs(60);

    /// `seconds` after the start.
    fn at(seconds: u64) -> Now {
        Now {
            instant: Instant::from_micros(seconds * 1_000_000),
            unix: UnixTime::from_micros((1_700_000_000 + seconds) * 1_000_000),
        }
    }

    fn counter(seconds: u64) -> u64 {
        Sealed::least(at(seconds).unix)
    }

    fn accept(spent: &mut Spent, seconds: impl IntoIterator<Item = u64>) {
        for seconds in seconds {
            spent.accept(counter(seconds), at(seconds), WINDOW);
        }
    }

    #[test]
    fn floor_follows_a_clock_that_is_set_back() {
        let mut spent = Spent::default();
        accept(&mut spent, [100, 101, 7300, 7301]);
        spent.follow_clock(at(7302), WINDOW);
        assert!(spent.has(counter(7200)), "the clock was not set back");
        spent.follow_clock(at(102), WINDOW);
        assert!(spent.has(counter(100)) && spent.has(counter(101)));
        assert!(!spent.has(counter(102)));
        accept(&mut spent, [102]);
        // The clock passes this time again.
        spent.follow_clock(at(7301), WINDOW);
        assert!(spent.has(counter(7300)) && spent.has(counter(7301)));
        assert!(!spent.has(counter(7299)) && !spent.has(counter(7302)));
    }

    #[test]
    fn floor_stays_if_the_clock_is_set_back_within_the_window() {
        let mut spent = Spent::default();
        accept(&mut spent, [100, 160]);
        spent.follow_clock(at(100), WINDOW);
        assert_eq!(spent.floor(), counter(160));
    }

    #[test]
    fn number_of_exact_counters_is_limited() {
        let mut spent = Spent::default();
        let most = Spent::MOST as u64;
        accept(&mut spent, 7200..7200 + 2 * most);
        assert_eq!(spent.counters.len(), Spent::MOST);
        spent.follow_clock(at(100), WINDOW);
        assert!(spent.has(counter(99)) && !spent.has(counter(101)));
        // Counters of the right time do not displace those ahead of it.
        accept(&mut spent, 101..=100 + most);
        assert!(spent.has(counter(101)) && !spent.has(counter(101 + most)));
        assert!(spent.has(counter(7200 + 2 * most - 1)));
    }

    #[test]
    fn forgotten_counter_is_below_the_floor() {
        let mut spent = Spent::default();
        for seconds in 0..=Spent::MOST as u64 {
            spent.add(counter(seconds), at(seconds), WINDOW);
        }
        assert_eq!(spent.floor(), counter(0));
        assert!(spent.has(counter(0)) && spent.has(counter(1)));
    }

    #[test]
    fn floor_after_a_restart_follows_a_clock_that_is_set_back() {
        let mut spent = Spent::default();
        spent.resume(counter(7310), &[counter(100), counter(7300)]);
        assert!(spent.has(counter(7310)));
        spent.follow_clock(at(110), WINDOW);
        assert!(spent.has(counter(109)) && !spent.has(counter(111)));
        assert!(spent.has(counter(7300)));
    }
}
