//! Intervals and priorities: the arithmetic of elections.

use core::net::IpAddr;
use core::time::Duration;

use crate::numbers::{Advbase, Advskew};
use crate::sender::Sender;

/// Time between two advertisements in 1/256 of a second; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval(u32);

impl Interval {
    /// `advbase + advskew/256` seconds; with both 0, 1/256 s (OpenBSD's `ip_carp.c`,
    /// `carp_setrun()`).
    #[must_use]
    pub const fn new(advbase: u8, advskew: u8) -> Self {
        let ticks = ticks(advbase, advskew);
        Self(if ticks == 0 { 1 } else { ticks })
    }

    /// Time in whole microseconds, rounded up: 1/256 s is 3,907 µs.
    #[must_use]
    pub const fn duration(self) -> Duration {
        from_ticks(self.0)
    }
}

/// Rank of a host in an election: first the demotion byte, then the interval. Less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority {
    /// 0 for a healthy host.
    pub demotion: u8,
    /// Advertised interval.
    pub interval: Interval,
}

impl Priority {
    /// Returns true if a host with this priority wins against `peer`. Neither of two equal hosts wins.
    #[must_use]
    pub fn beats(self, peer: Self) -> bool {
        self < peer
    }
}

/// Returns true if this host stays MASTER beside an equal one. The host with the numerically higher source
/// address stays (RFC 5798 §6.4.3), and of two with one source address the one with the higher MAC.
/// Addresses of different families decide nothing.
#[must_use]
pub(crate) fn stays_in_a_tie(ours: Sender, theirs: Sender) -> bool {
    let hosts = (ours.host, theirs.host);
    match (ours.source, theirs.source) {
        (IpAddr::V4(ours), IpAddr::V4(theirs)) => (ours, hosts.0) > (theirs, hosts.1),
        (IpAddr::V6(ours), IpAddr::V6(theirs)) => (ours, hosts.0) > (theirs, hosts.1),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => true,
    }
}

/// Master-down time: `3*advbase + advskew/256` seconds. With `advbase` 0 it is `3*advskew/256`, and with
/// both 0, 3/256 (`ip_carp.c`, `carp_setrun()`).
#[must_use]
pub(crate) fn master_down_time(advbase: Advbase, advskew: u8) -> Duration {
    match (advbase.get(), advskew) {
        (0, 0) => from_ticks(3),
        (0, skew) => from_ticks(3 * ticks(0, skew)),
        (base, skew) => from_ticks(3 * ticks(base, 0) + ticks(0, skew)),
    }
}

/// Time that a BACKUP waits for a master whose interval is `theirs`: the master-down time, and at least
/// three such intervals. A master-down time of an `advbase` above 0 that covers one and a half of them is
/// not extended, because administrators rely on it.
#[must_use]
pub(crate) fn wait(advbase: Advbase, advskew: u8, theirs: Option<Interval>) -> Duration {
    let configured = master_down_time(advbase, advskew);
    let theirs = theirs.map_or(Duration::ZERO, Interval::duration);
    if advbase.get() > 0 && configured >= theirs * 3 / 2 {
        configured
    } else {
        configured.max(theirs * 3)
    }
}

/// Lease of the virtual addresses in the kernel, in seconds: no longer than a BACKUP waits, and at
/// least 2.
#[must_use]
pub(crate) fn lease_seconds(advbase: Advbase) -> u32 {
    (3 * u32::from(advbase.get())).max(2)
}

/// As [`lease_seconds`].
#[must_use]
pub(crate) fn lease_time(advbase: Advbase) -> Duration {
    Duration::from_secs(lease_seconds(advbase).into())
}

/// Advertised advskew: at least 240 while preemption is suppressed.
#[must_use]
pub(crate) const fn effective_advskew(advskew: u8, suppressed: bool) -> u8 {
    const SUPPRESSED: u8 = 240;
    if suppressed && advskew < SUPPRESSED {
        SUPPRESSED
    } else {
        advskew
    }
}

