//! Events: transitions and notices, in words for the log and for clients.

use carp_proto::{Notice, Transition, Unit, UnixTime};
use tracing::{Level, debug, info, warn};

/// Kind of a change of state.
const TRANSITION: &str = "transition";

/// Event as it is kept: without words, which take several times as much memory.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Change of a state.
    Transition(Transition),
    /// Report for operators.
    Notice(UnixTime, Notice),
    /// Loss of news, because there was too much of it.
    Lost(UnixTime),
}

/// Event in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    /// Time of the event.
    pub(crate) at: UnixTime,
    /// Carp interface of the event, if it has one.
    pub(crate) unit: Option<Unit>,
    /// Kind of the event.
    pub(crate) kind: &'static str,
    /// One line that names the subject.
    pub(crate) text: String,
    /// Facts of the event, by name.
    pub(crate) details: Vec<(&'static str, String)>,
    /// Level of the log line.
    pub(crate) level: Level,
}

impl Event {
    /// Describes the event.
    pub(crate) fn describe(&self) -> Description {
        match self {
            Self::Transition(event) => transition(event),
            Self::Notice(at, event) => notice(*at, event),
            Self::Lost(at) => lost(*at),
        }
    }
}

impl Description {
    /// Logs one line, with the facts as fields. The fields have the names that systemd's journal shows.
    ///
    /// `sysctl` is the value of `net.inet.carp.log`: at 0, carp(4) logs nothing, and below 2 no changes
    /// of state. Lines that it does not log appear at debug level.
    pub(crate) fn log(&self, sysctl: u8) {
        let text = &self.text;
        let fact = |name| {
            let mut details = self.details.iter();
            details.find_map(|(each, value)| (*each == name).then_some(value.as_str()))
        };
        let unit = self.unit.map(|unit| unit.to_string());
        let peer = fact("peer").or_else(|| fact("source"));
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    CARP_EVENT = self.kind,
                    CARP_INTERFACE = unit.as_deref(),
                    CARP_VHID = fact("vhid"),
                    CARP_DEVICE = fact("device"),
                    CARP_FROM = fact("from"),
                    CARP_TO = fact("to"),
                    CARP_REASON = fact("reason"),
                    CARP_PEER = peer,
                    "{text}"
                )
            };
        }
        let is_logged = sysctl >= if self.kind == TRANSITION { 2 } else { 1 };
        match self.level {
            Level::ERROR | Level::WARN if is_logged => line!(warn),
            Level::INFO if is_logged => line!(info),
            _ => line!(debug),
        }
    }
}

/// Describes a transition: `carp0: BACKUP -> MASTER (master timed out)`.
fn transition(transition: &Transition) -> Description {
    let Transition {
        unit,
        vhid,
        device,
        at,
        from,
        to,
        reason,
        peer,
    } = transition;
    let mut details = vec![
        ("from", from.text().to_owned()),
        ("to", to.text().to_owned()),
        ("reason", reason.word().to_owned()),
    ];
    details.extend(vhid.map(|vhid| ("vhid", vhid.get().to_string())));
    details.extend(device.as_ref().map(|name| ("device", name.to_string())));
    details.extend(peer.map(|peer| ("peer", peer.to_string())));
    Description {
        at: *at,
        unit: Some(*unit),
        kind: TRANSITION,
        text: format!(
            "{unit}: {} -> {} ({})",
            from.text(),
            to.text(),
            reason.text()
        ),
        details,
        level: Level::INFO,
    }
}

fn lost(at: UnixTime) -> Description {
    Description {
        at,
        unit: None,
        kind: "lost",
        text: "some events were lost: there were too many at once".to_owned(),
        details: Vec::new(),
        level: Level::WARN,
    }
}

