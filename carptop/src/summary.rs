//! The whole in few lines: how many are in which state, and what is wrong.

use carp_dbus::EventInfo;
use jiff::tz::TimeZone;

use crate::model::Model;
use crate::trouble::{self, RECENT, Trouble};
use crate::when;

/// Something wrong, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TroubleLine {
    /// Whether traffic is in danger now, not only the redundancy.
    pub(crate) alarm: bool,
    pub(crate) text: String,
}

/// The counts and the lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// MASTER, BACKUP, INIT.
    pub(crate) states: [usize; 3],
    /// The worst first.
    pub(crate) lines: Vec<TroubleLine>,
}

impl Summary {
    /// Counts `picture` at `now`.
    pub(crate) fn of(model: &Model, now: u64, zone: &TimeZone) -> Self {
        let mut states = [0; 3];
        // Each with one interface and the number of interfaces.
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
                alarm: true,
                text: "net.inet.carp.allow is 0: advertisements are not accepted".to_owned(),
            });
        }
        lines.sort_by_key(|wrong| !wrong.alarm);
        Self { states, lines }
    }
}

fn line(
    model: &Model,
    now: u64,
    trouble: Trouble,
    name: &str,
    count: usize,
) -> Option<TroubleLine> {
    // The cause is said with the suppression.
    let same = matches!(trouble, Trouble::Demoted | Trouble::NoCarrier);
    if same && !model.suppressions.is_empty() {
        return None;
    }
    let (found, _) = trouble.sentences(model.interfaces.get(name)?, model, now);
    let text = match count {
        1 => format!("{name}: {found}"),
        count => format!("{} on {count}; {name}: {found}", trouble.name()),
    };
    Some(TroubleLine {
        alarm: trouble.is_alarm(),
        text,
    })
}

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
    Some(TroubleLine { alarm: false, text })
}

/// A bad packet that belongs to no interface.
fn stray(model: &Model, now: u64) -> Option<TroubleLine> {
    let is_stray = |event: &&EventInfo| {
        event.kind == "bad-packet"
            && event.interface.is_empty()
            && now.saturating_sub(event.time) < RECENT
    };
    let event = model.events.iter().rev().find(is_stray)?;
    Some(TroubleLine {
        alarm: false,
        text: event.text.clone(),
    })
}
