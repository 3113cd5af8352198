//! Last known state of carpd: interfaces, sysctls, suppressions and events.

use std::collections::{BTreeMap, VecDeque};

use carp_dbus::{Change, EventInfo, InterfaceInfo, SuppressionInfo, SysctlInfo};

use crate::history::History;

/// Number of kept events: as many as carpd itself keeps.
const KEPT_EVENTS: usize = 1024;

/// Snapshot of everything that carpd publishes.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Version of carpd.
    pub version: String,
    /// All carp interfaces.
    pub interfaces: Vec<InterfaceInfo>,
    /// All sysctls.
    pub sysctls: Vec<SysctlInfo>,
    /// Causes that suppress preemption.
    pub suppressions: Vec<SuppressionInfo>,
    /// Kept events, the oldest first.
    pub events: Vec<EventInfo>,
    /// polkit allows this user to change something, or may allow it after authentication.
    pub allowed: bool,
}

/// Carp interface with its history.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interface {
    /// Last known properties.
    pub(crate) info: InterfaceInfo,
    pub(crate) history: History,
    /// Time of the last signal about it, in microseconds since the epoch.
    signalled: u64,
    /// Time when carptop saw its state change; 0 if it has not.
    pub(crate) change_seen: u64,
}

/// Last known state of carpd.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) version: String,
    pub(crate) interfaces: BTreeMap<String, Interface>,
    pub(crate) sysctls: Vec<SysctlInfo>,
    pub(crate) suppressions: Vec<SuppressionInfo>,
    /// Newest last.
    pub(crate) events: VecDeque<EventInfo>,
    /// polkit allows this user to change something.
    pub(crate) allowed: bool,
}

impl Model {
    /// Replaces everything by what was read at `now`. Interfaces that still exist keep their
    /// history.
    pub(crate) fn replace(&mut self, snapshot: Snapshot, now: u64) {
        let Snapshot {
            version,
            interfaces,
            sysctls,
            suppressions,
            events,
            allowed,
        } = snapshot;
        self.allowed = allowed;
        let has_restarted =
            events.last().map(|event| event.number) < self.events.back().map(|event| event.number);
        self.version = version;
        self.sysctls = sysctls;
        self.suppressions = suppressions;
        self.list(interfaces, now, now);
        if has_restarted {
            // Numbers begin again at 1; the events of the previous instance stay.
            for event in &mut self.events {
                event.number = 0;
            }
        }
        for event in events {
            self.add_event(event);
        }
    }

    /// Replaces the interfaces by a list; `requested` is the time of its request.
    ///
    /// Of an interface that a signal has changed since then, only counters and times are taken from
    /// the list: the signal is newer, but does not carry those.
    pub(crate) fn list(&mut self, interfaces: Vec<InterfaceInfo>, requested: u64, now: u64) {
        let mut before = std::mem::take(&mut self.interfaces);
        for info in interfaces {
            let mut interface = before.remove(&info.name).unwrap_or_default();
            interface.update(info, requested, now);
            self.interfaces
                .insert(interface.info.name.clone(), interface);
        }
        // Interfaces that a signal has added since the request.
        before.retain(|_, interface| interface.signalled > requested);
        self.interfaces.append(&mut before);
    }

    /// Updates some interfaces; `requested` is the time of the request.
    pub(crate) fn refresh(&mut self, interfaces: Vec<InterfaceInfo>, requested: u64, now: u64) {
        for info in interfaces {
            if let Some(interface) = self.interfaces.get_mut(&info.name) {
                interface.update(info, requested, now);
            }
        }
    }

    /// Applies a change.
    pub(crate) fn change(&mut self, change: Change, now: u64) {
        match change {
            Change::Event(event) => self.add_event(event),
            Change::Added(info) => {
                let interface = self.interfaces.entry(info.name.clone()).or_default();
                interface.info = *info;
                interface.signalled = now;
                interface.change_seen = now;
            }
            Change::Removed(name) => {
                self.interfaces.remove(&name);
            }
            Change::Properties { name, changed } => {
                if let Some(interface) = self.interfaces.get_mut(&name) {
                    let before = interface.info.state.clone();
                    interface.history.remember_master(&interface.info);
                    interface.info.apply(changed);
                    interface.signalled = now;
                    if interface.info.state != before {
                        interface.change_seen = now;
                    }
                }
            }
            Change::Sysctls(values) => {
                for (property, value) in values {
                    if let Some(sysctl) = self
                        .sysctls
                        .iter_mut()
                        .find(|sysctl| is_property(&sysctl.name, &property))
                    {
                        sysctl.value = value;
                    }
                }
            }
            Change::Lost => {}
        }
    }

    /// Returns the value of a sysctl by the last component of its name.
    pub(crate) fn sysctl(&self, name: &str) -> Option<u64> {
        let found = self
            .sysctls
            .iter()
            .find(|sysctl| sysctl.name.rsplit('.').next() == Some(name));
        found.map(|sysctl| sysctl.value)
    }