/// Advskew of a healthy host: 0 if it owns an address, otherwise the configured one.
#[must_use]
pub(crate) const fn own_advskew(configured: Advskew, owner: bool) -> u8 {
    if owner { 0 } else { configured.get() }
}

const fn ticks(seconds: u8, skew: u8) -> u32 {
    seconds as u32 * 256 + skew as u32
}

const fn from_ticks(ticks: u32) -> Duration {
    Duration::from_micros((ticks as u64 * 1_000_000).div_ceil(256))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mac::Mac;

    fn base(seconds: u64) -> Advbase {
        Advbase::try_from(seconds).unwrap()
    }

    #[test]
    fn interval_is_advbase_plus_advskew() {
        assert_eq!(Interval::new(1, 0).duration(), Duration::from_secs(1));
        assert_eq!(
            Interval::new(1, 128).duration(),
            Duration::from_millis(1500)
        );
        assert_eq!(Interval::new(0, 0).duration(), Duration::from_micros(3907));
        assert_eq!(Interval::new(0, 0), Interval::new(0, 1));
    }

    #[test]
    fn master_down_time_is_three_advbases_plus_advskew() {
        assert_eq!(master_down_time(base(1), 0), Duration::from_secs(3));
        assert_eq!(
            master_down_time(base(1), 100),
            Duration::from_micros(3_390_625)
        );
        assert_eq!(master_down_time(base(0), 64), Duration::from_millis(750));
        assert_eq!(master_down_time(base(0), 0), Duration::from_micros(11_719));
    }

    #[test]
    fn backup_waits_three_intervals_of_a_slow_master() {
        let suppressed = |advbase| Some(Interval::new(advbase, 240));
        let fast = Interval::new(0, 10);
        assert_eq!(wait(base(0), 20, None), master_down_time(base(0), 20));
        assert_eq!(wait(base(0), 20, Some(fast)), master_down_time(base(0), 20));
        assert_eq!(
            wait(base(0), 20, suppressed(0)),
            Duration::from_micros(2_812_500)
        );
        assert_eq!(wait(base(1), 0, suppressed(1)), Duration::from_secs(3));
        assert_eq!(
            wait(base(1), 0, suppressed(10)),
            Duration::from_micros(32_812_500)
        );
        for advbase in 1..=254 {
            for theirs in [0, 100, 240, 254] {
                let theirs = Some(Interval::new(u8::try_from(advbase).unwrap(), theirs));
                let bound = master_down_time(base(advbase), 0);
                assert_eq!(wait(base(advbase), 0, theirs), bound, "advbase {advbase}");
            }
        }
    }

    #[test]
    fn priority_compares_demotion_before_the_interval() {
        let healthy = Priority {
            demotion: 0,
            interval: Interval::new(1, 200),
        };
        let demoted = Priority {
            demotion: 1,
            interval: Interval::new(1, 0),
        };
        assert!(healthy.beats(demoted));
        assert!(!demoted.beats(healthy));
        assert!(!healthy.beats(healthy));
    }

    #[test]
    fn tie_is_won_by_the_higher_address() {
        let [low, high] = ["10.0.0.2", "10.0.0.10"].map(|text| Sender {
            source: text.parse().unwrap(),
            host: None,
        });
        assert!(stays_in_a_tie(high, low));
        assert!(!stays_in_a_tie(low, high));
    }

    #[test]
    fn tie_of_one_source_is_won_by_the_higher_mac() {
        let [none, low, high] = [None, Some(2), Some(3)].map(|last| Sender {
            source: "10.0.0.100".parse().unwrap(),
            host: last.map(|last| Mac([2, 0, 0, 0, 0, last])),
        });
        assert!(stays_in_a_tie(high, low));
        assert!(!stays_in_a_tie(low, high));
        assert!(stays_in_a_tie(low, none), "a BSD host yields");
    }

    #[test]
    fn lease_is_no_longer_than_the_master_down_time() {
        assert_eq!(lease_seconds(base(0)), 2);
        assert_eq!(lease_seconds(base(1)), 3);
        assert_eq!(lease_seconds(base(254)), 762);
    }
}
