//! Seals: counters that contain the fields that CARP's digest does not cover.
//!
//! From the most significant bit: 32 bits Unix seconds, 8 bits 1/256 s, 8 bits advbase, 8 bits advskew,
//! 8 bits demotion. The digest covers the counter, and BSD hosts accept any.

use core::time::Duration;

use crate::time::UnixTime;

/// Source of the counters of one virtual host and address family.
///
/// **Invariant:** each counter is greater than the one before, unless that is further ahead of the clock
/// than the replay window. Then the clock was set back, and a peer whose clock is right would refuse all
/// counters from there on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seal {
    made: u64,
    heard: u64,
}

impl Seal {
    /// Continues above `made`, which the previous instance sealed.
    pub fn resume(&mut self, made: u64) {
        self.made = self.made.max(made);
    }

    /// Continues above `heard`, which a peer sealed. In replay mode 2 the group would refuse a master whose
    /// clock is behind that of the previous one.
    pub fn follow(&mut self, heard: u64) {
        self.heard = self.heard.max(heard);
    }

    /// Greatest counter made or heard; 0 before the first.
    #[must_use]
    pub const fn last(&self) -> u64 {
        if self.heard > self.made {
            self.heard
        } else {
            self.made
        }
    }

    /// Forgets counters that are ahead of the clock by more than `window`. Returns the time by which they
    /// were ahead.
    pub fn follow_clock(&mut self, now: UnixTime, window: Duration) -> Option<Duration> {
        let last = Sealed::open(self.last());
        if !last.is_ahead(now, window) {
            return None;
        }
        for counter in [&mut self.made, &mut self.heard] {
            if Sealed::open(*counter).is_ahead(now, window) {
                *counter = 0;
            }
        }
        let ahead = last.unix().micros().saturating_sub(now.micros());
        Some(Duration::from_micros(ahead))
    }

    /// Counter of an advertisement sent at `now`. It is ahead of the clock by the least that makes it greater
    /// than the last one.
    ///
    /// The 32 bits of seconds end in 2106, and the invariant with them.
    pub fn next(&mut self, now: UnixTime, advbase: u8, advskew: u8, demotion: u8) -> u64 {
        let sealed = Sealed {
            time: time_of(now),
            advbase,
            advskew,
            demotion,
        };
        let ahead = Sealed {
            time: Sealed::open(self.last()).time,
            ..sealed
        };
        let next = sealed.counter().max(ahead.counter());
        self.made = if next > self.last() {
            next
        } else {
            Sealed {
                time: ahead.time.saturating_add(1),
                ..sealed
            }
            .counter()
        };
        self.made
    }
}

/// Fields of a sealed counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Unix time in 1/256 seconds, 40 bits.
    pub time: u64,
    /// Seconds.
    pub advbase: u8,
    /// 1/256 seconds.
    pub advskew: u8,
    /// The demotion byte.
    pub demotion: u8,
}

impl Sealed {
    const MOST_TIME: u64 = (1 << 40) - 1;

    /// Reads any counter.
    #[must_use]
    pub const fn open(counter: u64) -> Self {
        let [_, _, _, _, _, advbase, advskew, demotion] = counter.to_be_bytes();
        Self {
            time: counter >> 24,
            advbase,
            advskew,
            demotion,
        }
    }

    /// Least counter that can be sealed at `time`.
    pub(crate) fn least(time: UnixTime) -> u64 {
        time_of(time).min(Self::MOST_TIME) << 24
    }

    /// `counter` as if it had been sealed `by` later.
    pub(crate) fn later(counter: u64, by: Duration) -> u64 {
        let ticks = u64::try_from(by.as_micros() * 4 / 15625).unwrap_or(u64::MAX);
        let sealed = Self::open(counter);
        Self {
            time: sealed.time.saturating_add(ticks),
            ..sealed
        }
        .counter()
    }

    /// Returns true if it was sealed more than `window` after `now`.
    #[must_use]
    pub fn is_ahead(self, now: UnixTime, window: Duration) -> bool {
        self.unix() > now + window
    }

    /// Time at which it was sealed.
    #[must_use]
    pub const fn unix(self) -> UnixTime {
        UnixTime::from_micros(self.time * 15625 / 4)
    }

