//! What goes wrong: each fault strikes, and is mended. How long clients may notice either follows
//! from the protocol.

use std::fmt;
use std::time::Duration;

use carp_tests::{Random, master_down};

use crate::testbed::{HOSTS, UNITS};

/// A fault, with the host that it strikes, if it is one alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) what: What,
    pub(crate) host: usize,
    pub(crate) unit: &'static str,
    /// A part of three seconds, for what lasts.
    pub(crate) time: Duration,
    /// For what has a value.
    pub(crate) number: u64,
    /// Whether hosts compare the time of what they hear with their own (`net.inet.carp.replay=2`).
    pub(crate) compares_clocks: bool,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A cable is pulled, with its interface.
    Cable(&'static str),
    /// An administrator takes an interface down.
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
    /// Without a time in which both are accepted.
    PasswordAtOnce,
    BusRestart,
    Partition,
    /// The advertisements of one family do not reach a host, or do not come from it, or both.
    Family(&'static str),
    /// The queue of an interface takes no frame any more.
    Queue(&'static str),
    /// The wall clock of one host steps by so many milliseconds.
    Clock(i64),
    /// Those of all hosts do.
    Clocks(i64),
    /// carpd starts while the clock of its host is that wrong.
    LateClock(i64),
    Advskew,
    Advbase(u32),
    /// On all hosts.
    Advbases(u32),
    /// An address more, on all hosts.
    Alias(&'static str),
    Description,
    /// From then on hosts compare clocks, or do not any more.
    Replay,
}

/// How long clients may notice a fault by the protocol, on a machine that has time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Nobody answers.
    pub(crate) outage: Duration,
    /// Two hosts answer.
    pub(crate) twice: Duration,
}

impl Bounds {
    /// The worse of both.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            outage: self.outage.max(other.outage),
            twice: self.twice.max(other.twice),
        }
    }
}

/// How long the slowest host waits for a master that says nothing.
pub(crate) fn takeover() -> Duration {
    let slowest = HOSTS.iter().map(|(_, skew)| *skew).max();
    master_down(1, slowest.unwrap_or_default())
}

/// How long the kernel keeps the addresses of a carpd that does not renew them: three times
/// advbase (linux.md calls it the lease; `carp_proto`'s `election::lease`).
const LEASE: Duration = Duration::from_secs(3);

/// Two masters that hear each other: one of them yields to the other's next advertisement. While
/// preemption is suppressed there is one every 1 + 240/256 s.
const INTERVAL: Duration = Duration::from_millis(1938);

/// As [`INTERVAL`], for hosts with an advbase of 2: 2 + 100/256 s.
const LONGER_INTERVAL: Duration = Duration::from_millis(2391);

/// In milliseconds: less than `net.inet.carp.replay_window`, and more.
const SMALL_STEP: i64 = 2_500;
const LARGE_STEP: i64 = 7_200_000;

const ALL: [What; 49] = [
    What::Cable("eth0"),
    What::Cable("eth1"),
    What::Interface,
    What::Kill,
    What::KillAndBack,
    What::Hang,
    What::Nap,
    What::Stop,
    What::Restart,
    What::KeepRestart,
    What::Down,
    What::Destroy,
    What::Reload,
    What::Flush,
    What::Delete,
    What::Sysctls,
    What::Mtu,
    What::Mac,
    What::Force,
    What::Suppress,
    What::SuppressTwo,
    What::SuppressAll(1),
    What::SuppressAll(0),
    What::Noise,
    What::Passwords,
    What::PasswordAtOnce,
    What::BusRestart,
    What::Partition,
    What::Family("IPv4"),
    What::Family("IPv6"),
    What::Queue("eth0"),
    What::Queue("eth1"),
    What::Clock(SMALL_STEP),
    What::Clock(-SMALL_STEP),
    What::Clock(LARGE_STEP),
    What::Clock(-LARGE_STEP),
    What::Clocks(LARGE_STEP),
    What::Clocks(-LARGE_STEP),
    What::LateClock(LARGE_STEP),
    What::Advskew,
    What::Advbase(0),
    What::Advbase(2),
    What::Advbase(10),
    What::Advbases(0),
    What::Advbases(2),
    What::Alias("192.168.1.77/24"),
    What::Alias("inet6 2001:db8:1::77 prefixlen 64"),
    What::Description,
    What::Replay,
];

