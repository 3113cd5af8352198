//! Summary of all interfaces: numbers of states, and a line for each trouble.

use carp_dbus::EventInfo;
use jiff::tz::TimeZone;

use crate::model::Model;
use crate::trouble::{self, RECENT_TIME, Trouble};
use crate::when;

/// Trouble in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TroubleLine {
    /// Traffic is in danger, not only the redundancy.
    pub(crate) is_alarm: bool,
    pub(crate) text: String,
}

/// Counts and lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Numbers of interfaces in MASTER, BACKUP and INIT.
    pub(crate) states: [usize; 3],
    /// Troubles, the worst first.
    pub(crate) lines: Vec<TroubleLine>,
}

impl Summary {
    /// Summarises `model` at `now`.
    pub(crate) fn of(model: &Model, now: u64, zone: &TimeZone) -> Self {
        let mut states = [0; 3];
        // Each trouble with its first interface and the number of interfaces.
        let mut found: Vec<(Trouble, &str, usize)> = Vec::new();
        for interface in model.interfaces.values() {
            let [master, backup, init] = &mut states;
            match interface.info.state.as_str() {
                "MASTER" => *master += 1,
                "BACKUP" => *backup += 1,
                _ => *init += 1,
            }
            for trouble in trouble::of(interface, model, now) {
                match found.iter_mut().find(|(other, ..)| *other == trouble) {
                    Some((.., count)) => *count += 1,
                    None => found.push((trouble, &interface.info.name, 1)),
                }
            }
        }
        found.sort();
        let mut lines: Vec<TroubleLine> = suppression(model, now, zone).into_iter().collect();
        lines.extend(
            found
                .into_iter()
                .filter_map(|(trouble, name, count)| line(model, now, trouble, name, count)),
        );
        lines.extend(stray(model, now));
        if model.sysctl("allow") == Some(0) {
            lines.push(TroubleLine {
                is_alarm: true,
                text: "net.inet.carp.allow is 0: advertisements are not accepted".to_owned(),
            });
        }
        lines.sort_by_key(|line| !line.is_alarm);
        Self { states, lines }
    }
}

/// Returns the line about a trouble of `count` interfaces, one of which is `name`.
fn line(
    model: &Model,
    now: u64,
    trouble: Trouble,
    name: &str,
    count: usize,
) -> Option<TroubleLine> {
    // The line about the suppression names the cause already.
    let is_named = matches!(trouble, Trouble::Demoted | Trouble::NoCarrier);
    if is_named && !model.suppressions.is_empty() {
        return None;
    }
    let (found, _) = trouble.sentences(model.interfaces.get(name)?, model, now);
    let text = match count {
        1 => format!("{name}: {found}"),
        count => format!("{} on {count}; {name}: {found}", trouble.name()),
    };
    Some(TroubleLine {
        is_alarm: trouble.is_alarm(),
        text,
    })
}

/// Returns the line about the suppression of preemption.
fn suppression(model: &Model, now: u64, zone: &TimeZone) -> Option<TroubleLine> {
    let oldest = model.suppressions.iter().map(|cause| cause.since).min()?;
    let by = match model.suppressions.len() {
        1 => String::new(),
        several => format!(" by {several}"),
    };
    let text = format!(
        "suppressed{by}: {}, since {}",
        trouble::causes(model),
        when::clock(oldest, now, zone)
    );
    Some(TroubleLine {
        is_alarm: false,
        text,
    })
}

/// Returns the line about a bad packet that belongs to no interface.
fn stray(model: &Model, now: u64) -> Option<TroubleLine> {
    let is_stray = |event: &&EventInfo| {
        event.kind == "bad-packet"
            && event.interface.is_empty()
            && now.saturating_sub(event.time) < RECENT_TIME
    };
    let event = model.events.iter().rev().find(is_stray)?;
    Some(TroubleLine {
        is_alarm: false,
        text: event.text.clone(),
    })
}
