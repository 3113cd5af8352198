//! Snapshot: the state that the protocol loop published last, and the changes that news makes to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use carp_proto::{
    Counters, Notice, Peer, Reason, StateName, Status, Suppression, Sysctls, Transition, Unit,
    UnixTime,
};

use crate::events::{Description, Event};
use crate::lock::lock;
use crate::publish::Everything;

/// Number of events that are kept.
const EVENTS: usize = 1000;

/// Snapshot that the main thread's tasks share. Clones are the same snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedSnapshot(Arc<Mutex<Snapshot>>);

impl SharedSnapshot {
    /// Locks the snapshot. Never hold the guard over an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Snapshot> {
        lock(&self.0)
    }
}

/// State that the loop published last.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Every carp interface.
    pub(crate) interfaces: BTreeMap<Unit, Arc<Status>>,
    /// The sysctls.
    pub(crate) sysctls: Sysctls,
    /// Every cause that suppresses preemption.
    pub(crate) suppressions: Vec<Suppression>,
    /// Sum of the counters of all interfaces.
    pub(crate) totals: Counters,
    /// The last events, each with its number.
    events: VecDeque<(u64, Event)>,
    last_event: u64,
    /// The last transition of each interface whose news arrived.
    transitions: BTreeMap<Unit, Transition>,
}

/// Effects of one piece of news.
#[derive(Debug, Default)]
pub(crate) struct Update {
    /// Transitions, including those whose own news was lost.
    pub(crate) transitions: Vec<Transition>,
    /// Changes that clients can see, in order.
    pub(crate) changes: Vec<Change>,
}

/// Change of the snapshot.
#[derive(Debug)]
pub(crate) enum Change {
    /// A new interface.
    Added(Arc<Status>),
    /// An interface was destroyed.
    Removed(Unit),
    /// An interface changed more than its counters and times.
    Changed {
        /// The interface before.
        before: Arc<Status>,
        /// The interface now.
        now: Arc<Status>,
    },
    /// An interface changed its state.
    Transitioned(Transition),
    /// The sysctls may have changed.
    Sysctls {
        /// Their values before.
        before: Sysctls,
        /// Their values now.
        now: Sysctls,
    },
    /// An event, with its number.
    Event(u64, Description),
}

impl Update {
    fn of(changes: impl IntoIterator<Item = Change>) -> Self {
        Self {
            transitions: Vec::new(),
            changes: changes.into_iter().collect(),
        }
    }

    /// Returns the descriptions of the events.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Description> {
        self.changes.iter().filter_map(|change| match change {
            Change::Event(_, description) => Some(description),
            Change::Added(_)
            | Change::Removed(_)
            | Change::Changed { .. }
            | Change::Transitioned(_)
            | Change::Sysctls { .. } => None,
        })
    }

    /// Returns whether the states of the interfaces are different now.
    pub(crate) fn changes_states(&self) -> bool {
        self.changes.iter().any(|change| match change {
            Change::Added(_) | Change::Removed(_) | Change::Transitioned(_) => true,
            // The transition itself may have been lost.
            Change::Changed { before, now } => before.state != now.state,
            Change::Sysctls { .. } | Change::Event(..) => false,
        })
    }
}

impl Snapshot {
    /// Returns the interfaces that are MASTER, in the order of their numbers.
    pub(crate) fn masters(&self) -> impl Iterator<Item = Unit> {
        let interfaces = self.interfaces.iter();
        interfaces
            .filter(|(_, status)| status.state == StateName::Master)
            .map(|(unit, _)| *unit)
    }

    /// Returns the kept events with numbers above `after`, oldest first.
    pub(crate) fn events_after(&self, after: u64) -> impl Iterator<Item = (u64, Description)> {
        let newer = self
            .events
            .iter()
            .filter(move |(number, _)| *number > after);
        newer.map(|(number, event)| (*number, event.describe()))
    }

    /// Replaces an interface, or adds it.
    pub(crate) fn interface(&mut self, status: &Status) -> Update {
        Update::of(self.replace(status))
    }

    /// Replaces counters and times.
    pub(crate) fn refreshed(&mut self, interfaces: &[Status], totals: Counters) -> Update {
        self.totals = totals;
        Update::of(interfaces.iter().filter_map(|status| self.replace(status)))
    }

    /// Removes an interface.
    pub(crate) fn gone(&mut self, unit: Unit) -> Update {
        Update::of(self.remove(unit))
    }

