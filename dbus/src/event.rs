//! Events, and their form on the bus.

use std::collections::BTreeMap;

use serde::Serialize;
use zbus::OwnedVariant;
use zbus::wire::Str;

/// One of the events that carpd keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventInfo {
    /// Number, counted from the daemon's start.
    pub number: u64,
    /// Microseconds since the epoch.
    pub time: u64,
    /// The carp interface; empty if none in particular.
    pub interface: String,
    /// `transition`, `suppression`, `bad-packet`, …
    pub kind: String,
    /// One line of text.
    pub text: String,
    /// Facts by name, as text.
    pub details: BTreeMap<String, String>,
}

/// An event on the bus: number, time in microseconds since the epoch, interface, kind, text,
/// details.
pub type EventRow = (
    u64,
    u64,
    String,
    String,
    String,
    BTreeMap<String, OwnedVariant>,
);

impl From<EventRow> for EventInfo {
    fn from((number, time, interface, kind, text, details): EventRow) -> Self {
        let details = details.into_iter().map(|(name, value)| {
            let text = String::try_from(value.clone()).unwrap_or_else(|_| value.to_string());
            (name, text)
        });
        Self {
            number,
            time,
            interface,
            kind,
            text,
            details: details.collect(),
        }
    }
}

impl From<EventInfo> for EventRow {
    fn from(event: EventInfo) -> Self {
        let EventInfo {
            number,
            time,
            interface,
            kind,
            text,
            details,
        } = event;
        let details = details
            .into_iter()
            .map(|(name, value)| (name, Str::from(value).into()));
        (number, time, interface, kind, text, details.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_is_the_same_after_conversion_and_details_become_text() {
        let event = EventInfo {
            number: 7,
            time: 9,
            interface: "carp0".to_owned(),
            kind: "transition".to_owned(),
            text: "carp0: BACKUP -> MASTER".to_owned(),
            details: BTreeMap::from([("to".to_owned(), "MASTER".to_owned())]),
        };
        let mut row = EventRow::from(event.clone());
        assert_eq!(EventInfo::from(row.clone()), event);
        row.5.insert("count".to_owned(), (-3_i32).into());
        assert_eq!(EventInfo::from(row).details["count"], "-3");
    }
}
