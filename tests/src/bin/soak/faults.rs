//! Faults that strike and are repaired, and bounds, derived from the protocol, for what clients may
//! notice of either.

use std::fmt;
use std::time::Duration;

use carp_tests::{Random, master_down};

use crate::testbed::{HOSTS, INTERFACES};

/// A fault, with the host that it strikes, if it strikes one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) host: usize,
    pub(crate) unit: &'static str,
    /// A part of three seconds, for faults that last.
    pub(crate) time: Duration,
    /// For faults with a value.
    pub(crate) number: u64,
    /// True if hosts compare the time in advertisements with their own (`net.inet.carp.replay=2`).
    pub(crate) compares_clocks: bool,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A pulled cable, with its interface.
    Cable(&'static str),
    /// An interface that an administrator takes down.
    Interface,
    Kill,
    KillAndBack,
    Hang,
    Nap,
    Stop,
    Restart,
    KeepRestart,
    Down,
    Destroy,
    Reload,
    Flush,
    Delete,
    Sysctls,
    Mtu,
    Mac,
    Force,
    Suppress,
    /// On the two best hosts.
    SuppressTwo,
    /// On all hosts, with this advbase.
    SuppressAll(u32),
    Noise,
    Passwords,
    /// Without a time in which hosts accept both.
    PasswordAtOnce,
    BusRestart,
    Partition,
    /// The advertisements of one family do not reach a host, or do not come from it, or both.
    Family(&'static str),
    /// The queue of an interface accepts no frame.
    Queue(&'static str),
    /// The wall clock of one host steps by this number of milliseconds.
    Clock(i64),
    /// The wall clocks of all hosts do.
    Clocks(i64),
    /// carpd starts while the clock of its host is wrong by this.
    LateClock(i64),
    Advskew,
    Advbase(u32),
    /// On all hosts.
    Advbases(u32),
    /// One more address, on all hosts.
    Alias(&'static str),
    Description,
    /// Hosts begin to compare clocks, or cease to.
    Replay,
}

/// Bounds of the protocol for what clients may notice, on a machine that has time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// No host answers.
    pub(crate) outage: Duration,
    /// Two hosts answer.
    pub(crate) double: Duration,
}

impl Bounds {
    /// Returns the worse of both.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            outage: self.outage.max(other.outage),
            double: self.double.max(other.double),
        }
    }
}

/// Returns the time that the slowest host waits for a silent master.
pub(crate) fn takeover() -> Duration {
    let slowest = HOSTS.iter().map(|(_, skew)| *skew).max();
    master_down(1, slowest.unwrap_or_default())
}

/// Time for which the kernel keeps the addresses of a carpd that does not renew them: three times
/// advbase (`carp_proto`'s lease).
const LEASE: Duration = Duration::from_secs(3);

/// Longest time until one of two masters that hear each other yields to the other's next
/// advertisement. While preemption is suppressed there is one every 1 + 240/256 s.
const INTERVAL: Duration = Duration::from_millis(1938);

/// As [`INTERVAL`], for hosts with an advbase of 2: 2 + 100/256 s.
const LONGER_INTERVAL: Duration = Duration::from_millis(2391);

/// In milliseconds: less than `net.inet.carp.replay_window`, and more.
const SMALL_STEP: i64 = 2_500;
const LARGE_STEP: i64 = 7_200_000;

const ALL: [Kind; 49] = [
    Kind::Cable("eth0"),
    Kind::Cable("eth1"),
    Kind::Interface,
    Kind::Kill,
    Kind::KillAndBack,
    Kind::Hang,
    Kind::Nap,
    Kind::Stop,
    Kind::Restart,
    Kind::KeepRestart,
    Kind::Down,
    Kind::Destroy,
    Kind::Reload,
    Kind::Flush,
    Kind::Delete,
    Kind::Sysctls,
    Kind::Mtu,
    Kind::Mac,
    Kind::Force,
    Kind::Suppress,
    Kind::SuppressTwo,
    Kind::SuppressAll(1),
    Kind::SuppressAll(0),
    Kind::Noise,
    Kind::Passwords,
    Kind::PasswordAtOnce,
    Kind::BusRestart,
    Kind::Partition,
    Kind::Family("IPv4"),
    Kind::Family("IPv6"),
    Kind::Queue("eth0"),
    Kind::Queue("eth1"),
    Kind::Clock(SMALL_STEP),
    Kind::Clock(-SMALL_STEP),
    Kind::Clock(LARGE_STEP),
    Kind::Clock(-LARGE_STEP),
    Kind::Clocks(LARGE_STEP),
    Kind::Clocks(-LARGE_STEP),
    Kind::LateClock(LARGE_STEP),
    Kind::Advskew,
    Kind::Advbase(0),
    Kind::Advbase(2),
    Kind::Advbase(10),
    Kind::Advbases(0),
    Kind::Advbases(2),
    Kind::Alias("192.168.1.77/24"),
    Kind::Alias("inet6 2001:db8:1::77 prefixlen 64"),
    Kind::Description,
    Kind::Replay,
];

