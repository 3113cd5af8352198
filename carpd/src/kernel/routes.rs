//! Routes to the prefixes of virtual addresses, all with [`METRIC`].
//!
//! A physical interface without an own address in a prefix has no other route to the neighbours there,
//! and link-local neighbours can be answered only through the carp device. The host's own route to the
//! same prefix is better, and is used while there is one. If an own subnet is wider than the prefix, there
//! is no route to the prefix: it would be the more specific one, so that the host's own traffic would
//! leave by the carp device, and strict reverse-path filtering would drop what arrives on the physical
//! interface.
//!
//! The kernel makes, renews and removes most of these routes together with the addresses. It does not
//! change them with an IPv4 address that is there, and makes none for an address that is alone in its
//! prefix. Those are made here, and the kernel removes them together with their source address.

use core::net::IpAddr;
use std::collections::BTreeMap;

use carp_proto::{DeviceAddress, IfIndex, Unit, VirtualAddress};
use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use tracing::debug;

use super::addresses::{self, METRIC};
use super::device_report::DeviceReport;
use super::held::{is_v4, seconds_left};
use super::holdings::Holdings;
use super::netlink::Change;
use super::netlink_error::NetlinkError;
use crate::clock::Clock;

impl Holdings {
    /// Follows a change of the own addresses of `interface`: adds and removes the routes of the carp
    /// interfaces on it that are MASTER.
    pub(super) fn follow_own(&mut self, interface: IfIndex, own: Vec<DeviceAddress>) {
        let before = self.routed_on(interface);
        self.own.set(interface, own);
        let after = self.routed_on(interface);
        let mut units: Vec<Unit> = Vec::new();
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

    /// Returns, for each address on `interface` or on a device on it, whether it is to have a route.
    fn routed_on(&self, interface: IfIndex) -> Vec<(Unit, bool)> {
        let mut routed = Vec::new();
        for (unit, held) in &self.interfaces {
            let Some(leased) = &held.leased else { continue };
            let parent = held.parent_at(leased.place);
            if parent == Some(interface) {
                let each = leased.addresses.iter();
                routed.extend(each.map(|it| (*unit, self.own.is_routed(parent, *it))));
            }
        }
        routed
    }

    /// Puts the IPv6 addresses again: the kernel changes the routes that it makes with them.
    fn renew_ipv6(&self, unit: Unit) {
        let Some(held) = self.held(unit) else { return };
        let Some(leased) = &held.leased else { return };
        let lease = seconds_left(leased.until, Clock.now().instant);
        let Some(index) = held.index_at(leased.place).filter(|_| lease > 0) else {
            return;
        };
        let v6 = leased.addresses.iter().filter(|each| !is_v4(each));
        let changes = v6
            .map(|each| addresses::put(index, self.placed(unit, leased.place, *each), lease))
            .collect();
        for answer in self.netlink.change_all(changes) {
            if let Err(error) = answer {
                debug!("{unit}: cannot renew an address: {error}");
            }
        }
    }

    /// Adds missing routes, and removes routes that are not to be there.
    pub(super) fn settle_routes(&self, unit: Unit) {
        let Some(held) = self.held(unit) else { return };
        let Some(leased) = &held.leased else { return };
        let Some(index) = held.index_at(leased.place) else {
            return;
        };
        let parent = held.parent_at(leased.place);
        let mut changes = BTreeMap::new();
        let table = self.table_of(index);
        for address in &leased.addresses {
            let Some(prefix) = prefix_of(*address) else {
                continue;
            };
            if !self.own.is_routed(parent, *address) {
                changes.insert(prefix, remove(index, table, prefix));
            } else if is_v4(address) {
                let add = add(index, table, prefix, address.address);
                changes.entry(prefix).or_insert(add);
            }
        }
        for answer in self.netlink.change_all(changes.into_values().collect()) {
            report(unit, answer);
        }
    }

    /// Removes the routes to the prefixes of IPv6 `addresses`, which the kernel leaves until their lease
    /// is over.
    pub(super) fn remove_routes<'a>(
        &self,
        unit: Unit,
        index: u32,
        addresses: impl Iterator<Item = &'a VirtualAddress>,
    ) {
        let v6 = addresses.filter(|each| !is_v4(each));
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

    /// Returns the table of the routes that the kernel makes for a device: that of its VRF, or the main
    /// one.
    fn table_of(&self, index: u32) -> u32 {
        let mut master = None;
        let mut table = None;
        let read = self
            .netlink
            .links_numbered([index], |link| master = DeviceReport::of(link).master);
        let read = read.and_then(|()| {
            self.netlink
                .links_numbered(master, |link| table = DeviceReport::of(link).table)
        });
        if let Err(error) = read {
            debug!("cannot read the table of interface {index}: {error}");
        }
        table.unwrap_or(RouteHeader::RT_TABLE_MAIN.into())
    }
}

/// Returns the prefix of an address; `None` if it is the address alone.
fn prefix_of(address: VirtualAddress) -> Option<IpNet> {
    let net = IpNet::new(address.address, address.prefix).ok()?;
    (net.prefix_len() < net.max_prefix_len()).then(|| net.trunc())
}

/// Adds a route as the kernel would, unless it is there.
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

/// Removes a route with any source, whichever program has made it.
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

/// Logs a failure to add or remove a route, unless the route is there or not there as it is to be.
fn report(unit: Unit, answer: Result<(), NetlinkError>) {
    if let Err(error) = answer
        && !matches!(error.errno, libc::EEXIST | libc::ESRCH | libc::ENODEV)
    {
        debug!("{unit}: cannot change a route: {error}");
    }
}
