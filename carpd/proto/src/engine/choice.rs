//! Choice of the physical interface of a virtual host.

use core::cmp::Reverse;
use core::net::IpAddr;
use std::collections::BTreeMap;

use crate::link::{IfIndex, Link, is_link_local};
use crate::settings::Settings;
use crate::vhost::Vhost;

/// Present physical interface of a virtual host.
#[derive(Clone, Copy, Debug)]
pub(super) enum Current {
    /// Chosen for the present addresses.
    Chosen(Option<IfIndex>),
    /// Chosen for other addresses, or named.
    Outdated(Option<IfIndex>),
}

impl Current {
    /// Present physical interface of a virtual host that is about to have `settings`.
    pub(super) fn of(vhost: &Vhost, settings: &Settings) -> Self {
        let old = &vhost.settings;
        if old.addresses == settings.addresses && old.carpdev == settings.carpdev {
            Self::Chosen(vhost.device)
        } else {
            Self::Outdated(vhost.device)
        }
    }
}

/// Chooses the physical interface for `settings`, in this order: the one named; the present one, if one
/// of its subnets holds one of the addresses; the one whose subnet holds the first address that any
/// subnet holds. One that was chosen for these addresses stays while no other has them, because a network
/// manager can remove its address for a moment. So does one that is down.
///
/// Each interface is in the subnet of a link-local address. For such addresses alone, an interface is
/// chosen only if there is just one.
pub(super) fn choose(
    settings: &Settings,
    current: Current,
    links: &BTreeMap<IfIndex, Link>,
) -> Option<IfIndex> {
    let (Current::Chosen(index) | Current::Outdated(index)) = current;
    let stays = |link: &Link| match current {
        Current::Chosen(_) => true,
        Current::Outdated(_) => !link.works(),
    };
    if let Some(name) = &settings.carpdev {
        return links
            .values()
            .find(|link| link.capable && link.is_named(name))
            .map(|link| link.index);
    }
    let current = index
        .and_then(|index| links.get(&index))
        .filter(|link| link.capable);
    if let Some(link) = current
        && deciding(settings).any(|address| link.holds(address))
    {
        return Some(link.index);
    }
    let best = deciding(settings).find_map(|address| {
        let best = holding(links, address).max_by_key(|link| {
            let prefix = longest_prefix(link, address);
            (link.works(), prefix, Reverse(link.index))
        })?;
        let is_only = || holding(links, address).count() == 1;
        (!is_link_local(&address) || is_only()).then_some(best)
    });
    best.or_else(|| current.filter(|link| stays(link) && !settings.addresses.is_empty()))
        .map(|link| link.index)
}

/// Virtual addresses that choose the physical interface: those that are not link-local, or all if there
/// are no others.
pub(super) fn deciding(settings: &Settings) -> impl Iterator<Item = IpAddr> {
    let addresses = || settings.addresses.iter().map(|each| each.address);
    let is_all_local = addresses().all(|address| is_link_local(&address));
    addresses().filter(move |address| is_all_local || !is_link_local(address))
}

/// Interfaces that can be chosen for `address`.
pub(super) fn holding(
    links: &BTreeMap<IfIndex, Link>,
    address: IpAddr,
) -> impl Iterator<Item = &Link> {
    let capable = links.values().filter(|link| link.capable);
    capable.filter(move |link| link.holds(address))
}

/// Interfaces that can be chosen for `address` as well as `chosen`.
pub(super) fn alternatives<'a>(
    links: &'a BTreeMap<IfIndex, Link>,
    address: IpAddr,
    chosen: &'a Link,
) -> impl Iterator<Item = &'a Link> {
    let prefix = longest_prefix(chosen, address);
    holding(links, address)
        .filter(move |link| link.index != chosen.index)
        .filter(move |link| longest_prefix(link, address) == prefix)
}

fn longest_prefix(link: &Link, address: IpAddr) -> u8 {
    let holding = link.addresses.iter().filter(|own| own.holds(address));
    holding.map(|own| own.prefix).max().unwrap_or_default()
}
