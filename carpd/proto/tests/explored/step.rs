//! Steps: the lines of a story.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use carp_proto::{Family, Sysctl};

use crate::segment::fates::Fate;

/// Hosts of a story.
pub(crate) const HOSTS: [&str; 3] = ["a", "b", "c"];

/// One step. Hosts are numbers here, and names in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// `run 1500`: milliseconds pass.
    Run(u64),
    /// `a carp0 advskew 100`
    Ifconfig(usize, String),
    /// `a sysctl replay 2`
    Sysctl(usize, Sysctl, u64),
    /// `a has no address`: the physical interface has no address of its own.
    Bare(usize),
    /// `b is bsd advbase 1 advskew 0 preempt 1 ipv4 ipv6`
    Bsd(usize, BsdLine),
    /// `cut a b` or `cut a b ipv4`: frames from one host to the other, or those of one family, are lost.
    Cut(usize, usize, Option<Family>),
    /// `mend a b` or `mend a b ipv4`
    Mend(usize, usize, Option<Family>),
    /// `lose a b ipv4`, `delay a b ipv4 700`, `repeat a b ipv4 700`: the next advertisement.
    Next(usize, usize, Family, Fate),
    /// `mute a`, `unmute a`: its kernel sends no frame.
    Mute(usize, bool),
    /// `suppress a`, `release a`
    Suppress(usize, bool),
    /// `plug a`, `unplug a`
    Plug(usize, bool),
    /// `kill a`: carpd dies, and its kernel keeps the addresses.
    Kill(usize),
    /// `restart a`: carpd starts again with its saved state.
    Restart(usize),
    /// `reboot a`: the host starts again without saved state.
    Reboot(usize),
    /// `clock a -2500`: the wall clock is off by so many milliseconds.
    Clock(usize, i64),
    /// `alone c`: when all faults stop, this host stays cut off.
    Alone(usize),
}

/// Settings of a peer that follows BSD's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BsdLine {
    pub(crate) advbase: u8,
    pub(crate) advskew: u8,
    pub(crate) preempt: bool,
    pub(crate) families: Vec<Family>,
}

fn word(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |is: bool, yes: &'static str, no: &'static str| if is { yes } else { no };
        match self {
            Self::Run(millis) => write!(f, "run {millis}"),
            Self::Ifconfig(host, line) => write!(f, "{} {line}", HOSTS[*host]),
            Self::Sysctl(host, sysctl, value) => {
                write!(f, "{} sysctl {} {value}", HOSTS[*host], sysctl.name())
            }
            Self::Bare(host) => write!(f, "{} has no address", HOSTS[*host]),
            Self::Bsd(host, bsd) => {
                let preempt = u8::from(bsd.preempt);
                let (host, base, skew) = (HOSTS[*host], bsd.advbase, bsd.advskew);
                write!(
                    f,
                    "{host} is bsd advbase {base} advskew {skew} preempt {preempt}"
                )?;
                bsd.families
                    .iter()
                    .try_for_each(|family| write!(f, " {}", word(*family)))
            }
            Self::Cut(from, to, family) | Self::Mend(from, to, family) => {
                let verb = on(matches!(self, Self::Cut(..)), "cut", "mend");
                write!(f, "{verb} {} {}", HOSTS[*from], HOSTS[*to])?;
                family.map_or(Ok(()), |family| write!(f, " {}", word(family)))
            }
            Self::Next(from, to, family, fate) => {
                let (from, to, family) = (HOSTS[*from], HOSTS[*to], word(*family));
                match fate {
                    Fate::Lost => write!(f, "lose {from} {to} {family}"),
                    Fate::Late(late) => {
                        write!(f, "delay {from} {to} {family} {}", late.as_millis())
                    }
                    Fate::Twice(late) => {
                        write!(f, "repeat {from} {to} {family} {}", late.as_millis())
                    }
                }
            }
            Self::Mute(host, mute) => write!(f, "{} {}", on(*mute, "mute", "unmute"), HOSTS[*host]),
            Self::Suppress(host, held) => {
                write!(f, "{} {}", on(*held, "suppress", "release"), HOSTS[*host])
            }
            Self::Plug(host, plugged) => {
                write!(f, "{} {}", on(*plugged, "plug", "unplug"), HOSTS[*host])
            }
            Self::Kill(host) => write!(f, "kill {}", HOSTS[*host]),
            Self::Restart(host) => write!(f, "restart {}", HOSTS[*host]),
            Self::Reboot(host) => write!(f, "reboot {}", HOSTS[*host]),
            Self::Clock(host, millis) => write!(f, "clock {} {millis}", HOSTS[*host]),
            Self::Alone(host) => write!(f, "alone {}", HOSTS[*host]),
        }
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        parse(line, &words).ok_or_else(|| format!("not a line of a story: {line}"))
    }
}