fn notice(at: UnixTime, notice: &Notice) -> Description {
    let event = |kind, unit, level, text, details| Description {
        at,
        unit,
        kind,
        text,
        details,
        level,
    };
    match notice {
        Notice::BadPacket {
            device,
            name,
            unit,
            source,
            text,
            held_back,
        } => {
            let device = name
                .as_ref()
                .map_or_else(|| format!("#{device}"), ToString::to_string);
            let subject = unit.map_or_else(|| device.clone(), |unit| unit.to_string());
            let from = source.map_or_else(String::new, |source| format!(" from {source}"));
            let more = match held_back {
                0 => String::new(),
                several => format!(" ({several} more held back)"),
            };
            let mut details = vec![("device", device), ("held_back", held_back.to_string())];
            details.extend(source.map(|source| ("source", source.to_string())));
            let line = format!("{subject}: bad packet{from}: {text}{more}");
            event("bad-packet", *unit, Level::WARN, line, details)
        }
        Notice::Suppression { from, to, cause } => event(
            "suppression",
            None,
            if to > from { Level::WARN } else { Level::INFO },
            format!("net.inet.carp.suppress_preempt: {from} -> {to} ({cause})"),
            vec![
                ("from", from.to_string()),
                ("to", to.to_string()),
                ("cause", cause.clone()),
            ],
        ),
        Notice::KernelRefused {
            unit,
            address,
            error,
        } => {
            let refused = address.map_or_else(|| "the device".to_owned(), |ip| ip.to_string());
            let line = format!("{unit}: the kernel refused {refused}: {error}");
            let details = vec![("what", refused), ("error", error.clone())];
            event("kernel-refused", Some(*unit), Level::WARN, line, details)
        }
        Notice::NotRunning { unit, obstacle } => {
            let line = format!("{unit}: stays in INIT: {obstacle}");
            let details = vec![("reason", obstacle.to_string())];
            event("not-running", Some(*unit), Level::WARN, line, details)
        }
        Notice::Warning { unit, warning } => {
            let line = format!("{unit}: {warning}");
            event("warning", Some(*unit), Level::WARN, line, Vec::new())
        }
        Notice::TwoMasters { unit, source, text } => event(
            "two-masters",
            Some(*unit),
            Level::WARN,
            format!("{unit}: {text}"),
            vec![("source", source.to_string())],
        ),
        Notice::ClockSetBack { unit, ahead } => event(
            "clock",
            Some(*unit),
            Level::WARN,
            format!(
                "{unit}: counters of advertisements ran {} s ahead of the clock, which was set back: \
                 they start again at the clock",
                ahead.as_secs()
            ),
            vec![("ahead", ahead.as_secs().to_string())],
        ),
        Notice::Sending { unit, works: true } => event(
            "sending",
            Some(*unit),
            Level::INFO,
            format!("{unit}: advertisements are sent again"),
            vec![("works", "true".to_owned())],
        ),
        Notice::Sending { unit, works: false } => event(
            "sending",
            Some(*unit),
            Level::WARN,
            format!("{unit}: advertisements cannot be sent"),
            vec![("works", "false".to_owned())],
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use carp_proto::{DeviceName, IfIndex, Obstacle, Warning};

    use super::*;

    fn described(event: &Notice) -> (&'static str, Level, String) {
        let described = notice(UnixTime::default(), event);
        (described.kind, described.level, described.text)
    }

    #[test]
    fn bad_packet_names_interface_source_and_fault() {
        let source: IpAddr = "192.0.2.7".parse().unwrap();
        let bad = |unit, name, source, held_back| Notice::BadPacket {
            device: IfIndex(2),
            name,
            unit,
            source,
            text: "checksum wrong".to_owned(),
            held_back,
        };
        let line = |notice| described(&notice).2;
        assert_eq!(
            line(bad(Unit::try_from(0).ok(), None, Some(source), 3)),
            "carp0: bad packet from 192.0.2.7: checksum wrong (3 more held back)"
        );
        assert_eq!(
            line(bad(None, DeviceName::new("eth0"), None, 0)),
            "eth0: bad packet: checksum wrong"
        );
        assert_eq!(
            line(bad(None, None, None, 0)),
            "#2: bad packet: checksum wrong"
        );
    }

    #[test]
    fn every_other_notice_is_one_line_that_names_its_subject() {
        let unit = Unit::try_from(0).unwrap();
        let suppression = |from, to| Notice::Suppression {
            from,
            to,
            cause: "eth0 is down".to_owned(),
        };
        let refused = |address| Notice::KernelRefused {
            unit,
            address,
            error: "file exists".to_owned(),
        };
        let two = Notice::TwoMasters {
            unit,
            source: "192.0.2.7".parse().unwrap(),
            text: "192.0.2.7 is MASTER too; this host stays".to_owned(),
        };
        let (warn, info) = (Level::WARN, Level::INFO);
        for (notice, kind, level, text) in [
            (
                suppression(0, 1),
                "suppression",
                warn,
                "net.inet.carp.suppress_preempt: 0 -> 1 (eth0 is down)",
            ),
            (
                suppression(1, 0),
                "suppression",
                info,
                "net.inet.carp.suppress_preempt: 1 -> 0 (eth0 is down)",
            ),
            (
                refused("192.0.2.1".parse().ok()),
                "kernel-refused",
                warn,
                "carp0: the kernel refused 192.0.2.1: file exists",
            ),
            (
                refused(None),
                "kernel-refused",
                warn,
                "carp0: the kernel refused the device: file exists",
            ),
            (
                Notice::NotRunning {
                    unit,
                    obstacle: Obstacle::NoAddress,
                },
                "not-running",
                warn,
                "carp0: stays in INIT: no address set",
            ),
            (
                Notice::Warning {
                    unit,
                    warning: Warning::Gateway("192.0.2.1".parse().unwrap()),
                },
                "warning",
                warn,
                "carp0: 192.0.2.1 is the gateway of a default route of this host, which leads \
                 nowhere while it is MASTER",
            ),
            (
                two,
                "two-masters",
                warn,
                "carp0: 192.0.2.7 is MASTER too; this host stays",
            ),
            (
                Notice::ClockSetBack {
                    unit,
                    ahead: Duration::from_millis(7_198_500),
                },
                "clock",
                warn,
                "carp0: counters of advertisements ran 7198 s ahead of the clock, which was set back: \
                 they start again at the clock",
            ),
            (
                Notice::Sending { unit, works: false },
                "sending",
                warn,
                "carp0: advertisements cannot be sent",
            ),
            (
                Notice::Sending { unit, works: true },
                "sending",
                info,
                "carp0: advertisements are sent again",
            ),
        ] {
            assert_eq!(described(&notice), (kind, level, text.to_owned()));
        }
    }
}
