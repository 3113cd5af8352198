//! The whole in few lines: how many are in which state, and what is wrong.

use carp_dbus::EventInfo;
use jiff::tz::TimeZone;

use crate::picture::Picture;
use crate::trouble::{self, RECENT, Trouble};
use crate::when;

/// Something wrong, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Whether traffic is in danger now, not only the redundancy.
    pub(crate) alarm: bool,
    pub(crate) text: String,
}

/// The counts and the lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// MASTER, BACKUP, INIT.
    pub(crate) states: [usize; 3],
    /// The worst first.
    pub(crate) lines: Vec<Wrong>,
}

impl Tally {
    /// Counts `picture` at `now`.
    pub(crate) fn of(picture: &Picture, now: u64, zone: &TimeZone) -> Self {
        let mut states = [0; 3];
        // Each with one interface and the number of interfaces.
        let mut found: Vec<(Trouble, &str, usize)> = Vec::new();
        for host in picture.hosts.values() {
            let [master, backup, init] = &mut states;
            match host.info.state.as_str() {
                "MASTER" => *master += 1,
                "BACKUP" => *backup += 1,
                _ => *init += 1,
            }
            for trouble in trouble::of(host, picture, now) {
                match found.iter_mut().find(|(other, ..)| *other == trouble) {
                    Some((.., count)) => *count += 1,
                    None => found.push((trouble, &host.info.name, 1)),
                }
            }
        }
        found.sort();
        let mut lines: Vec<Wrong> = suppression(picture, now, zone).into_iter().collect();
        lines.extend(
            found
                .into_iter()
                .filter_map(|(trouble, name, count)| line(picture, now, trouble, name, count)),
        );
        lines.extend(stray(picture, now));
        if picture.sysctl("allow") == Some(0) {
            lines.push(Wrong {
                alarm: true,
                text: "net.inet.carp.allow is 0: advertisements are not accepted".to_owned(),
            });
        }
        lines.sort_by_key(|wrong| !wrong.alarm);
        Self { states, lines }
    }
}

fn line(picture: &Picture, now: u64, trouble: Trouble, name: &str, count: usize) -> Option<Wrong> {
    // The cause is said with the suppression.
    let same = matches!(trouble, Trouble::Demoted | Trouble::NoCarrier);
    if same && !picture.suppressions.is_empty() {
        return None;
    }
    let (found, _) = trouble.sentences(picture.hosts.get(name)?, picture, now);
    let text = match count {
        1 => format!("{name}: {found}"),
        count => format!("{} on {count}; {name}: {found}", trouble.name()),
    };
    Some(Wrong {
        alarm: trouble.is_alarm(),
        text,
    })
}

fn suppression(picture: &Picture, now: u64, zone: &TimeZone) -> Option<Wrong> {
    let oldest = picture.suppressions.iter().map(|cause| cause.since).min()?;
    let by = match picture.suppressions.len() {
        1 => String::new(),
        several => format!(" by {several}"),
    };
    let text = format!(
        "suppressed{by}: {}, since {}",
        trouble::causes(picture),
        when::clock(oldest, now, zone)
    );
    Some(Wrong { alarm: false, text })
}

/// A bad packet that belongs to no interface.
fn stray(picture: &Picture, now: u64) -> Option<Wrong> {
    let is_stray = |event: &&EventInfo| {
        event.kind == "bad-packet"
            && event.interface.is_empty()
            && now.saturating_sub(event.time) < RECENT
    };
    let event = picture.events.iter().rev().find(is_stray)?;
    Some(Wrong {
        alarm: false,
        text: event.text.clone(),
    })
}
