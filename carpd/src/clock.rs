//! The only reader of a clock.

#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use carp_proto::{Instant, Now, UnixTime};
use rustix::time::{ClockId, clock_gettime};

#[cfg(test)]
use self::tests::moved;

/// Tells the time to the protocol.
///
/// Its monotonic clock counts while the machine is suspended (`CLOCK_BOOTTIME`), so that a host
/// that wakes up knows that it has been away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock;

impl Clock {
    /// Both clocks now. A wall clock before 1970 counts as 1970.
    #[expect(
        clippy::unused_self,
        reason = "who reads the clock must have been given it"
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

    /// How long it is until `deadline`; zero if it has passed.
    pub(crate) fn until(self, deadline: Instant) -> Duration {
        deadline.since(self.now().instant)
    }

    /// What `CLOCK_BOOTTIME` says at `at`.
    #[expect(
        clippy::unused_self,
        reason = "who reads the clock must have been given it"
    )]
    pub(crate) fn boottime(self, at: Instant) -> Duration {
        Duration::from_micros(at.micros()).saturating_sub(moved().suspended)
    }

    /// How long the machine was suspended since it was booted.
    #[expect(
        clippy::unused_self,
        reason = "who reads the clock must have been given it"
    )]
    pub(crate) fn suspended(self) -> Duration {
        // In this order it cannot seem to have been suspended for longer than it was.
        let whole = Self::since_boot();
        whole.saturating_sub(read(ClockId::Monotonic))
    }

    fn since_boot() -> Duration {
        read(ClockId::Boottime).saturating_add(moved().suspended)
    }
}

/// How far the clocks are from the machine's own.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    /// The wall clock.
    later: Duration,
    /// The wall clock too.
    earlier: Duration,
    /// The monotonic one.
    suspended: Duration,
}

/// Not at all: only a test that sets clocks may not do it to the machine.
#[cfg(not(test))]
const fn moved() -> Moved {
    Moved {
        later: Duration::ZERO,
        earlier: Duration::ZERO,
        suspended: Duration::ZERO,
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