impl Fault {
    /// One or two faults at once; two strike two hosts, so that the third is whole.
    pub(crate) fn some(random: &mut Random, compares_clocks: bool) -> Vec<Self> {
        let one = Self::any(random, compares_clocks);
        if one.is_everywhere() || random.below(4) > 0 {
            return vec![one];
        }
        loop {
            let other = Self::any(random, compares_clocks);
            // With each of two families cut somewhere, two hosts may not hear each other at all.
            let cuts = [one, other].map(|fault| matches!(fault.what, What::Family(_)));
            if !other.is_everywhere() && other.host != one.host && cuts != [true, true] {
                return vec![one, other];
            }
        }
    }

    fn any(random: &mut Random, compares_clocks: bool) -> Self {
        Self {
            what: random.one_of(ALL),
            // The master is the most interesting one.
            host: random.one_of([0, 0, 1, 2]),
            unit: random.one_of(UNITS),
            time: Duration::from_millis(random.below(2500)),
            number: random.number(),
            compares_clocks,
        }
    }

    /// Whether it is nothing that strikes one host.
    const fn is_everywhere(self) -> bool {
        matches!(
            self.what,
            What::SuppressTwo
                | What::SuppressAll(_)
                | What::Passwords
                | What::PasswordAtOnce
                | What::Partition
                | What::Clocks(_)
                | What::Advbases(_)
                | What::Alias(_)
                | What::Replay
        )
    }

    /// The advskews that one host has in turn.
    pub(crate) fn skews(self) -> [u64; 3] {
        [1, 255, 255 * 255].map(|scale| self.number / scale % 255)
    }

    /// Whether a host refuses what the others say, and they what it says.
    const fn parts_clocks(self) -> bool {
        self.compares_clocks
            && matches!(self.what, What::Clock(by) | What::LateClock(by) if by.abs() == LARGE_STEP)
    }

