//! What was published last, and what each piece of news changes in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use carp_dbus::EventInfo;
use carp_dbus::properties::{self, Dictionary};
use carp_proto::{
    Counters, Peer, Reason, StateName, Status, Suppression, Sysctl, Sysctls, Transition, Unit,
};

use super::convert::View;
use super::events::Happening;
use crate::publish::Everything;

/// How many events are kept.
const EVENTS: usize = 1000;

/// What clients are told of a change.
#[derive(Debug, PartialEq)]
pub(super) enum Signal {
    /// `InterfacesAdded`
    Added(Unit, Dictionary),
    /// `InterfacesRemoved`
    Removed(Unit),
    /// `PropertiesChanged` of an interface.
    Changed(Unit, Dictionary),
    /// `Transitioned`
    Transitioned(Transition),
    /// `PropertiesChanged` of the sysctls.
    Sysctls(Dictionary),
    /// `Event`
    Event(EventInfo),
}

impl Signal {
    /// Whether interfaces came or went, or are in another state.
    pub(super) fn moves(&self) -> bool {
        match self {
            Self::Added(..) | Self::Removed(_) | Self::Transitioned(_) => true,
            // Also of the changes that were lost.
            Self::Changed(_, properties) => properties.contains_key("State"),
            Self::Sysctls(_) | Self::Event(_) => false,
        }
    }
}

/// Everything that is shown, as of the last news.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) interfaces: BTreeMap<Unit, Arc<Status>>,
    pub(super) sysctls: Sysctls,
    pub(super) suppressions: Vec<Suppression>,
    pub(super) totals: Counters,
    /// Each with its number.
    events: VecDeque<(u64, Happening)>,
    last_event: u64,
    /// The last change of state that was heard of each interface.
    told: BTreeMap<Unit, Transition>,
}

impl Board {
    /// All carp interfaces in the order of their numbers.
    pub(super) fn all(&self) -> Vec<View> {
        self.interfaces.values().cloned().map(View).collect()
    }

    /// An interface as it is now.
    pub(super) fn interface(&mut self, status: &Status) -> Option<Signal> {
        let unit = status.unit;
        if let Some(before) = self.interfaces.get_mut(&unit)
            && only_moved_on(status, before)
        {
            let shown = Arc::make_mut(before);
            shown.master = status.master;
            shown.advertised = status.advertised;
            shown.counters = status.counters;
            return None;
        }
        // A copy of this thread's own: what stays here for long would hold on to a page each of
        // what the loop took for thousands of messages.
        let shown = View(Arc::new(status.clone()));
        match self.interfaces.insert(unit, Arc::clone(&shown.0)) {
            None => Some(Signal::Added(unit, properties::all(&shown))),
            Some(before) => {
                let changed = properties::changed(&shown, &View(before));
                (!changed.is_empty()).then_some(Signal::Changed(unit, changed))
            }
        }
    }

    /// An interface that is no more.
    pub(super) fn gone(&mut self, unit: Unit) -> Option<Signal> {
        self.told.remove(&unit);
        self.interfaces.remove(&unit).map(|_| Signal::Removed(unit))
    }

    /// The sysctls as they are now.
    pub(super) fn sysctls(
        &mut self,
        values: Sysctls,
        suppressions: Vec<Suppression>,
    ) -> Option<Signal> {
        let before = self.sysctl_values();
        self.sysctls = values;
        self.suppressions = suppressions;
        let changed: Dictionary = self
            .sysctl_values()
            .iter()
            .filter(|value| !before.contains(value))
            .map(|&(sysctl, value)| (super::sysctl::property(sysctl), value.into()))
            .collect();
        (!changed.is_empty()).then_some(Signal::Sysctls(changed))
    }

    /// Something happened: into the ring with it, and a line in the log.
    pub(super) fn event(&mut self, happening: Happening) -> Signal {
        let occurrence = happening.occurrence().hushed(self.sysctls.log);
        occurrence.log();
        self.last_event += 1;
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back((self.last_event, happening));
        Signal::Event(occurrence.numbered(self.last_event))
    }

    /// The kept events with a number above `after`, oldest first.
    pub(super) fn events_after(&self, after: u64) -> impl Iterator<Item = EventInfo> {
        let newer = self
            .events
            .iter()
            .filter(move |(number, _)| *number > after);
        newer.map(|(number, happening)| happening.occurrence().numbered(*number))
    }

    /// A state changed.
    pub(super) fn transition(&mut self, transition: &Transition) {
        self.told.insert(transition.unit, transition.clone());
    }