fn parse(line: &str, words: &[&str]) -> Option<Step> {
    let millis = |text: &str| Some(Duration::from_millis(text.parse().ok()?));
    Some(match *words {
        ["run", millis] => Step::Run(millis.parse().ok()?),
        ["cut", from, to] => Step::Cut(host(from)?, host(to)?, None),
        ["cut", from, to, of] => Step::Cut(host(from)?, host(to)?, Some(family(of)?)),
        ["mend", from, to] => Step::Mend(host(from)?, host(to)?, None),
        ["mend", from, to, of] => Step::Mend(host(from)?, host(to)?, Some(family(of)?)),
        ["lose", from, to, of] => Step::Next(host(from)?, host(to)?, family(of)?, Fate::Lost),
        ["delay", from, to, of, late] => Step::Next(
            host(from)?,
            host(to)?,
            family(of)?,
            Fate::Late(millis(late)?),
        ),
        ["repeat", from, to, of, late] => Step::Next(
            host(from)?,
            host(to)?,
            family(of)?,
            Fate::Twice(millis(late)?),
        ),
        ["mute", name] => Step::Mute(host(name)?, true),
        ["unmute", name] => Step::Mute(host(name)?, false),
        ["suppress", name] => Step::Suppress(host(name)?, true),
        ["release", name] => Step::Suppress(host(name)?, false),
        ["plug", name] => Step::Plug(host(name)?, true),
        ["unplug", name] => Step::Plug(host(name)?, false),
        ["kill", name] => Step::Kill(host(name)?),
        ["restart", name] => Step::Restart(host(name)?),
        ["reboot", name] => Step::Reboot(host(name)?),
        ["alone", name] => Step::Alone(host(name)?),
        ["clock", name, millis] => Step::Clock(host(name)?, millis.parse().ok()?),
        [name, "has", "no", "address"] => Step::Bare(host(name)?),
        [name, "sysctl", sysctl, value] => {
            let known = |it: &Sysctl| it.name() == sysctl;
            let sysctl = Sysctl::ALL.into_iter().find(known)?;
            Step::Sysctl(host(name)?, sysctl, value.parse().ok()?)
        }
        [
            name,
            "is",
            "bsd",
            "advbase",
            base,
            "advskew",
            skew,
            "preempt",
            preempt,
            ref families @ ..,
        ] => {
            let bsd = BsdLine {
                advbase: base.parse().ok()?,
                advskew: skew.parse().ok()?,
                preempt: preempt == "1",
                families: families
                    .iter()
                    .map(|of| family(of))
                    .collect::<Option<_>>()?,
            };
            Step::Bsd(host(name)?, bsd)
        }
        [name, "carp0", ..] => {
            Step::Ifconfig(host(name)?, line.trim()[name.len() + 1..].to_owned())
        }
        _ => return None,
    })
}

fn host(name: &str) -> Option<usize> {
    HOSTS.iter().position(|known| *known == name)
}

fn family(text: &str) -> Option<Family> {
    Family::ALL.into_iter().find(|it| word(*it) == text)
}

/// Reads a story, line by line.
pub(crate) fn story(text: &str) -> Vec<Step> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| line.parse().unwrap()).collect()
}
