//! Sort keys of the table.

use std::cmp::Ordering;
use std::net::IpAddr;

use crate::history::bad_packets;
use crate::model::Interface;

/// Key that the table is sorted by.
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
    /// Compares two interfaces by this key, then by unit.
    pub(crate) fn compare(self, one: &Interface, other: &Interface) -> Ordering {
        let by = |of: fn(&Interface) -> u64| of(one).cmp(&of(other));
        let order = match self {
            Self::Name => Ordering::Equal,
            Self::State => by(|interface| match interface.info.state.as_str() {
                "MASTER" => 0,
                "BACKUP" => 1,
                _ => 2,
            }),
            Self::Vhid => by(|interface| u64::from(interface.info.vhid)),
            Self::Address => address(one).cmp(&address(other)),
            Self::Device => one.info.carpdev.cmp(&other.info.carpdev),
            Self::Priority => by(|interface| {
                u64::from(interface.info.advbase) * 256
                    + u64::from(interface.info.effective_advskew)
            }),
            Self::Master => master(one).cmp(&master(other)),
            // The longest silence, the highest rate and the most bad packets first.
            Self::Heard => by(|interface| interface.last_advertisement().unwrap_or(u64::MAX)),
            Self::Rate => {
                let rate = |interface: &Interface| interface.history.rate().unwrap_or(-1.0);
                rate(other).total_cmp(&rate(one))
            }
            Self::Bad => bad_packets(&other.info).cmp(&bad_packets(&one.info)),
            // The most recent change first.
            Self::Since => other.last_change().cmp(&one.last_change()),
        };
        order.then_with(|| one.unit().cmp(&other.unit()))
    }
}

fn address(interface: &Interface) -> Option<IpAddr> {
    interface
        .addresses()
        .0
        .and_then(|address| address.parse().ok())
}

fn master(interface: &Interface) -> Option<IpAddr> {
    let master = interface.info.master.as_ref();
    master.and_then(|master| master.source.parse().ok())
}
