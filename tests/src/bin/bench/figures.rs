//! Every figure of the bench: what it is, its unit, what it shall be.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::node::Engine;

/// What a number counts. Values are kept in the base unit that is named first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Seconds, shown as s, ms, µs or ns.
    Time,
    /// Seconds of a processor for each minute.
    PerMinute,
    /// Processors, shown as per cent of one.
    Processor,
    /// Bytes, shown as kB or MB of 1,000.
    Bytes,
    /// A number.
    Count,
    /// A number for each second.
    Rate,
    /// One number divided by another.
    Ratio,
}

impl Unit {
    /// The value, in a unit that suits it.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Time => show_time(value),
            Self::PerMinute => format!("{} s/min", significant(value)),
            Self::Processor => format!("{} %", significant(value * 100.0)),
            Self::Bytes if value.abs() < 1e6 => format!("{} kB", significant(value / 1e3)),
            Self::Bytes => format!("{} MB", significant(value / 1e6)),
            Self::Count => whole_or_significant(value),
            Self::Rate => format!("{}/s", thousands(value)),
            Self::Ratio => format!("{value:.3}"),
        }
    }
}

fn show_time(value: f64) -> String {
    match value.abs() {
        size if size >= 1.0 => format!("{value:.3} s"),
        size if size >= 1e-3 => format!("{} ms", significant(value * 1e3)),
        size if size >= 1e-6 => format!("{} µs", significant(value * 1e6)),
        0.0 => "0".to_owned(),
        _ => format!("{} ns", significant(value * 1e9)),
    }
}

/// Three digits, or all before the point.
fn significant(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn whole_or_significant(value: f64) -> String {
    if value.fract() == 0.0 {
        thousands(value)
    } else {
        significant(value)
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What the median of carpd's shall be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// No more than so many times another engine's median, and this on top.
    Against(Engine, f64, f64),
    /// Only told.
    None,
}

impl Target {
    /// The limit in words, with the values of the other engine if they are known.
    pub(crate) fn show(self, unit: Unit) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {}", unit.show(limit)),
            Self::AtLeast(limit) => format!("≥ {}", unit.show(limit)),
            Self::Against(engine, factor, extra) => {
                let mut text = if (factor - 1.0).abs() < f64::EPSILON {
                    format!("≤ {engine}")
                } else {
                    format!("≤ {factor} × {engine}")
                };
                if extra > 0.0 {
                    let _ = write!(text, " + {}", unit.show(extra));
                }
                text
            }
            Self::None => String::new(),
        }
    }

    /// Whether `value` is what it shall be; `None` if there is nothing to hold it against.
    pub(crate) fn holds(self, value: f64, median: impl Fn(Engine) -> Option<f64>) -> Option<bool> {
        match self {
            Self::AtMost(limit) => Some(value <= limit),
            Self::AtLeast(limit) => Some(value >= limit),
            Self::Against(engine, factor, extra) => {
                median(engine).map(|theirs| value <= theirs * factor + extra)
            }
            Self::None => None,
        }
    }
}

/// The name of a figure, as the results have it: its row in one of the [`SECTIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Id {
    PlannedOutage,
    PlannedLost,
    UnplannedTakeover,
    UnplannedOutage,
    ReturnTakeover,
    FailbackTakeover,
    FailbackOutage,
    FailbackLost,
    SubsecondExcess,
    FalseRealtime,
    LateRealtime,
    FalsePlain,
    LatePlain,
    Storm255,
    Storm1020,
    Leave255,
    Master255,
    Backup255,
    Unleased255,
    Memory255,
    Master4080,
    Memory4080,
    Leases16,
    Leases255,
    Leases4080,
    BareFrames4080,
    BareLeases4080,
    BadTwoMasters,
    BadLog,
    FloodRate,
    FloodTakeovers,
    FloodLate,
    FloodMaster,
    FloodBackup,
    ForwardRatio,
    ForwardTap,
    ForwardRate,
    CtlRatio,
    CtlTime,
    CtlProcessor,
    CtlAll4080,
    Configure,
    Start255,
    Stop255,
    MicroHandle,
    MicroHandle255,
    MicroForgery,
    MicroAdvertise,
    MicroDigest,
    MicroVerify,
    MicroPrepare,
    MicroParse,
    MicroEmit,
}

/// One row of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) id: Id,
    pub(crate) title: &'static str,
    pub(crate) unit: Unit,
    pub(crate) target: Target,
}

const fn figure(id: Id, unit: Unit, target: Target, title: &'static str) -> Figure {
    Figure {
        id,
        title,
        unit,
        target,
    }
}