impl Fault {
    /// Returns one or two faults at once; two strike different hosts, and the third host stays
    /// sound.
    pub(crate) fn some(random: &mut Random, compares_clocks: bool) -> Vec<Self> {
        let one = Self::any(random, compares_clocks);
        if one.is_everywhere() || random.below(4) > 0 {
            return vec![one];
        }
        loop {
            let other = Self::any(random, compares_clocks);
            // With each of two families cut somewhere, two hosts may not hear each other at all.
            let cuts = [one, other].map(|fault| matches!(fault.kind, Kind::Family(_)));
            if !other.is_everywhere() && other.host != one.host && cuts != [true, true] {
                return vec![one, other];
            }
        }
    }

    fn any(random: &mut Random, compares_clocks: bool) -> Self {
        Self {
            kind: random.one_of(ALL),
            // Faults of the master matter most.
            host: random.one_of([0, 0, 1, 2]),
            unit: random.one_of(INTERFACES),
            time: Duration::from_millis(random.below(2500)),
            number: random.number(),
            compares_clocks,
        }
    }

    /// Returns whether the fault strikes more than one host.
    const fn is_everywhere(self) -> bool {
        matches!(
            self.kind,
            Kind::SuppressTwo
                | Kind::SuppressAll(_)
                | Kind::Passwords
                | Kind::PasswordAtOnce
                | Kind::Partition
                | Kind::Clocks(_)
                | Kind::Advbases(_)
                | Kind::Alias(_)
                | Kind::Replay
        )
    }

    /// Returns the advskews that one host has in turn.
    pub(crate) fn skews(self) -> [u64; 3] {
        [1, 255, 255 * 255].map(|scale| self.number / scale % 255)
    }

    /// Returns whether a host and the others refuse each other's advertisements because of the
    /// time.
    const fn parts_clocks(self) -> bool {
        self.compares_clocks
            && matches!(self.kind, Kind::Clock(by) | Kind::LateClock(by) if by.abs() == LARGE_STEP)
    }