    /// Adds a transition.
    pub(crate) fn transition(&mut self, transition: Transition) -> Update {
        self.transitions.insert(transition.unit, transition.clone());
        let event = self.add_event(Event::Transition(transition.clone()));
        Update {
            transitions: vec![transition.clone()],
            changes: vec![Change::Transitioned(transition), event],
        }
    }

    /// Replaces the sysctls and the causes of suppression.
    pub(crate) fn sysctls(&mut self, values: Sysctls, suppressions: Vec<Suppression>) -> Update {
        Update::of([self.set_sysctls(values, suppressions)])
    }

    /// Adds a notice.
    pub(crate) fn notice(&mut self, at: UnixTime, notice: Notice) -> Update {
        Update::of([self.add_event(Event::Notice(at, notice))])
    }

    /// Replaces everything, after news was lost.
    pub(crate) fn everything(&mut self, everything: Everything) -> Update {
        let transitions = self.missed(&everything);
        for transition in &transitions {
            self.transitions.insert(transition.unit, transition.clone());
        }
        let Everything {
            interfaces,
            values,
            suppressions,
            totals,
            at,
        } = everything;
        self.totals = totals;
        let present: BTreeSet<Unit> = interfaces.iter().map(|status| status.unit).collect();
        let known = self.interfaces.keys().copied();
        let gone: Vec<Unit> = known.filter(|unit| !present.contains(unit)).collect();
        let mut changes: Vec<Change> = gone
            .into_iter()
            .filter_map(|unit| self.remove(unit))
            .collect();
        changes.extend(interfaces.iter().filter_map(|status| self.replace(status)));
        changes.push(self.set_sysctls(values, suppressions));
        changes.push(self.add_event(Event::Lost(at)));
        Update {
            transitions,
            changes,
        }
    }

    fn replace(&mut self, status: &Status) -> Option<Change> {
        if let Some(before) = self.interfaces.get_mut(&status.unit)
            && differs_in_counters_only(status, before)
        {
            let shown = Arc::make_mut(before);
            shown.master = status.master;
            shown.advertised = status.advertised;
            shown.counters = status.counters;
            return None;
        }
        // A copy in this thread's memory: a long-lived value in the loop's memory would keep a page
        // each of the memory that thousands of messages took.
        let now = Arc::new(status.clone());
        Some(
            match self.interfaces.insert(status.unit, Arc::clone(&now)) {
                None => Change::Added(now),
                Some(before) => Change::Changed { before, now },
            },
        )
    }

    fn remove(&mut self, unit: Unit) -> Option<Change> {
        self.transitions.remove(&unit);
        self.interfaces.remove(&unit).map(|_| Change::Removed(unit))
    }

    fn set_sysctls(&mut self, values: Sysctls, suppressions: Vec<Suppression>) -> Change {
        let before = self.sysctls;
        self.sysctls = values;
        self.suppressions = suppressions;
        Change::Sysctls {
            before,
            now: values,
        }
    }

    fn add_event(&mut self, event: Event) -> Change {
        let description = event.describe();
        self.last_event += 1;
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back((self.last_event, event));
        Change::Event(self.last_event, description)
    }

    /// Returns the transitions whose news was lost: the last one of each interface that exists, and the
    /// end of each that was destroyed.
    fn missed(&self, everything: &Everything) -> Vec<Transition> {
        let interfaces = &everything.interfaces;
        let last = interfaces
            .iter()
            .filter_map(|status| status.last_transition.as_ref());
        let changed = last.filter(|last| self.transitions.get(&last.unit) != Some(last));
        let gone = self.transitions.values().filter(|last| {
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
}

/// Returns whether nothing but counters and times differs. Clients are not notified of those, and a
/// comparison of thousands of interfaces must not make text of them.
fn differs_in_counters_only(now: &Status, before: &Status) -> bool {
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
    use carp_proto::{Engine, Input, Now, Request, RequestId};

    use super::*;

    #[test]
    fn transitions_whose_news_was_lost_are_made_up_for() {
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

        let mut snapshot = Snapshot::default();
        // Even if the interface was already shown with it.
        snapshot.interface(&status);
        let present = everything(vec![status]);
        assert_eq!(snapshot.missed(&present), std::slice::from_ref(&became));
        snapshot.transition(became.clone());
        assert_eq!(snapshot.missed(&present), []);
        let ended = Transition {
            at: UnixTime::from_micros(9),
            from: StateName::Master,
            to: StateName::Init,
            reason: Reason::Destroyed,
            ..became
        };
        assert_eq!(snapshot.missed(&everything(Vec::new())), [ended]);
        snapshot.gone(unit);
        assert_eq!(snapshot.missed(&everything(Vec::new())), []);
    }
}
