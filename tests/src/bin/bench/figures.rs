//! Every figure of the bench, with its unit and target.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::engine::Engine;

/// Unit of a number. Values are kept in the base unit that is named first.
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
    /// A plain number.
    Count,
    /// A number per second.
    Rate,
    /// A quotient of two numbers.
    Ratio,
}

impl Unit {
    /// Returns the value in a suitable unit.
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

/// Returns three digits, or all before the point.
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

/// Target for carpd's median.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// At most another engine's median, multiplied by the first number, plus the second.
    Against(Engine, f64, f64),
    /// Without a target.
    None,
}

impl Target {
    /// Returns the limit in words.
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

    /// Returns whether `value` reaches the target; `None` if there is nothing to compare with.
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

/// Name of a figure in the results. Its row is in one of the [`SECTIONS`].
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
    ("Cost for forwarded packets", FORWARD),
    ("Commands, start and stop", COMMANDS),
    ("The protocol's core", MICRO),
];

const KEEPALIVED: Engine = Engine::Keepalived;

use Target::{Against, AtLeast, AtMost, None as NoTarget};
use Unit::{Bytes, Count, PerMinute, Processor, Rate, Ratio, Time};

#[rustfmt::skip]
const FAILOVER: &[Figure] = &[
    figure(Id::PlannedOutage, Time, Against(KEEPALIVED, 0.1, 0.0),
        "master is stopped: longest gap between a client's replies"),
    figure(Id::PlannedLost, Count, AtMost(0.0),
        "master is stopped: pings lost by a client that sends one every 10 ms"),
    figure(Id::UnplannedTakeover, Time, AtMost(3.391 + 0.010),
        "master dies: from its last advertisement to the new master's first ARP (3.391 s by the protocol)"),
    figure(Id::UnplannedOutage, Time, NoTarget,
        "master dies: longest gap between a client's replies"),
    figure(Id::ReturnTakeover, Time, AtMost(1.391),
        "preferred master returns: from its start to its first ARP (the other advertises every 1.391 s)"),
    figure(Id::FailbackTakeover, Time, AtMost(0.020),
        "preferred master returns: from the advertisement that it preempts to its first ARP"),
    figure(Id::FailbackOutage, Time, NoTarget,
        "preferred master returns: longest gap between a client's replies"),
    figure(Id::FailbackLost, Count, AtMost(0.0),
        "preferred master returns: pings lost by a client that sends one every 10 ms"),
];

#[rustfmt::skip]
const SUBSECOND: &[Figure] = &[
    figure(Id::SubsecondExcess, Time, AtMost(0.010),
        "16 virtual hosts, advbase 0, advskew 1 to 10, master dies: slowest first ARP, beyond 3·advskew/256 s"),
    figure(Id::FalseRealtime, Count, AtMost(0.0),
        "false takeovers in five minutes with busy processors, with `--realtime`"),
    figure(Id::LateRealtime, Time, NoTarget,
        "longest delay of an advertisement in that time"),
    figure(Id::FalsePlain, Count, NoTarget,
        "false takeovers in five minutes with busy processors, without `--realtime`"),
    figure(Id::LatePlain, Time, NoTarget,
        "longest delay of an advertisement in that time"),
];

#[rustfmt::skip]
const STORM: &[Figure] = &[
    figure(Id::Storm255, Time, AtMost(0.060),
        "255 on one interface, master dies: from the first takeover to the last address that answers ARP"),
    figure(Id::Storm1020, Time, AtMost(0.250),
        "1,020 on four interfaces, master dies: the same"),
    figure(Id::Leave255, Time, AtMost(0.060),
        "255 on one interface, master is stopped: until no address answers ARP"),
];