    /// Returns the fault's label in the table.
    pub(crate) const fn label(self) -> &'static str {
        match self.kind {
            Kind::Cable(_) => "cable pulled, plugged in again",
            Kind::Interface => "physical interface down, up",
            Kind::Kill => "`kill -9`, started again after the takeover",
            Kind::KillAndBack => "`kill -9`, started again within the lease",
            Kind::Hang => "`kill -STOP`, `-CONT` after the takeover",
            Kind::Nap => "`kill -STOP`, `-CONT` within the lease",
            Kind::Stop => "clean stop, start",
            Kind::Restart => "clean stop and start at once",
            Kind::KeepRestart => "`kill -USR2`, started again at once",
            Kind::Down => "`down`, `up`",
            Kind::Destroy => "`destroy`, created again by a reload",
            Kind::Reload => "another advskew in rc.conf and back, `kill -HUP`",
            Kind::Flush => "addresses flushed by another program",
            Kind::Delete => "carp device deleted by another program",
            Kind::Sysctls => "sysctls set back by another program",
            Kind::Mtu => "MTU of the physical interface changed",
            Kind::Mac => "MAC of the physical interface changed",
            Kind::Force => "state forced",
            Kind::Suppress => "preemption suppressed by a holder",
            Kind::SuppressTwo => "preemption suppressed on two hosts",
            Kind::SuppressAll(1) => "preemption suppressed on all hosts",
            Kind::SuppressAll(_) => "advbase 0, preemption suppressed on all hosts",
            Kind::Noise => "flood of bad advertisements",
            Kind::Passwords => "password changed, and back",
            Kind::PasswordAtOnce => "password changed at once, and back",
            Kind::BusRestart => "message bus restarted",
            Kind::Partition => "hosts cut off from each other, not from the clients",
            Kind::Family(_) => "one family of advertisements cut",
            Kind::Queue(_) => "send queue full",
            Kind::Clock(by) if by.abs() == SMALL_STEP => "clock 2.5 s off, and right again",
            Kind::Clock(_) => "clock 2 h off, and right again",
            Kind::Clocks(_) => "clocks of all hosts 2 h off, and right again",
            Kind::LateClock(_) => "started with the clock 2 h off, then right again",
            Kind::Advskew => "advskew changed thrice, and back",
            Kind::Advbase(_) => "advbase changed, and back",
            Kind::Advbases(_) => "advbase changed on all hosts, and back",
            Kind::Alias(_) => "address added on all hosts, and removed",
            Kind::Description => "description changed",
            Kind::Replay => "replay changed on all hosts",
        }
    }

    /// Returns whether one host answers for every address while the fault lasts.
    pub(crate) fn settles(self) -> bool {
        self.kind != Kind::Partition && !self.parts_clocks()
    }

    /// Returns the time until a backup shows that it no longer hears its master, for faults that
    /// can keep it from hearing one.
    pub(crate) fn shows_after(self) -> Duration {
        let changes_what_is_heard = matches!(
            self.kind,
            Kind::SuppressTwo
                | Kind::SuppressAll(_)
                | Kind::PasswordAtOnce
                | Kind::Family(_)
                | Kind::Queue(_)
                | Kind::Clock(_)
                | Kind::Clocks(_)
                | Kind::LateClock(_)
                | Kind::Advskew
                | Kind::Advbase(_)
                | Kind::Advbases(_)
                | Kind::Alias(_)
                | Kind::Replay
        );
        if changes_what_is_heard {
            takeover() + INTERVAL
        } else {
            Duration::ZERO
        }
    }

    /// Returns the protocol's bound for the best host to have everything again after the repair of
    /// a fault that lasted for `struck`.
    pub(crate) fn return_time(self, struck: Duration) -> Duration {
        if matches!(self.kind, Kind::Queue(_)) {
            // A BACKUP that could not send retries after a time that doubles: it is at most as long
            // as all before it together, and one more.
            return struck + takeover() + INTERVAL;
        }
        takeover()
    }

    /// Returns the protocol's bounds after the fault strikes.
    pub(crate) fn injection_bounds(self) -> Bounds {
        // The kernel answers for a dead carpd until its lease ends.
        let is_dead = matches!(
            self.kind,
            Kind::Kill | Kind::KillAndBack | Kind::Hang | Kind::Nap
        );
        let is_silent = matches!(self.kind, Kind::Cable(_) | Kind::Interface | Kind::Queue(_));
        Bounds {
            // After a bow-out or an immediate repair no client has to wait.
            outage: if is_dead || is_silent {
                takeover()
            } else {
                Duration::ZERO
            },
            double: if !self.settles() {
                Duration::MAX
            } else if is_dead {
                LEASE
            } else {
                self.handover()
            },
        }
    }

    /// Returns the protocol's bounds after the repair: a better host preempts, or one of several
    /// masters yields, without a wait.
    pub(crate) const fn repair_bounds(self) -> Bounds {
        Bounds {
            outage: Duration::ZERO,
            double: self.handover(),
        }
    }

    /// Returns how long two masters last that hear each other.
    const fn handover(self) -> Duration {
        if matches!(self.kind, Kind::Advbases(_)) {
            LONGER_INTERVAL
        } else if matches!(self.kind, Kind::Description | Kind::Replay) {
            Duration::ZERO
        } else {
            INTERVAL
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = self.label();
        let (name, _) = HOSTS.get(self.host).copied().unwrap_or_default();
        match self.kind {
            Kind::Cable(which) | Kind::Queue(which) => write!(f, "{label} ({name}, {which})"),
            Kind::Family(family) => write!(f, "{label} ({name}, {family}, {})", self.number % 3),
            Kind::Down | Kind::Destroy | Kind::Force => {
                write!(f, "{label} ({name}, {})", self.unit)
            }
            Kind::KillAndBack | Kind::Nap => write!(f, "{label} ({name}, {:.1?})", self.time),
            Kind::Clock(by) | Kind::LateClock(by) => write!(f, "{label} ({name}, {by} ms)"),
            Kind::Clocks(by) => write!(f, "{label} ({by} ms)"),
            Kind::Advskew => write!(f, "{label} ({name}, {}, {:?})", self.unit, self.skews()),
            Kind::Advbase(base) => write!(f, "{label} ({name}, {}, {base})", self.unit),
            Kind::Advbases(base) => write!(f, "{label} ({base})"),
            Kind::Alias(address) => write!(f, "{label} ({address})"),
            Kind::SuppressTwo
            | Kind::SuppressAll(_)
            | Kind::Passwords
            | Kind::PasswordAtOnce
            | Kind::Partition
            | Kind::Replay => f.write_str(label),
            Kind::Interface
            | Kind::Kill
            | Kind::Hang
            | Kind::Stop
            | Kind::Restart
            | Kind::KeepRestart
            | Kind::Reload
            | Kind::Flush
            | Kind::Delete
            | Kind::Sysctls
            | Kind::Mtu
            | Kind::Mac
            | Kind::Suppress
            | Kind::Noise
            | Kind::BusRestart
            | Kind::Description => write!(f, "{label} ({name})"),
        }
    }
}
