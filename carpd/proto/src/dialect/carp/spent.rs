//! Counters that are not accepted again, also while the clock goes through a time twice.

use core::time::Duration;
use std::collections::VecDeque;

use super::seal::Sealed;
use crate::time::Now;

/// Counters of one virtual host and address family that were heard or sent in replay mode 2.
///
/// **Invariant:** a clock that was ahead leaves no floor ahead of the right time, which would refuse
/// every advertisement until that time comes. What it leaves is the exact counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Every counter up to this one is spent.
    floor: u64,
    /// Every counter that is spent and greater than this one is in `counters`; 0 at first.
    known_from: u64,
    /// Ascending. Some are below the floor, which goes back when the clock does.
    counters: VecDeque<u64>,
}

impl Spent {
    /// The number of counters that are remembered one by one: more than four minutes at one
    /// advertisement a second.
    pub const MOST: usize = 256;

    /// Every counter up to this one is spent; 0 if there is none.
    #[must_use]
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// Counters that are remembered one by one, ascending, at most [`Self::MOST`].
    pub fn counters(&self) -> impl Iterator<Item = u64> {
        self.counters.iter().copied()
    }

    /// Whether `counter` is spent.
    #[must_use]
    pub fn has(&self, counter: u64) -> bool {
        counter <= self.floor || self.remembers(counter)
    }

    /// Whether `counter` is remembered as such.
    #[must_use]
    pub fn remembers(&self, counter: u64) -> bool {
        self.counters.binary_search(&counter).is_ok()
    }

    /// Goes on after a restart: every counter up to `floor` is spent, and those in `counters`, which
    /// ascend.
    pub fn resume(&mut self, floor: u64, counters: &[u64]) {
        self.counters = counters.iter().copied().take(Self::MOST).collect();
        let is_full = self.counters.len() == Self::MOST;
        let first = self.counters.front().filter(|_| is_full);
        self.known_from = floor.max(first.copied().unwrap_or(1));
        self.floor = floor;
    }

    /// The first time, every counter up to `last` is spent.
    pub fn begin(&mut self, last: u64) {
        if self.known_from == 0 {
            self.floor = self.floor.max(last);
            self.known_from = last.max(1);
        }
    }

    /// Spends every counter up to `counter`, which was accepted.
    pub fn accept(&mut self, counter: u64, now: Now, window: Duration) {
        self.floor = self.floor.max(counter);
        self.add(counter, now, window);
    }

    /// Spends `counter` alone. If there are too many, the smallest is forgotten: all below it are
    /// spent with it, unless a clock that was set back has yet to come to it.
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

    /// Takes the floor back if it is further ahead of the clock than `window`, which has been set
    /// back: to where the counters above it are known, but no further ahead than the clock.
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

    /// So many seconds after the start.
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
        // The clock comes to it again.
        spent.follow_clock(at(7301), WINDOW);
        assert!(spent.has(counter(7300)) && spent.has(counter(7301)));
        assert!(!spent.has(counter(7299)) && !spent.has(counter(7302)));
    }

    #[test]
    fn floor_stays_within_the_window() {
        let mut spent = Spent::default();
        accept(&mut spent, [100, 160]);
        spent.follow_clock(at(100), WINDOW);
        assert_eq!(spent.floor(), counter(160));
    }

    #[test]
    fn number_of_exact_counters_is_bounded() {
        let mut spent = Spent::default();
        let most = Spent::MOST as u64;
        accept(&mut spent, 7200..7200 + 2 * most);
        assert_eq!(spent.counters.len(), Spent::MOST);
        spent.follow_clock(at(100), WINDOW);
        assert!(spent.has(counter(99)) && !spent.has(counter(101)));
        // Those of the right time leave those ahead of it alone.
        accept(&mut spent, 101..=100 + most);
        assert!(spent.has(counter(101)) && !spent.has(counter(101 + most)));
        assert!(spent.has(counter(7200 + 2 * most - 1)));
    }

    #[test]
    fn counter_that_is_forgotten_is_below_the_floor() {
        let mut spent = Spent::default();
        for seconds in 0..=Spent::MOST as u64 {
            spent.add(counter(seconds), at(seconds), WINDOW);
        }
        assert_eq!(spent.floor(), counter(0));
        assert!(spent.has(counter(0)) && spent.has(counter(1)));
    }

    #[test]
    fn what_a_restart_does_not_know_is_before_the_clock() {
        let mut spent = Spent::default();
        spent.resume(counter(7310), &[counter(100), counter(7300)]);
        assert!(spent.has(counter(7310)));
        spent.follow_clock(at(110), WINDOW);
        assert!(spent.has(counter(109)) && !spent.has(counter(111)));
        assert!(spent.has(counter(7300)));
    }
}
