//! The timers and the memory of a MASTER.

use core::time::Duration;

use crate::election::{Interval, lease_time};
use crate::numbers::Advbase;
use crate::time::{Instant, Now, UnixTime};

/// Number of the advertisement with which the announcements are repeated, because some layer 3 switches
/// miss the first ones. It is sent one interval after the takeover.
pub(super) const REPEATED_ANNOUNCEMENT: u32 = 3;

/// Time by which an advertisement is sent early at most, together with others.
pub(crate) const MOST_EARLY: Duration = Duration::from_millis(20);

/// Intervals after which a tie that one address family has not decided is decided by the other too.
const TIE_INTERVALS: u32 = 3;

/// Time that a kernel can keep an address beyond its lease, which it counts in whole seconds.
const LEASE_SLACK: Duration = Duration::from_secs(1);

/// A MASTER's timers, and its memory of its rivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mastership {
    /// Time of the next advertisement.
    pub(super) next: Instant,
    /// Advertisements since the takeover. Those of all families together count once.
    pub(super) rounds: u32,
    /// Time of the last advertisement.
    pub(super) advertised: UnixTime,
    /// Time of the last answer to another master.
    pub(super) answered: Option<Instant>,
    /// The last tie with another master.
    pub(super) tie: Option<Tie>,
    /// Announcements are due, once the kernel has the addresses.
    pub(super) must_announce: bool,
    /// The kernel completed the last takeover.
    pub(super) is_live: bool,
    /// Start of the present lease of the addresses.
    pub(super) renewed: Instant,
    /// Until then the kernel of a previous master that hangs can answer for the addresses.
    pub(super) contested_until: Instant,
}

impl Mastership {
    const fn starting(now: Now) -> Self {
        Self {
            next: now.instant,
            rounds: 0,
            advertised: now.unix,
            answered: None,
            tie: None,
            must_announce: false,
            is_live: false,
            renewed: now.instant,
            contested_until: now.instant,
        }
    }

    /// Mastership after a takeover from another host.
    pub(super) fn taken_over(now: Now, advbase: Advbase) -> Self {
        Self {
            must_announce: true,
            contested_until: now.instant + lease_time(advbase) + LEASE_SLACK,
            ..Self::starting(now)
        }
    }

    /// Mastership after a restart of carpd. The previous instance sent the announcements.
    pub(super) const fn resumed(now: Now) -> Self {
        Self {
            rounds: REPEATED_ANNOUNCEMENT,
            ..Self::starting(now)
        }
    }
}

/// Series of equal advertisements of another master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tie {
    first: Instant,
    last: Instant,
}

impl Tie {
    /// Adds an equal advertisement at `now` to `before`, or begins a new tie.
    pub(super) fn continued(before: Option<Self>, now: Instant, interval: Interval) -> Self {
        let first = match before {
            Some(tie) if now.since(tie.last) < interval.duration() * TIE_INTERVALS => tie.first,
            Some(_) | None => now,
        };
        Self { first, last: now }
    }

    /// Returns true once the deciding family should have ended the tie: one of the two hosts does not
    /// hear the other's advertisements of that family.
    pub(super) fn is_stuck(self, interval: Interval) -> bool {
        self.last.since(self.first) >= interval.duration() * TIE_INTERVALS
    }
}