    /// What is to be made up for after news was lost: of every interface whose state changed
    /// unheard the last change, and of every one that is gone its end.
    pub(super) fn missed(&self, everything: &Everything) -> Vec<Transition> {
        let interfaces = &everything.interfaces;
        let last = interfaces
            .iter()
            .filter_map(|status| status.last_transition.as_ref());
        let changed = last.filter(|last| self.told.get(&last.unit) != Some(last));
        let gone = self.told.values().filter(|last| {
            last.to != StateName::Init && interfaces.iter().all(|status| status.unit != last.unit)
        });
        let ended = gone.map(|last| Transition {
            at: everything.at,
            from: last.to,
            to: StateName::Init,
            reason: Reason::Destroyed,
            peer: None,
            ..last.clone()
        });
        changed.cloned().chain(ended).collect()
    }

    /// Everything as it is now, after news was lost.
    pub(super) fn everything(&mut self, everything: Everything) -> Vec<Signal> {
        let Everything {
            interfaces,
            values,
            suppressions,
            totals,
            at,
        } = everything;
        let there: BTreeSet<Unit> = interfaces.iter().map(|status| status.unit).collect();
        let gone: Vec<Unit> = self
            .interfaces
            .keys()
            .copied()
            .filter(|unit| !there.contains(unit))
            .collect();
        self.totals = totals;
        let mut signals: Vec<Signal> = gone
            .into_iter()
            .filter_map(|unit| self.gone(unit))
            .collect();
        signals.extend(
            interfaces
                .iter()
                .filter_map(|status| self.interface(status)),
        );
        signals.extend(self.sysctls(values, suppressions));
        signals.push(self.event(Happening::Lost(at)));
        signals
    }

    /// The value of `sysctl` as the bus shows it; the greatest of its type stands for a greater one.
    pub(super) fn sysctl(&self, sysctl: Sysctl) -> u32 {
        u32::try_from(self.sysctls.get(sysctl)).unwrap_or(u32::MAX)
    }

    fn sysctl_values(&self) -> [(Sysctl, u32); Sysctl::ALL.len()] {
        Sysctl::ALL.map(|sysctl| (sysctl, self.sysctl(sysctl)))
    }
}

/// Whether no more than counters and times differ, which nobody is told of: what thousands of
/// interfaces are asked for again and again is compared without making it all into text.
fn only_moved_on(now: &Status, before: &Status) -> bool {
    let master = match (now.master, before.master) {
        (Some(now), Some(before)) => Some(Peer {
            heard: before.heard,
            ..now
        }),
        (now, _) => now,
    };
    *before
        == Status {
            master,
            advertised: before.advertised,
            counters: before.counters,
            ..now.clone()
        }
}

#[cfg(test)]
mod tests {
    use carp_proto::{Engine, Input, Now, Request, RequestId, UnixTime};

    use super::*;

    #[test]
    fn changes_of_state_that_were_lost_are_made_up_for() {
        let unit = Unit::try_from(0).unwrap();
        let mut engine = Engine::new();
        let create = Request::Create {
            unit: Some(unit),
            changes: Vec::new(),
        };
        let now = Now {
            instant: carp_proto::Instant::from_micros(1),
            unix: UnixTime::from_micros(1),
        };
        let _created = engine.handle(Input::Request(RequestId(1), create), now);
        let mut status = engine.status(unit, now).unwrap();
        let became = Transition {
            unit,
            vhid: None,
            device: None,
            at: now.unix,
            from: StateName::Backup,
            to: StateName::Master,
            reason: Reason::MasterTimedOut,
            peer: None,
        };
        status.last_transition = Some(became.clone());
        let everything = |interfaces| Everything {
            interfaces,
            values: Sysctls::default(),
            suppressions: Vec::new(),
            totals: Counters::default(),
            at: UnixTime::from_micros(9),
        };

        let mut board = Board::default();
        // Even if the interface was shown with it already.
        board.interface(&status);
        let there = everything(vec![status]);
        assert_eq!(board.missed(&there), std::slice::from_ref(&became));
        board.transition(&became);
        assert_eq!(board.missed(&there), []);
        let ended = Transition {
            at: UnixTime::from_micros(9),
            from: StateName::Master,
            to: StateName::Init,
            reason: Reason::Destroyed,
            ..became
        };
        assert_eq!(board.missed(&everything(Vec::new())), [ended]);
        board.gone(unit);
        assert_eq!(board.missed(&everything(Vec::new())), []);
    }
}
