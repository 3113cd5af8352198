//! Clock of the protocol.

mod moved;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use carp_proto::{Instant, Now, UnixTime};
use rustix::time::{ClockId, clock_gettime};

use self::moved::moved;

/// Clock of the protocol, monotonic and wall clock.
///
/// The monotonic clock runs while the machine is suspended (`CLOCK_BOOTTIME`), so that a host that wakes
/// up knows how long it has slept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock;

impl Clock {
    /// Reads both clocks. A wall clock before 1970 counts as 1970.
    #[expect(
        clippy::unused_self,
        reason = "code that reads the clock must have been given it"
    )]
    pub(crate) fn now(self) -> Now {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .saturating_add(moved().later)
            .saturating_sub(moved().earlier);
        Now {
            instant: Instant::from_micros(micros(Self::since_boot())),
            unix: UnixTime::from_micros(micros(wall)),
        }
    }

    /// Returns the time until `deadline`; zero if it has passed.
    pub(crate) fn until(self, deadline: Instant) -> Duration {
        deadline.since(self.now().instant)
    }

    /// Returns the time of `CLOCK_BOOTTIME` at `at`.
    #[expect(
        clippy::unused_self,
        reason = "code that reads the clock must have been given it"
    )]
    pub(crate) fn boottime(self, at: Instant) -> Duration {
        Duration::from_micros(at.micros()).saturating_sub(moved().suspended)
    }

    /// Returns the time for which the machine was suspended since boot.
    #[expect(
        clippy::unused_self,
        reason = "code that reads the clock must have been given it"
    )]
    pub(crate) fn suspended(self) -> Duration {
        // In the other order the result could be too large.
        let whole = Self::since_boot();
        whole.saturating_sub(read(ClockId::Monotonic))
    }

    fn since_boot() -> Duration {
        read(ClockId::Boottime).saturating_add(moved().suspended)
    }
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}