    fn add_event(&mut self, event: EventInfo) {
        let is_known = self
            .events
            .back()
            .is_some_and(|last| last.number >= event.number);
        if is_known {
            return;
        }
        if let Some(interface) = self.interfaces.get_mut(&event.interface) {
            interface.history.add_event(&event);
        }
        if self.events.len() == KEPT_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

impl Interface {
    /// Takes over properties; `requested` is the time of the request.
    fn update(&mut self, info: InterfaceInfo, requested: u64, now: u64) {
        self.history.sample(&info, now);
        self.history.remember_master(&self.info);
        let InterfaceInfo {
            state,
            master,
            advertised,
            statistics,
            ..
        } = &info;
        if self.signalled <= requested {
            let is_known = !self.info.name.is_empty();
            if is_known && self.info.state != *state {
                self.change_seen = now;
            }
            self.info = info;
            return;
        }
        self.info.advertised = *advertised;
        self.info.statistics.clone_from(statistics);
        if let (Some(ours), Some(theirs)) = (&mut self.info.master, master)
            && ours.source == theirs.source
        {
            ours.heard = theirs.heard;
        }
    }

    /// Returns the time of the last change of state, in microseconds since the epoch; 0 if there
    /// was none.
    pub(crate) fn last_change(&self) -> u64 {
        let last = self.info.last_transition.as_ref();
        last.map_or(0, |transition| transition.time)
    }

    /// Returns the number in the name, for sorting.
    pub(crate) fn unit(&self) -> u32 {
        let digits = self
            .info
            .name
            .trim_start_matches(|c: char| !c.is_ascii_digit());
        digits.parse().unwrap_or(u32::MAX)
    }

    /// Returns the time of the last advertisement that it sent as MASTER or heard as BACKUP, in
    /// microseconds since the epoch.
    pub(crate) fn last_advertisement(&self) -> Option<u64> {
        match self.info.state.as_str() {
            "MASTER" => Some(self.info.advertised).filter(|time| *time > 0),
            "BACKUP" => self.info.master.as_ref().map(|master| master.heard),
            _ => None,
        }
    }

    /// Returns the interval of the advertisements that it sends or expects, in microseconds.
    pub(crate) fn interval(&self) -> u64 {
        let (base, skew) = match (&self.info.master, self.info.state.as_str()) {
            (Some(master), "BACKUP") => (master.advbase, master.advskew),
            _ => (self.info.advbase, self.info.effective_advskew),
        };
        u64::from(base) * 1_000_000 + u64::from(skew) * 1_000_000 / 256
    }

    /// Returns the first address and the number of addresses.
    pub(crate) fn addresses(&self) -> (Option<&str>, usize) {
        let addresses = &self.info.addresses;
        (
            addresses.first().map(|address| address.address.as_str()),
            addresses.len(),
        )
    }
}

/// Returns whether `property` is the sysctl `name`: `SuppressPreempt` is
/// `net.inet.carp.suppress_preempt`.
fn is_property(name: &str, property: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let letters = last.chars().filter(|c| *c != '_');
    letters.eq(property.chars().map(|c| c.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, state: &str) -> InterfaceInfo {
        InterfaceInfo {
            name: name.to_owned(),
            state: state.to_owned(),
            ..InterfaceInfo::default()
        }
    }

    fn event(number: u64) -> Change {
        Change::Event(EventInfo {
            number,
            ..EventInfo::default()
        })
    }

    #[test]
    fn property_has_the_name_of_its_sysctl_in_camel_case() {
        assert!(is_property(
            "net.inet.carp.suppress_preempt",
            "SuppressPreempt"
        ));
        assert!(is_property("net.inet.carp.allow", "Allow"));
        assert!(!is_property("net.inet.carp.preempt", "SuppressPreempt"));
    }

    #[test]
    fn list_that_is_older_than_a_signal_does_not_undo_it() {
        let mut model = Model::default();
        model.list(vec![interface("carp0", "BACKUP")], 1, 1);
        model.change(Change::Added(Box::new(interface("carp0", "MASTER"))), 5);
        model.change(Change::Added(Box::new(interface("carp1", "INIT"))), 5);
        model.list(vec![interface("carp0", "BACKUP")], 4, 6);
        let states: Vec<_> = model
            .interfaces
            .values()
            .map(|interface| interface.info.state.as_str())
            .collect();
        assert_eq!(states, ["MASTER", "INIT"]);
        model.list(vec![interface("carp0", "BACKUP")], 7, 8);
        let states: Vec<_> = model
            .interfaces
            .values()
            .map(|interface| interface.info.state.as_str())
            .collect();
        assert_eq!(states, ["BACKUP"]);
    }

    #[test]
    fn events_are_bounded_and_not_added_twice() {
        let mut model = Model::default();
        for number in 1..=2000 {
            model.change(event(number), 0);
            model.change(event(number), 0);
        }
        assert_eq!(model.events.len(), KEPT_EVENTS);
        assert_eq!(
            model.events.front().map(|event| event.number),
            Some(2000 - 1023)
        );
    }

    #[test]
    fn events_of_a_restarted_daemon_are_added() {
        let mut model = Model::default();
        model.change(event(40), 0);
        let snapshot = Snapshot {
            events: vec![EventInfo {
                number: 1,
                ..EventInfo::default()
            }],
            ..Snapshot::default()
        };
        model.replace(snapshot, 9);
        assert_eq!(model.events.len(), 2);
    }
}
