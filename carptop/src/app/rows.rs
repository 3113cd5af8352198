//! Rows of the table: filter, order and groups.

use std::collections::BTreeMap;

use crate::model::{Interface, Model};
use crate::sort::Sort;
use crate::trouble;

/// Interfaces on one physical interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// Name of the physical interface; empty if there is none.
    pub(crate) device: String,
    /// Addresses of the physical interface that back virtual addresses, at most three.
    pub(crate) backing: Vec<String>,
    /// Numbers of interfaces in MASTER, BACKUP and INIT.
    pub(crate) states: [usize; 3],
}

/// Row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Group(Group),
    /// Name of an interface.
    Interface(String),
}

impl Row {
    /// Returns the name of an interface's row.
    pub(crate) fn interface(&self) -> Option<&str> {
        match self {
            Self::Interface(name) => Some(name),
            Self::Group(_) => None,
        }
    }
}

/// Filter, order and grouping of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) filter: String,
    pub(crate) sort: Sort,
    pub(crate) reverse: bool,
    pub(crate) grouped: bool,
}

impl View {
    /// Returns the rows of `model` at `now`.
    pub(crate) fn rows(&self, model: &Model, now: u64) -> Vec<Row> {
        let words: Vec<String> = self
            .filter
            .split_whitespace()
            .map(str::to_lowercase)
            .collect();
        let mut interfaces: Vec<&Interface> = model
            .interfaces
            .values()
            .filter(|interface| words.is_empty() || matches(&words, interface, model, now))
            .collect();
        interfaces.sort_by(|one, other| {
            let order = self.sort.compare(one, other);
            if self.reverse { order.reverse() } else { order }
        });
        if !self.grouped {
            return interfaces
                .iter()
                .map(|interface| Row::Interface(interface.info.name.clone()))
                .collect();
        }
        let mut groups: BTreeMap<(bool, &str), Vec<&Interface>> = BTreeMap::new();
        for interface in interfaces {
            let device = interface.info.carpdev.as_str();
            groups
                .entry((device.is_empty(), device))
                .or_default()
                .push(interface);
        }
        groups
            .into_iter()
            .flat_map(|((_, device), interfaces)| {
                let group = Row::Group(group(device, &interfaces));
                let interfaces = interfaces
                    .into_iter()
                    .map(|interface| Row::Interface(interface.info.name.clone()));
                std::iter::once(group).chain(interfaces).collect::<Vec<_>>()
            })
            .collect()
    }
}

/// Returns the group of the interfaces on `device`.
fn group(device: &str, interfaces: &[&Interface]) -> Group {
    let mut group = Group {
        device: device.to_owned(),
        ..Group::default()
    };
    for interface in interfaces {
        let [master, backup, init] = &mut group.states;
        match interface.info.state.as_str() {
            "MASTER" => *master += 1,
            "BACKUP" => *backup += 1,
            _ => *init += 1,
        }
        for address in &interface.info.addresses {
            let backing = &address.backing;
            if group.backing.len() < 3 && !backing.is_empty() && !group.backing.contains(backing) {
                group.backing.push(backing.clone());
            }
        }
    }
    group
}

/// Returns whether `interface` has all of `words`, and none of those after a `-`.
fn matches(words: &[String], interface: &Interface, model: &Model, now: u64) -> bool {
    let info = &interface.info;
    let mut text = format!(
        "{} {} vhid={} {} {}",
        info.name, info.state, info.vhid, info.carpdev, info.description
    );
    for address in &info.addresses {
        text.push(' ');
        text.push_str(&address.address);
    }
    if let Some(master) = &info.master {
        text.push(' ');
        text.push_str(&master.source);
    }
    let text = text.to_lowercase();
    words
        .iter()
        .all(|word| match (word.as_str(), word.strip_prefix('-')) {
            ("!", _) => trouble::of(interface, model, now).next().is_some(),
            // The beginning of a word that excludes.
            (_, Some("")) => true,
            (_, Some(excluded)) => !text.contains(excluded),
            (word, None) => text.contains(word),
        })
}

#[cfg(test)]
mod tests {
    use carp_dbus::{AddressInfo, InterfaceInfo};

    use super::*;

    fn model(interfaces: &[(&str, &str, &str, &str)]) -> Model {
        let interfaces = interfaces
            .iter()
            .map(|(name, state, device, address)| InterfaceInfo {
                name: (*name).to_owned(),
                state: (*state).to_owned(),
                carpdev: (*device).to_owned(),
                addresses: vec![AddressInfo {
                    address: (*address).to_owned(),
                    ..AddressInfo::default()
                }],
                ..InterfaceInfo::default()
            })
            .collect();
        let mut model = Model::default();
        model.list(interfaces, 1, 1);
        model
    }

    fn names(view: &View, model: &Model) -> String {
        let rows = view.rows(model, 1);
        let names = rows.iter().map(|row| match row {
            Row::Group(group) => format!("[{}]", group.device),
            Row::Interface(name) => name.clone(),
        });
        names.collect::<Vec<_>>().join(" ")
    }

    fn sample() -> Model {
        model(&[
            ("carp10", "MASTER", "eth0", "192.0.2.10"),
            ("carp2", "BACKUP", "eth1", "192.0.2.9"),
            ("carp1", "INIT", "", "2001:db8::1"),
        ])
    }

    #[test]
    fn units_and_addresses_are_sorted_numerically() {
        let model = sample();
        let mut view = View::default();
        assert_eq!(names(&view, &model), "carp1 carp2 carp10");
        view.sort = Sort::Address;
        assert_eq!(names(&view, &model), "carp2 carp10 carp1");
        view.reverse = true;
        assert_eq!(names(&view, &model), "carp1 carp10 carp2");
        view.sort = Sort::State;
        view.reverse = false;
        assert_eq!(names(&view, &model), "carp10 carp2 carp1");
    }

    #[test]
    fn groups_are_sorted_and_the_one_without_device_is_last() {
        let view = View {
            grouped: true,
            ..View::default()
        };
        assert_eq!(
            names(&view, &sample()),
            "[eth0] carp10 [eth1] carp2 [] carp1"
        );
    }

    #[test]
    fn filter_needs_all_words_and_no_excluded_word() {
        for (filter, expected) in [
            ("ETH", "carp2 carp10"),
            ("eth -backup", "carp10"),
            ("192.0.2 eth1", "carp2"),
            ("-", "carp1 carp2 carp10"),
            ("nothing", ""),
        ] {
            let view = View {
                filter: filter.to_owned(),
                ..View::default()
            };
            assert_eq!(names(&view, &sample()), expected, "{filter}");
        }
    }
}
