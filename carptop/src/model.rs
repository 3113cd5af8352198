//! The last picture of carpd: its interfaces, sysctls, suppressions and events.

use std::collections::{BTreeMap, VecDeque};

use carp_dbus::{Change, EventInfo, InterfaceInfo, SuppressionInfo, SysctlInfo};

use crate::history::History;

/// How many events are kept: as many as carpd itself keeps.
const EVENTS: usize = 1024;

/// Everything that is read from carpd after connecting to it.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The version of carpd.
    pub version: String,
    /// Every carp interface.
    pub interfaces: Vec<InterfaceInfo>,
    /// Every sysctl.
    pub sysctls: Vec<SysctlInfo>,
    /// Who suppresses preemption.
    pub suppressions: Vec<SuppressionInfo>,
    /// The kept events, the oldest first.
    pub events: Vec<EventInfo>,
    /// Whether polkit lets us change anything, or may after authentication.
    pub allowed: bool,
}

/// One carp interface and what was seen of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interface {
    /// As last told.
    pub(crate) info: InterfaceInfo,
    /// What came before.
    pub(crate) history: History,
    /// When a signal last told something new, in microseconds since the epoch.
    told: u64,
    /// When its state changed while we looked; 0 if it never did.
    pub(crate) changed: u64,
}

/// What is known of carpd.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) version: String,
    pub(crate) interfaces: BTreeMap<String, Interface>,
    pub(crate) sysctls: Vec<SysctlInfo>,
    pub(crate) suppressions: Vec<SuppressionInfo>,
    /// The newest last.
    pub(crate) events: VecDeque<EventInfo>,
    /// Whether we may change something although we are not root.
    pub(crate) allowed: bool,
}

impl Model {
    /// Takes over what was read at `now`. What was seen of interfaces that are still there stays.
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
        let restarted =
            events.last().map(|event| event.number) < self.events.back().map(|event| event.number);
        self.version = version;
        self.sysctls = sysctls;
        self.suppressions = suppressions;
        self.list(interfaces, now, now);
        if restarted {
            // The numbers begin anew; what the former daemon told stays readable.
            for event in &mut self.events {
                event.number = 0;
            }
        }
        for event in events {
            self.event(event);
        }
    }

    /// Takes over the whole list of interfaces, which was asked for at `asked`.
    ///
    /// What a signal told since then is newer than the list: of such interfaces only the counters
    /// and times are taken, which no signal tells.
    pub(crate) fn list(&mut self, interfaces: Vec<InterfaceInfo>, asked: u64, now: u64) {
        let mut before = std::mem::take(&mut self.interfaces);
        for info in interfaces {
            let mut interface = before.remove(&info.name).unwrap_or_default();
            interface.listed(info, asked, now);
            self.interfaces
                .insert(interface.info.name.clone(), interface);
        }
        // Added by a signal while the list was on its way.
        before.retain(|_, interface| interface.told > asked);
        self.interfaces.append(&mut before);
    }

    /// Takes over a few interfaces that were asked for at `asked`.
    pub(crate) fn refresh(&mut self, interfaces: Vec<InterfaceInfo>, asked: u64, now: u64) {
        for info in interfaces {
            if let Some(interface) = self.interfaces.get_mut(&info.name) {
                interface.listed(info, asked, now);
            }
        }
    }

    /// Takes over one change.
    pub(crate) fn change(&mut self, change: Change, now: u64) {
        match change {
            Change::Event(event) => self.event(event),
            Change::Added(info) => {
                let interface = self.interfaces.entry(info.name.clone()).or_default();
                interface.info = *info;
                interface.told = now;
                interface.changed = now;
            }
            Change::Removed(name) => {
                self.interfaces.remove(&name);
            }
            Change::Properties { name, changed } => {
                if let Some(interface) = self.interfaces.get_mut(&name) {
                    let before = interface.info.state.clone();
                    interface.history.remember_master(&interface.info);
                    interface.info.apply(changed);
                    interface.told = now;
                    if interface.info.state != before {
                        interface.changed = now;
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

    /// The value of a sysctl by the last part of its name.
    pub(crate) fn sysctl(&self, name: &str) -> Option<u64> {
        let found = self
            .sysctls
            .iter()
            .find(|sysctl| sysctl.name.rsplit('.').next() == Some(name));
        found.map(|sysctl| sysctl.value)
    }

    fn event(&mut self, event: EventInfo) {
        let known = self
            .events
            .back()
            .is_some_and(|last| last.number >= event.number);
        if known {
            return;
        }
        if let Some(interface) = self.interfaces.get_mut(&event.interface) {
            interface.history.event(&event);
        }
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

impl Interface {
    fn listed(&mut self, info: InterfaceInfo, asked: u64, now: u64) {
        self.history.sample(&info, now);
        self.history.remember_master(&self.info);
        let InterfaceInfo {
            state,
            master,
            advertised,
            statistics,
            ..
        } = &info;
        if self.told <= asked {
            let known = !self.info.name.is_empty();
            if known && self.info.state != *state {
                self.changed = now;
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

    /// Returns the time of the last change of state, in microseconds since the epoch; 0 if there was
    /// none.
    pub(crate) fn last_change(&self) -> u64 {
        let last = self.info.last_transition.as_ref();
        last.map_or(0, |transition| transition.time)
    }

    /// The number behind `carp`, to sort by.
    pub(crate) fn unit(&self) -> u32 {
        let digits = self
            .info
            .name
            .trim_start_matches(|c: char| !c.is_ascii_digit());
        digits.parse().unwrap_or(u32::MAX)
    }

    /// When it last advertised or was advertised to, in microseconds since the epoch.
    pub(crate) fn last_advertisement(&self) -> Option<u64> {
        match self.info.state.as_str() {
            "MASTER" => Some(self.info.advertised).filter(|time| *time > 0),
            "BACKUP" => self.info.master.as_ref().map(|master| master.heard),
            _ => None,
        }
    }

    /// The interval of the advertisements that it waits for or sends, in microseconds.
    pub(crate) fn interval(&self) -> u64 {
        let (base, skew) = match (&self.info.master, self.info.state.as_str()) {
            (Some(master), "BACKUP") => (master.advbase, master.advskew),
            _ => (self.info.advbase, self.info.effective_advskew),
        };
        u64::from(base) * 1_000_000 + u64::from(skew) * 1_000_000 / 256
    }

    /// The first address and how many there are.
    pub(crate) fn addresses(&self) -> (Option<&str>, usize) {
        let addresses = &self.info.addresses;
        (
            addresses.first().map(|address| address.address.as_str()),
            addresses.len(),
        )
    }
}

/// Whether the sysctl `net.inet.carp.suppress_preempt` is the property `SuppressPreempt`.
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
    fn a_property_is_named_as_its_sysctl_without_underscores() {
        assert!(is_property(
            "net.inet.carp.suppress_preempt",
            "SuppressPreempt"
        ));
        assert!(is_property("net.inet.carp.allow", "Allow"));
        assert!(!is_property("net.inet.carp.preempt", "SuppressPreempt"));
    }

    #[test]
    fn a_list_that_is_older_than_a_signal_does_not_undo_it() {
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
    fn events_are_bounded_and_none_is_taken_twice() {
        let mut model = Model::default();
        for number in 1..=2000 {
            model.change(event(number), 0);
            model.change(event(number), 0);
        }
        assert_eq!(model.events.len(), EVENTS);
        assert_eq!(
            model.events.front().map(|event| event.number),
            Some(2000 - 1023)
        );
    }

    #[test]
    fn a_restarted_daemon_counts_its_events_anew() {
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
