//! Which interfaces are shown, in which order, and how they are grouped.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::history::bad_packets;
use crate::picture::{Host, Picture};
use crate::trouble;

/// What the table is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    #[default]
    Name,
    State,
    Vhid,
    Address,
    Device,
    Priority,
    Master,
    Heard,
    Rate,
    Bad,
    Since,
}

impl Sort {
    fn compare(self, one: &Host, other: &Host) -> Ordering {
        let by = |of: fn(&Host) -> u64| of(one).cmp(&of(other));
        let order = match self {
            Self::Name => Ordering::Equal,
            Self::State => by(|host| match host.info.state.as_str() {
                "MASTER" => 0,
                "BACKUP" => 1,
                _ => 2,
            }),
            Self::Vhid => by(|host| u64::from(host.info.vhid)),
            Self::Address => address(one).cmp(&address(other)),
            Self::Device => one.info.carpdev.cmp(&other.info.carpdev),
            Self::Priority => by(|host| {
                u64::from(host.info.advbase) * 256 + u64::from(host.info.effective_advskew)
            }),
            Self::Master => master(one).cmp(&master(other)),
            // The longest silence, most bad packets and highest rate first.
            Self::Heard => by(|host| host.last_advertisement().unwrap_or(u64::MAX)),
            Self::Rate => {
                let rate = |host: &Host| host.history.rate().unwrap_or(-1.0);
                rate(other).total_cmp(&rate(one))
            }
            Self::Bad => bad_packets(&other.info).cmp(&bad_packets(&one.info)),
            // The last change first.
            Self::Since => since(other).cmp(&since(one)),
        };
        order.then_with(|| one.unit().cmp(&other.unit()))
    }
}

/// The interfaces on one physical interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// Empty for those that are on none.
    pub(crate) device: String,
    /// The physical interface's own addresses, as far as virtual ones are backed by them.
    pub(crate) backing: Vec<String>,
    /// How many are MASTER, BACKUP and INIT.
    pub(crate) states: [usize; 3],
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Group(Group),
    /// The name of an interface.
    Host(String),
}

impl Row {
    pub(crate) fn host(&self) -> Option<&str> {
        match self {
            Self::Host(name) => Some(name),
            Self::Group(_) => None,
        }
    }
}

/// What of the picture is shown, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) filter: String,
    pub(crate) sort: Sort,
    pub(crate) reverse: bool,
    pub(crate) grouped: bool,
}

impl Choice {
    /// The rows of `picture` at `now`.
    pub(crate) fn rows(&self, picture: &Picture, now: u64) -> Vec<Row> {
        let words: Vec<String> = self
            .filter
            .split_whitespace()
            .map(str::to_lowercase)
            .collect();
        let mut hosts: Vec<&Host> = picture
            .hosts
            .values()
            .filter(|host| words.is_empty() || fits(&words, host, picture, now))
            .collect();
        hosts.sort_by(|one, other| {
            let order = self.sort.compare(one, other);
            if self.reverse { order.reverse() } else { order }
        });
        if !self.grouped {
            return hosts
                .iter()
                .map(|host| Row::Host(host.info.name.clone()))
                .collect();
        }
        let mut groups: BTreeMap<(bool, &str), Vec<&Host>> = BTreeMap::new();
        for host in hosts {
            let device = host.info.carpdev.as_str();
            groups
                .entry((device.is_empty(), device))
                .or_default()
                .push(host);
        }
        groups
            .into_iter()
            .flat_map(|((_, device), hosts)| {
                let group = Row::Group(group(device, &hosts));
                let hosts = hosts
                    .into_iter()
                    .map(|host| Row::Host(host.info.name.clone()));
                std::iter::once(group).chain(hosts).collect::<Vec<_>>()
            })
            .collect()
    }
}

fn group(device: &str, hosts: &[&Host]) -> Group {
    let mut group = Group {
        device: device.to_owned(),
        ..Group::default()
    };
    for host in hosts {
        let [master, backup, init] = &mut group.states;
        match host.info.state.as_str() {
            "MASTER" => *master += 1,
            "BACKUP" => *backup += 1,
            _ => *init += 1,
        }
        for address in &host.info.addresses {
            let backing = &address.backing;
            if group.backing.len() < 3 && !backing.is_empty() && !group.backing.contains(backing) {
                group.backing.push(backing.clone());
            }
        }
    }
    group
}

/// Whether `host` has all of `words`, and none of those after a `-`.
fn fits(words: &[String], host: &Host, picture: &Picture, now: u64) -> bool {
    let info = &host.info;
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
            ("!", _) => trouble::of(host, picture, now).next().is_some(),
            // Half of a word that is still being typed.
            (_, Some("")) => true,
            (_, Some(unwanted)) => !text.contains(unwanted),
            (word, None) => text.contains(word),
        })
}

fn address(host: &Host) -> Option<IpAddr> {
    host.addresses().0.and_then(|address| address.parse().ok())
}

fn master(host: &Host) -> Option<IpAddr> {
    let master = host.info.master.as_ref();
    master.and_then(|master| master.source.parse().ok())
}

/// When its state last changed, in microseconds since the epoch.
pub(crate) fn since(host: &Host) -> u64 {
    let last = host.info.last_transition.as_ref();
    last.map_or(0, |transition| transition.time)
}

#[cfg(test)]
mod tests {
    use carp_dbus::{AddressInfo, InterfaceInfo};

    use super::*;

    fn picture(hosts: &[(&str, &str, &str, &str)]) -> Picture {
        let interfaces = hosts
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
        let mut picture = Picture::default();
        picture.list(interfaces, 1, 1);
        picture
    }

    fn names(choice: &Choice, picture: &Picture) -> String {
        let rows = choice.rows(picture, 1);
        let names = rows.iter().map(|row| match row {
            Row::Group(group) => format!("[{}]", group.device),
            Row::Host(name) => name.clone(),
        });
        names.collect::<Vec<_>>().join(" ")
    }

    fn sample() -> Picture {
        picture(&[
            ("carp10", "MASTER", "eth0", "192.0.2.10"),
            ("carp2", "BACKUP", "eth1", "192.0.2.9"),
            ("carp1", "INIT", "", "2001:db8::1"),
        ])
    }

    #[test]
    fn units_and_addresses_are_sorted_as_numbers() {
        let picture = sample();
        let mut choice = Choice::default();
        assert_eq!(names(&choice, &picture), "carp1 carp2 carp10");
        choice.sort = Sort::Address;
        assert_eq!(names(&choice, &picture), "carp2 carp10 carp1");
        choice.reverse = true;
        assert_eq!(names(&choice, &picture), "carp1 carp10 carp2");
        choice.sort = Sort::State;
        choice.reverse = false;
        assert_eq!(names(&choice, &picture), "carp10 carp2 carp1");
    }

    #[test]
    fn groups_stand_in_order_and_what_has_no_device_last() {
        let choice = Choice {
            grouped: true,
            ..Choice::default()
        };
        assert_eq!(
            names(&choice, &sample()),
            "[eth0] carp10 [eth1] carp2 [] carp1"
        );
    }

    #[test]
    fn a_filter_needs_all_words_and_none_that_is_excluded() {
        for (filter, expected) in [
            ("ETH", "carp2 carp10"),
            ("eth -backup", "carp10"),
            ("192.0.2 eth1", "carp2"),
            ("-", "carp1 carp2 carp10"),
            ("nothing", ""),
        ] {
            let choice = Choice {
                filter: filter.to_owned(),
                ..Choice::default()
            };
            assert_eq!(names(&choice, &sample()), expected, "{filter}");
        }
    }
}
