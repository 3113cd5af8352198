//! Routes to the prefixes of virtual addresses, all with [`METRIC`].
//!
//! A physical interface without an own address in a prefix has no other way to the neighbours
//! there, and link-local neighbours can be answered by way of the carp device alone. The host's
//! own route to the same prefix is better, and is used while there is one. Where an own subnet is
//! wider than the prefix, ours would be the more specific one: the host's own traffic would leave
//! by the carp device, and strict reverse-path filtering would drop what comes in on the physical
//! interface. There is none then.
//!
//! Most of them the kernel makes, renews and removes together with the addresses. It does not
//! change them with an IPv4 address that is there, and makes none for one that is alone in its
//! prefix: those are made here, and the kernel removes them together with their source address.

use core::net::IpAddr;
use core::ops::Bound;
use std::collections::{BTreeMap, BTreeSet};

use carp_proto::{DeviceAddress, Family, IfIndex, Place, Unit, VirtualAddress};
use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use tracing::debug;

use super::devices::Seen;
use super::netlink::Change;
use super::netlink_error::NetlinkError;
use super::worker::Worker;
use super::{addresses, master};
use crate::clock::Clock;

/// Worse than the metric of every route of the kernel, of DHCP clients and of network managers, so
/// that the host's own route to the same prefix is used while there is one.
pub(super) const METRIC: u32 = 11_200_000;

/// The own addresses of physical interfaces.
#[derive(Debug, Default)]
pub(super) struct Own(BTreeMap<IfIndex, Vec<DeviceAddress>>);

impl Own {
    /// Returns true if `interface` has a subnet that is wider than the prefix of `address` and holds
    /// it.
    fn is_around(&self, interface: IfIndex, address: VirtualAddress) -> bool {
        let own = self.0.get(&interface).into_iter().flatten();
        let mut wider = own.filter(|own| own.prefix < address.prefix);
        wider.any(|own| own.holds(address.address))
    }
}

impl Own {
    /// The IPv4 addresses of others in the subnets of `interface`, but those that it has, too: of
    /// all, if it is the one that has `changed`, and else of that one.
    pub(super) fn elsewhere_in_subnets_of(
        &self,
        interface: IfIndex,
        changed: IfIndex,
    ) -> BTreeSet<IpAddr> {
        let own: &[DeviceAddress] = self.0.get(&interface).map_or(&[], Vec::as_slice);
        let concerned = if changed == interface {
            (Bound::Unbounded, Bound::Unbounded)
        } else {
            (Bound::Included(changed), Bound::Included(changed))
        };
        let others = self.0.range(concerned);
        let others = others.filter(|(other, _)| **other != interface);
        others
            .flat_map(|(_, addresses)| addresses)
            .map(|each| each.address)
            .filter(IpAddr::is_ipv4)
            .filter(|address| own.iter().any(|own| own.holds(*address)))
            .filter(|address| !own.iter().any(|own| own.address == *address))
            .collect()
    }
}

impl Worker {
    /// Returns true if there shall be a route to the prefix of `address`.
    pub(super) fn is_routed(&self, unit: Unit, place: Place, address: VirtualAddress) -> bool {
        let parent = match place {
            Place::Parent(parent) => Some(parent),
            Place::Device | Place::SilentDevice => {
                let device = self.state(unit).and_then(|state| state.device.as_ref());
                device.map(|device| device.parent)
            }
        };
        let is_around = |parent| self.own.is_around(parent, address);
        match address.address {
            IpAddr::V4(_) => address.prefix < 32 && !parent.is_some_and(is_around),
            // Those of each interface are for its own link.
            IpAddr::V6(address) if address.is_unicast_link_local() => true,
            IpAddr::V6(_) => address.prefix < 128 && !parent.is_some_and(is_around),
        }
    }

    /// The own addresses of `interface` are these from now on: the routes of those who are MASTER
    /// on it follow.
    pub(super) fn follow_own(&mut self, interface: IfIndex, own: Vec<DeviceAddress>) {
        let before = self.routed_on(interface);
        if own.is_empty() {
            self.own.0.remove(&interface);
        } else {
            self.own.0.insert(interface, own);
        }
        let mut units: Vec<Unit> = Vec::new();
        let after = self.routed_on(interface);
        for (then, now) in before.iter().zip(&after) {
            if then != now && units.last() != Some(&now.0) {
                units.push(now.0);
            }
        }
        for unit in units {
            self.renew_ipv6(unit);
            self.settle_routes(unit);
        }
    }

    /// Of each address that is held on `interface` or on a device on it, whether it shall have a
    /// route.
    fn routed_on(&self, interface: IfIndex) -> Vec<(Unit, bool)> {
        let mut routed = Vec::new();
        for (unit, state) in &self.units {
            let Some(held) = &state.held else { continue };
            let on = match held.place {
                Place::Parent(parent) => Some(parent),
                Place::Device | Place::SilentDevice => {
                    state.device.as_ref().map(|device| device.parent)
                }
            };
            if on == Some(interface) {
                let each = held.addresses.iter();
                routed.extend(each.map(|it| (*unit, self.is_routed(*unit, held.place, *it))));
            }
        }
        routed
    }

    /// The kernel changes the routes of IPv6 addresses with these, as far as it makes them.
    fn renew_ipv6(&self, unit: Unit) {
        let Some(held) = self.state(unit).and_then(|state| state.held.as_ref()) else {
            return;
        };
        let lease = master::left(held.until, Clock.now().instant);
        let Some(index) = self.index_of(unit, held.place).filter(|_| lease > 0) else {
            return;
        };
        let addresses = held.addresses.iter().copied();
        let v6 = addresses.filter(|each| Family::of(each.address) == Family::V6);
        let changes = v6
            .map(|each| addresses::put(index, self.placed(unit, held.place, each), lease))
            .collect();
        for answer in self.netlink.change_all(changes) {
            if let Err(error) = answer {
                debug!("{unit}: cannot renew an address: {error}");
            }
        }
    }

