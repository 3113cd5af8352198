//! What was published last, and what each piece of news changes in it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use carp_dbus::dict::Dictionary;
use carp_dbus::{EventInfo, InterfaceInfo};
use carp_proto::{Counters, Status, Suppression, Sysctl, Sysctls, Transition, Unit};

use super::convert;
use super::events::{self, Occurrence};
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

/// Everything that is shown, as of the last news.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) interfaces: BTreeMap<Unit, Arc<InterfaceInfo>>,
    pub(super) sysctls: Sysctls,
    pub(super) suppressions: Vec<Suppression>,
    pub(super) totals: Counters,
    pub(super) events: VecDeque<EventInfo>,
    last_event: u64,
}

impl Board {
    /// An interface as it is now.
    pub(super) fn interface(&mut self, status: &Status) -> Option<Signal> {
        let info = Arc::new(convert::interface(status));
        match self.interfaces.insert(status.unit, Arc::clone(&info)) {
            None => Some(Signal::Added(status.unit, info.properties())),
            Some(before) => {
                let changed = info.changed_since(&before);
                (!changed.is_empty()).then_some(Signal::Changed(status.unit, changed))
            }
        }
    }

    /// An interface that is no more.
    pub(super) fn gone(&mut self, unit: Unit) -> Option<Signal> {
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
            .map(|&(sysctl, value)| (convert::sysctl_property(sysctl), value.into()))
            .collect();
        (!changed.is_empty()).then_some(Signal::Sysctls(changed))
    }

    /// Something happened: into the ring with it.
    pub(super) fn event(&mut self, occurrence: Occurrence) -> Signal {
        self.last_event += 1;
        let event = occurrence.numbered(self.last_event);
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event.clone());
        Signal::Event(event)
    }

    /// The last change of state of every interface where news of it was lost.
    pub(super) fn missed<'a>(
        &'a self,
        everything: &'a Everything,
    ) -> impl Iterator<Item = &'a Transition> {
        everything.interfaces.iter().filter_map(|status| {
            let last = status.last_transition.as_ref()?;
            let known = self.interfaces.get(&status.unit);
            let known = known.and_then(|info| info.last_transition.as_ref());
            let is_known = known.is_some_and(|known| *known == convert::transition(last));
            (!is_known).then_some(last)
        })
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
        let there = |unit: &Unit| interfaces.iter().any(|status| status.unit == *unit);
        let gone: Vec<Unit> = self
            .interfaces
            .keys()
            .copied()
            .filter(|unit| !there(unit))
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
        signals.push(self.event(events::lost(at)));
        signals
    }

    /// The value of `sysctl` as the bus shows it.
    pub(super) fn sysctl(&self, sysctl: Sysctl) -> u32 {
        convert::sysctl(sysctl, &self.sysctls, &self.suppressions)
    }

    fn sysctl_values(&self) -> [(Sysctl, u32); Sysctl::ALL.len()] {
        Sysctl::ALL.map(|sysctl| (sysctl, self.sysctl(sysctl)))
    }
}