/// The tables of BENCHMARKS.md, in their order.
pub(crate) const SECTIONS: [(&str, &[Figure]); 8] = [
    ("Failover", FAILOVER),
    ("Sub-second intervals", SUBSECOND),
    ("Many virtual hosts change at once", STORM),
    ("Steady state", STEADY),
    ("Floods of bad advertisements", FLOOD),
    ("What forwarding pays", FORWARD),
    ("Commands, start and stop", COMMANDS),
    ("The protocol's core", MICRO),
];

const KEEPALIVED: Engine = Engine::Keepalived;

use Target::{Against, AtLeast, AtMost, None as Told};
use Unit::{Bytes, Count, PerMinute, Processor, Rate, Ratio, Time};

#[rustfmt::skip]
const FAILOVER: &[Figure] = &[
    figure(Id::PlannedOutage, Time, Against(KEEPALIVED, 0.1, 0.0), "planned stop of the master: longest gap between a client's replies"),
    figure(Id::PlannedLost, Count, AtMost(0.0), "planned stop of the master: lost pings of a client that sends every 10 ms"),
    figure(Id::UnplannedTakeover, Time, AtMost(3.391 + 0.010), "master dies: first ARP of the new one, asked or not, after the last advertisement (3·1 + 100/256 = 3.391 s)"),
    figure(Id::UnplannedOutage, Time, Told, "master dies: longest gap between a client's replies"),
    figure(Id::ReturnTakeover, Time, AtMost(1.391), "preferred master comes back: its first ARP after its start (the other advertises every 1 + 100/256 = 1.391 s)"),
    figure(Id::FailbackTakeover, Time, AtMost(0.020), "preferred master comes back: its first ARP after the advertisement that it preempts"),
    figure(Id::FailbackOutage, Time, Told, "preferred master comes back: longest gap between a client's replies"),
    figure(Id::FailbackLost, Count, AtMost(0.0), "preferred master comes back: lost pings of a client that sends every 10 ms"),
];

#[rustfmt::skip]
const SUBSECOND: &[Figure] = &[
    figure(Id::SubsecondExcess, Time, AtMost(0.010), "16 virtual hosts, advbase 0, advskew 1 to 10, master dies: the slowest first ARP, beyond 3·advskew/256 s after the last advertisement"),
    figure(Id::FalseRealtime, Count, AtMost(0.0), "false takeovers in five minutes, both processors busy, with `--realtime`"),
    figure(Id::LateRealtime, Time, Told, "… and the longest time by which an advertisement came late"),
    figure(Id::FalsePlain, Count, Told, "false takeovers in five minutes, both processors busy, without it"),
    figure(Id::LatePlain, Time, Told, "… and the longest time by which an advertisement came late"),
];

#[rustfmt::skip]
const STORM: &[Figure] = &[
    figure(Id::Storm255, Time, AtMost(0.060), "255 on one interface, master dies: from the first takeover advertisement to the last address that answers ARP"),
    figure(Id::Storm1020, Time, AtMost(0.250), "1,020 on four interfaces: the same"),
    figure(Id::Leave255, Time, AtMost(0.060), "255, the master is told to stop: until nothing answers ARP"),
];

#[rustfmt::skip]
const STEADY: &[Figure] = &[
    figure(Id::Master255, PerMinute, Against(KEEPALIVED, 1.0, 0.0), "255 virtual hosts as master: time of the processor (carpd renews leases, the others have none)"),
    figure(Id::Unleased255, PerMinute, Against(KEEPALIVED, 0.5, 0.0), "… without the thread that renews the leases"),
    figure(Id::Backup255, PerMinute, Against(KEEPALIVED, 0.5, 0.0), "255 virtual hosts as backup: time of the processor"),
    figure(Id::Memory255, Bytes, Against(KEEPALIVED, 1.0, 1e6), "255 virtual hosts: memory (PSS), the larger of master and backup"),
    figure(Id::Master4080, Processor, AtMost(0.05), "4,080 virtual hosts on 16 interfaces as master: share of one processor"),
    figure(Id::Leases16, Processor, Told, "the leases of 16 addresses: share of one processor"),
    figure(Id::Leases255, Processor, Told, "the leases of 255 addresses"),
    figure(Id::Leases4080, Processor, Told, "the leases of 4,080 addresses"),
    figure(Id::BareFrames4080, Processor, Told, "4,080 advertisements sent a second by a loop that does nothing else, with as few system calls as can be"),
    figure(Id::BareLeases4080, Processor, Told, "4,080 addresses renewed a second by such a loop"),
    figure(Id::Memory4080, Bytes, AtMost(24e6), "4,080 virtual hosts on 16 interfaces as master: memory (PSS)"),
];