    /// Makes the routes that are missing, and removes those that shall not be there.
    pub(super) fn settle_routes(&self, unit: Unit) {
        let Some(held) = self.state(unit).and_then(|state| state.held.as_ref()) else {
            return;
        };
        let Some(index) = self.index_of(unit, held.place) else {
            return;
        };
        let mut changes = BTreeMap::new();
        let table = self.table_of(index);
        for address in &held.addresses {
            let Some(prefix) = prefix_of(*address) else {
                continue;
            };
            if !self.is_routed(unit, held.place, *address) {
                changes.insert(prefix, remove(index, table, prefix));
            } else if address.address.is_ipv4() {
                let add = add(index, table, prefix, address.address);
                changes.entry(prefix).or_insert(add);
            }
        }
        for answer in self.netlink.change_all(changes.into_values().collect()) {
            report(unit, answer);
        }
    }

    /// Removes the routes to the prefixes of IPv6 `addresses`: the kernel leaves them until their
    /// lease is over.
    pub(super) fn remove_routes<'a>(
        &self,
        unit: Unit,
        index: u32,
        addresses: impl Iterator<Item = &'a VirtualAddress>,
    ) {
        let v6 = addresses.filter(|each| Family::of(each.address) == Family::V6);
        let prefixes: Vec<IpNet> = v6.copied().filter_map(prefix_of).collect();
        if prefixes.is_empty() {
            return;
        }
        let table = self.table_of(index);
        let removals = prefixes.iter().map(|prefix| remove(index, table, *prefix));
        for answer in self.netlink.change_all(removals.collect()) {
            report(unit, answer);
        }
    }

    /// The table that the kernel puts the routes of the interface of this number into: that of its
    /// VRF, or the main one.
    fn table_of(&self, index: u32) -> u32 {
        let mut table = None;
        let mut seen = Seen::default();
        let read = self.netlink.links_numbered([index], |link| {
            seen = Seen::of(link);
        });
        let master = seen.master.filter(|master| *master != 0);
        let read = read.and_then(|()| {
            self.netlink.links_numbered(master, |link| {
                table = Seen::of(link).table;
            })
        });
        if let Err(error) = read {
            debug!("cannot read the table of interface {index}: {error}");
        }
        table.unwrap_or(RouteHeader::RT_TABLE_MAIN.into())
    }
}

/// `None` for a host's own one.
fn prefix_of(address: VirtualAddress) -> Option<IpNet> {
    let net = IpNet::new(address.address, address.prefix).ok()?;
    (net.prefix_len() < net.max_prefix_len()).then(|| net.trunc())
}

/// Adds it as the kernel would, unless it is there.
fn add(index: u32, table: u32, prefix: IpNet, source: IpAddr) -> Change {
    let mut route = to(index, table, prefix);
    route.header.protocol = RouteProtocol::Kernel;
    route.header.scope = RouteScope::Link;
    route.header.kind = RouteType::Unicast;
    route
        .attributes
        .push(RouteAttribute::PrefSource(source.into()));
    (
        RouteNetlinkMessage::NewRoute(route),
        NLM_F_CREATE | NLM_F_EXCL,
    )
}

/// Removes it, whatever its source is and whichever program has made it.
fn remove(index: u32, table: u32, prefix: IpNet) -> Change {
    let mut route = to(index, table, prefix);
    route.header.scope = RouteScope::NoWhere;
    (RouteNetlinkMessage::DelRoute(route), 0)
}

fn to(index: u32, table: u32, prefix: IpNet) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.address_family = match prefix {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    route.header.destination_prefix_length = prefix.prefix_len();
    route.attributes = vec![
        RouteAttribute::Table(table),
        RouteAttribute::Destination(prefix.addr().into()),
        RouteAttribute::Oif(index),
        RouteAttribute::Priority(METRIC),
    ];
    route
}

/// It is there, or not there, as it shall be.
fn report(unit: Unit, answer: Result<(), NetlinkError>) {
    match answer {
        Ok(())
        | Err(NetlinkError {
            errno: libc::EEXIST | libc::ESRCH | libc::ENODEV,
            ..
        }) => {}
        Err(error) => debug!("{unit}: cannot change a route: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wider_own_subnet_is_around_a_prefix() {
        let own = |text: &str| {
            let net: IpNet = text.parse().unwrap();
            DeviceAddress {
                address: net.addr(),
                prefix: net.prefix_len(),
            }
        };
        let eth0 = IfIndex(2);
        let known = Own(BTreeMap::from([(
            eth0,
            vec![own("10.99.0.2/16"), own("2001:db8::2/48")],
        )]));
        let is_around = |text: &str| {
            let DeviceAddress { address, prefix } = own(text);
            known.is_around(eth0, VirtualAddress { address, prefix })
        };
        assert!(is_around("10.99.1.1/24") && is_around("2001:db8::1/64"));
        assert!(!is_around("10.99.1.1/16"), "its own route is better");
        assert!(!is_around("10.99.1.1/15") && !is_around("10.98.1.1/24"));
        assert!(!known.is_around(
            IfIndex(3),
            VirtualAddress {
                address: "10.99.1.1".parse().unwrap(),
                prefix: 24
            }
        ));
    }
}