    /// Its line in the table.
    pub(crate) const fn kind(self) -> &'static str {
        match self.what {
            What::Cable(_) => "cable pulled, plugged in again",
            What::Interface => "physical interface down, up",
            What::Kill => "`kill -9`, started again after the takeover",
            What::KillAndBack => "`kill -9`, started again within the lease",
            What::Hang => "`kill -STOP`, `-CONT` after the takeover",
            What::Nap => "`kill -STOP`, `-CONT` within the lease",
            What::Stop => "clean stop, start",
            What::Restart => "clean stop and start at once",
            What::KeepRestart => "`kill -USR2`, started again at once",
            What::Down => "`down`, `up`",
            What::Destroy => "`destroy`, created again by a reload",
            What::Reload => "another advskew in rc.conf and back, `kill -HUP`",
            What::Flush => "addresses flushed by somebody else",
            What::Delete => "carp device deleted by somebody else",
            What::Sysctls => "sysctls set back by somebody else",
            What::Mtu => "MTU of the physical interface changed",
            What::Mac => "MAC of the physical interface changed",
            What::Force => "state forced",
            What::Suppress => "preemption suppressed by a holder",
            What::SuppressTwo => "preemption suppressed on two hosts",
            What::SuppressAll(1) => "preemption suppressed on all hosts",
            What::SuppressAll(_) => "advbase 0, preemption suppressed on all hosts",
            What::Noise => "flood of bad advertisements",
            What::Passwords => "password changed, and back",
            What::PasswordAtOnce => "password changed at once, and back",
            What::BusRestart => "message bus restarted",
            What::Partition => "hosts cut off from each other, not from the clients",
            What::Family(_) => "one family of advertisements cut",
            What::Queue(_) => "send queue full",
            What::Clock(by) if by.abs() == SMALL_STEP => "clock 2.5 s off, and right again",
            What::Clock(_) => "clock 2 h off, and right again",
            What::Clocks(_) => "clocks of all hosts 2 h off, and right again",
            What::LateClock(_) => "started with the clock 2 h off, then right again",
            What::Advskew => "advskew changed thrice, and back",
            What::Advbase(_) => "advbase changed, and back",
            What::Advbases(_) => "advbase changed on all hosts, and back",
            What::Alias(_) => "address added on all hosts, and removed",
            What::Description => "description changed",
            What::Replay => "replay changed on all hosts",
        }
    }

    /// Whether every address is answered for by one host while it lasts.
    pub(crate) fn settles(self) -> bool {
        self.what != What::Partition && !self.parts_clocks()
    }

    /// How long it takes until a backup shows that it no longer hears a master, after what may
    /// keep it from hearing one.
    pub(crate) fn shows_after(self) -> Duration {
        let changes_what_is_heard = matches!(
            self.what,
            What::SuppressTwo
                | What::SuppressAll(_)
                | What::PasswordAtOnce
                | What::Family(_)
                | What::Queue(_)
                | What::Clock(_)
                | What::Clocks(_)
                | What::LateClock(_)
                | What::Advskew
                | What::Advbase(_)
                | What::Advbases(_)
                | What::Alias(_)
                | What::Replay
        );
        if changes_what_is_heard {
            takeover() + INTERVAL
        } else {
            Duration::ZERO
        }
    }

    /// How long it takes at most, by the protocol, until the best host has everything again that
    /// was mended after `struck`.
    pub(crate) fn return_time(self, struck: Duration) -> Duration {
        if matches!(self.what, What::Queue(_)) {
            // A BACKUP that could not send tries again after a time that doubles: it is no longer
            // than all before it together, and one more.
            return struck + takeover() + INTERVAL;
        }
        takeover()
    }

    /// By the protocol, from when it strikes.
    pub(crate) fn strike_bounds(self) -> Bounds {
        // The kernel answers for a carpd that does not live, until its lease ends.
        let is_dead = matches!(
            self.what,
            What::Kill | What::KillAndBack | What::Hang | What::Nap
        );
        let is_silent = matches!(self.what, What::Cable(_) | What::Interface | What::Queue(_));
        Bounds {
            // A bow-out, or something put right at once, makes no one wait.
            outage: if is_dead || is_silent {
                takeover()
            } else {
                Duration::ZERO
            },
            twice: if !self.settles() {
                Duration::MAX
            } else if is_dead {
                LEASE
            } else {
                self.handover()
            },
        }
    }

    /// By the protocol, from when it is mended: a better host preempts, or one of several masters
    /// yields, and nobody has to be waited for.
    pub(crate) const fn mend_bounds(self) -> Bounds {
        Bounds {
            outage: Duration::ZERO,
            twice: self.handover(),
        }
    }

    /// How long two masters last that hear each other.
    const fn handover(self) -> Duration {
        if matches!(self.what, What::Advbases(_)) {
            LONGER_INTERVAL
        } else if matches!(self.what, What::Description | What::Replay) {
            Duration::ZERO
        } else {
            INTERVAL
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        let (name, _) = HOSTS.get(self.host).copied().unwrap_or_default();
        match self.what {
            What::Cable(which) | What::Queue(which) => write!(f, "{kind} ({name}, {which})"),
            What::Family(family) => write!(f, "{kind} ({name}, {family}, {})", self.number % 3),
            What::Down | What::Destroy | What::Force => write!(f, "{kind} ({name}, {})", self.unit),
            What::KillAndBack | What::Nap => write!(f, "{kind} ({name}, {:.1?})", self.time),
            What::Clock(by) | What::LateClock(by) => write!(f, "{kind} ({name}, {by} ms)"),
            What::Clocks(by) => write!(f, "{kind} ({by} ms)"),
            What::Advskew => write!(f, "{kind} ({name}, {}, {:?})", self.unit, self.skews()),
            What::Advbase(base) => write!(f, "{kind} ({name}, {}, {base})", self.unit),
            What::Advbases(base) => write!(f, "{kind} ({base})"),
            What::Alias(address) => write!(f, "{kind} ({address})"),
            What::SuppressTwo
            | What::SuppressAll(_)
            | What::Passwords
            | What::PasswordAtOnce
            | What::Partition
            | What::Replay => f.write_str(kind),
            What::Interface
            | What::Kill
            | What::Hang
            | What::Stop
            | What::Restart
            | What::KeepRestart
            | What::Reload
            | What::Flush
            | What::Delete
            | What::Sysctls
            | What::Mtu
            | What::Mac
            | What::Suppress
            | What::Noise
            | What::BusRestart
            | What::Description => write!(f, "{kind} ({name})"),
        }
    }
}