    fn counter(self) -> u64 {
        let fields = u64::from(u32::from_be_bytes([
            0,
            self.advbase,
            self.advskew,
            self.demotion,
        ]));
        self.time.min(Self::MOST_TIME) << 24 | fields
    }
}

/// 1/256 s is 3906.25 µs.
fn time_of(now: UnixTime) -> u64 {
    now.seconds().saturating_mul(256) + now.micros() % 1_000_000 * 4 / 15625
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: UnixTime = UnixTime::from_micros(1_700_000_000_500_000);

    #[test]
    fn counter_contains_the_time_and_the_fields() {
        let counter = Seal::default().next(NOON, 1, 100, 3);
        assert_eq!(counter, 1_700_000_000 << 32 | 0x80 << 24 | 0x0001_6403);
        let sealed = Sealed::open(counter);
        assert_eq!(
            (sealed.advbase, sealed.advskew, sealed.demotion),
            (1, 100, 3)
        );
        assert_eq!(sealed.unix(), NOON);
    }

    #[test]
    fn counters_of_one_tick_are_ahead_by_the_least_possible() {
        let mut seal = Seal::default();
        let first = seal.next(NOON, 1, 0, 0);
        let demoted = seal.next(NOON, 1, 240, 1);
        assert_eq!(Sealed::open(demoted).time, Sealed::open(first).time);
        assert!(demoted > first);
        let again = seal.next(NOON, 1, 240, 1);
        assert_eq!(Sealed::open(again).time, Sealed::open(first).time + 1);
    }

    #[test]
    fn counter_ahead_by_more_than_the_window_restarts_at_the_clock() {
        let window = Duration::from_secs(60);
        let mut seal = Seal::default();
        let ahead = NOON + Duration::from_secs(7200);
        let last = seal.next(ahead, 1, 0, 0);
        assert_eq!(seal.follow_clock(ahead, window), None);
        assert_eq!(seal.follow_clock(ahead - window, window), None);
        assert!(seal.next(ahead - window, 1, 0, 0) > last);
        let ahead = seal.follow_clock(NOON, window).unwrap();
        assert_eq!(ahead.as_secs(), 7200);
        assert_eq!(Sealed::open(seal.next(NOON, 1, 0, 0)).unix(), NOON);
        assert_eq!(seal.follow_clock(NOON, window), None, "once");
    }

    #[test]
    fn counter_of_a_rival_that_is_ahead_takes_no_own_counter_back() {
        let window = Duration::from_secs(3);
        let mut seal = Seal::default();
        let made = seal.next(NOON, 1, 0, 0);
        seal.follow(Sealed::least(NOON + Duration::from_secs(2)));
        let earlier = NOON - Duration::from_secs(2);
        assert!(seal.follow_clock(earlier, window).is_some());
        assert!(seal.next(earlier, 1, 0, 0) > made);
    }

    #[test]
    fn counter_grows_while_the_clock_catches_up_after_a_step_back() {
        let mut seal = Seal::default();
        let before = seal.next(NOON, 1, 0, 0);
        let earlier = UnixTime::from_micros(NOON.micros() - 3_600_000_000);
        let after = seal.next(earlier, 1, 0, 0);
        assert_eq!(Sealed::open(after).time, Sealed::open(before).time + 1);
        let later = UnixTime::from_micros(NOON.micros() + 1_000_000);
        assert_eq!(Sealed::open(seal.next(later, 1, 0, 0)).unix(), later);
    }

    #[test]
    fn counter_grows_over_a_restart() {
        let mut before = Seal::default();
        let last = before.next(NOON, 255, 255, 255);
        let mut after = Seal::default();
        after.resume(last);
        assert_eq!(after.last(), last);
        assert!(after.next(UnixTime::default(), 0, 0, 0) > last);
        after.resume(5);
        assert!(after.last() > last, "resuming never goes back");
    }

    #[test]
    fn counter_of_the_end_of_time_keeps_its_fields() {
        let mut seal = Seal::default();
        seal.resume(u64::MAX);
        assert_eq!(Sealed::open(seal.next(NOON, 1, 2, 3)).advskew, 2);
        assert_eq!(
            Sealed::open(seal.next(UnixTime::from_micros(u64::MAX), 1, 2, 3)).advbase,
            1
        );
    }
}