#[rustfmt::skip]
const FLOOD: &[Figure] = &[
    figure(Id::BadTwoMasters, Count, AtMost(0.0), "20,000 bad advertisements/s for five seconds, 16 virtual hosts: second masters"),
    figure(Id::BadLog, Bytes, Told, "20,000 bad advertisements/s for five seconds: log of both hosts"),
    figure(Id::FloodRate, Rate, Told, "flood of 100,000/s: rate that was reached"),
    figure(Id::FloodTakeovers, Count, AtMost(0.0), "flood of 100,000/s, 64 virtual hosts: second masters"),
    figure(Id::FloodLate, Time, AtMost(0.020), "flood of 100,000/s: lateness of advertisements, 99th percentile"),
    figure(Id::FloodMaster, Processor, AtMost(0.5), "flood of 100,000/s: the master's share of one processor"),
    figure(Id::FloodBackup, Processor, AtMost(0.5), "flood of 100,000/s: the backup's share of one processor"),
];

#[rustfmt::skip]
const FORWARD: &[Figure] = &[
    figure(Id::ForwardRatio, Ratio, AtLeast(0.99), "packets forwarded by a router with 16 carp interfaces as MASTER: with carpd, divided by the same devices made by hand"),
    figure(Id::ForwardTap, Ratio, Told, "the same without carpd, with a packet socket on each interface that wants nothing: what the kernel takes for hearing everything"),
    figure(Id::ForwardRate, Rate, Told, "packets forwarded with carpd, one flow on one processor"),
];

#[rustfmt::skip]
const COMMANDS: &[Figure] = &[
    figure(Id::CtlRatio, Ratio, AtMost(3.0), "`carpctl carp0`: time, divided by that of `/bin/true`"),
    figure(Id::CtlTime, Time, Told, "`carpctl carp0`: time"),
    figure(Id::CtlProcessor, Ratio, Told, "`carpctl carp0`: user and system time, divided by those of `/bin/true`"),
    figure(Id::CtlAll4080, Time, AtMost(0.030), "`carpctl -a` with 4,080 interfaces"),
    figure(Id::Configure, Time, AtMost(0.001), "a `Configure` over the private socket"),
    figure(Id::Start255, Time, AtMost(0.150), "start with 255 interfaces in rc.conf: until the last one is BACKUP"),
    figure(Id::Stop255, Time, AtMost(0.150), "stop as MASTER of 255: until the process has ended and its devices are gone"),
];

#[rustfmt::skip]
const MICRO: &[Figure] = &[
    figure(Id::MicroHandle, Time, AtMost(1e-6), "one advertisement, parsed, verified and handled, 1 virtual host"),
    figure(Id::MicroHandle255, Time, AtMost(1e-6), "one advertisement, parsed, verified and handled, 255 virtual hosts"),
    figure(Id::MicroForgery, Time, AtMost(1e-6), "one forged advertisement"),
    figure(Id::MicroAdvertise, Time, Told, "255 masters advertise at once: each"),
    figure(Id::MicroDigest, Time, AtMost(250e-9), "a digest"),
    figure(Id::MicroVerify, Time, Told, "a digest, verified"),
    figure(Id::MicroPrepare, Time, Told, "a change of configuration: the states of its digests"),
    figure(Id::MicroParse, Time, Told, "an advertisement, parsed"),
    figure(Id::MicroEmit, Time, Told, "an advertisement, put together"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_in_a_unit_that_suits_them() {
        for (unit, value, text) in [
            (Unit::Time, 3.4004, "3.400 s"),
            (Unit::Time, 0.0412, "41.2 ms"),
            (Unit::Time, 0.000_412, "412 µs"),
            (Unit::Time, 2.2e-7, "220 ns"),
            (Unit::PerMinute, 0.254, "0.254 s/min"),
            (Unit::Processor, 0.051, "5.10 %"),
            (Unit::Bytes, 5.4e6, "5.40 MB"),
            (Unit::Rate, 98_765.4, "98,765/s"),
            (Unit::Count, 0.0, "0"),
            (Unit::Count, 1.5, "1.50"),
        ] {
            assert_eq!(unit.show(value), text);
        }
    }

    #[test]
    fn a_target_may_depend_on_another_engine() {
        let target = Target::Against(Engine::Keepalived, 0.1, 0.0);
        assert_eq!(target.show(Unit::Time), "≤ 0.1 × keepalived");
        assert_eq!(target.holds(0.04, |_| Some(0.41)), Some(true));
        assert_eq!(target.holds(0.05, |_| Some(0.41)), Some(false));
        assert_eq!(target.holds(0.05, |_| None), None);
    }
}