#[rustfmt::skip]
const STEADY: &[Figure] = &[
    figure(Id::Master255, PerMinute, Against(KEEPALIVED, 1.0, 0.0),
        "255 virtual hosts as master: processor time (only carpd renews leases)"),
    figure(Id::Unleased255, PerMinute, Against(KEEPALIVED, 0.5, 0.0),
        "255 virtual hosts as master: processor time without the thread that renews leases"),
    figure(Id::Backup255, PerMinute, Against(KEEPALIVED, 0.5, 0.0),
        "255 virtual hosts as backup: processor time"),
    figure(Id::Memory255, Bytes, Against(KEEPALIVED, 1.0, 1e6),
        "255 virtual hosts: memory (PSS), the larger of master and backup"),
    figure(Id::Master4080, Processor, AtMost(0.05),
        "4,080 virtual hosts on 16 interfaces as master: share of one processor"),
    figure(Id::Leases16, Processor, NoTarget,
        "leases of 16 addresses: share of one processor"),
    figure(Id::Leases255, Processor, NoTarget,
        "leases of 255 addresses: share of one processor"),
    figure(Id::Leases4080, Processor, NoTarget,
        "leases of 4,080 addresses: share of one processor"),
    figure(Id::BareFrames4080, Processor, NoTarget,
        "bare loop that sends 4,080 advertisements a second: share of one processor"),
    figure(Id::BareLeases4080, Processor, NoTarget,
        "bare loop that renews 4,080 addresses a second: share of one processor"),
    figure(Id::Memory4080, Bytes, AtMost(24e6),
        "4,080 virtual hosts on 16 interfaces as master: memory (PSS)"),
];

#[rustfmt::skip]
const FLOOD: &[Figure] = &[
    figure(Id::BadTwoMasters, Count, AtMost(0.0),
        "20,000 bad advertisements/s for five seconds, 16 virtual hosts: second masters"),
    figure(Id::BadLog, Bytes, NoTarget,
        "20,000 bad advertisements/s for five seconds: log of both hosts"),
    figure(Id::FloodRate, Rate, NoTarget,
        "flood of 100,000/s: rate reached"),
    figure(Id::FloodTakeovers, Count, AtMost(0.0),
        "flood of 100,000/s, 64 virtual hosts: second masters"),
    figure(Id::FloodLate, Time, AtMost(0.020),
        "flood of 100,000/s: delay of advertisements, 99th percentile"),
    figure(Id::FloodMaster, Processor, AtMost(0.5),
        "flood of 100,000/s: the master's share of one processor"),
    figure(Id::FloodBackup, Processor, AtMost(0.5),
        "flood of 100,000/s: the backup's share of one processor"),
];

#[rustfmt::skip]
const FORWARD: &[Figure] = &[
    figure(Id::ForwardRatio, Ratio, AtLeast(0.99),
        "packets forwarded by the MASTER of 16 carp interfaces, relative to the same devices made by hand"),
    figure(Id::ForwardTap, Ratio, NoTarget,
        "the same devices with an idle packet socket on each interface and without carpd, in the same way"),
    figure(Id::ForwardRate, Rate, NoTarget,
        "packets forwarded with carpd, one flow on one processor"),
];

#[rustfmt::skip]
const COMMANDS: &[Figure] = &[
    figure(Id::CtlRatio, Ratio, AtMost(3.0),
        "`carpctl carp0`: time, relative to `/bin/true`"),
    figure(Id::CtlTime, Time, NoTarget,
        "`carpctl carp0`: time"),
    figure(Id::CtlProcessor, Ratio, NoTarget,
        "`carpctl carp0`: user and system time, relative to `/bin/true`"),
    figure(Id::CtlAll4080, Time, AtMost(0.030),
        "`carpctl -a` with 4,080 interfaces: time"),
    figure(Id::Configure, Time, AtMost(0.001),
        "`Configure` over the private socket: time"),
    figure(Id::Start255, Time, AtMost(0.150),
        "start with 255 interfaces in rc.conf: until the last one is BACKUP"),
    figure(Id::Stop255, Time, AtMost(0.150),
        "stop as MASTER of 255: until the process has ended and its devices are gone"),
];

#[rustfmt::skip]
const MICRO: &[Figure] = &[
    figure(Id::MicroHandle, Time, AtMost(1e-6),
        "parse, verify and handle an advertisement, 1 virtual host"),
    figure(Id::MicroHandle255, Time, AtMost(1e-6),
        "parse, verify and handle an advertisement, 255 virtual hosts"),
    figure(Id::MicroForgery, Time, AtMost(1e-6),
        "refuse a forged advertisement"),
    figure(Id::MicroAdvertise, Time, NoTarget,
        "advertise as master of 255 at once: each advertisement"),
    figure(Id::MicroDigest, Time, AtMost(250e-9),
        "compute a digest"),
    figure(Id::MicroVerify, Time, NoTarget,
        "verify a digest"),
    figure(Id::MicroPrepare, Time, NoTarget,
        "prepare the digests after a change of configuration"),
    figure(Id::MicroParse, Time, NoTarget,
        "parse an advertisement"),
    figure(Id::MicroEmit, Time, NoTarget,
        "build an advertisement"),
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
