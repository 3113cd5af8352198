//! Gateways of the default routes of this host.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::BTreeSet;

use carp_proto::{Gateway, IfIndex};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::Netlink;
use super::netlink_error::NetlinkError;

/// Addresses to which only a default route leads: RFC 7600 section 5.5, RFC 6666.
const PROBES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 8)),
    IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1)),
];

impl Netlink {
    /// Returns the gateways of the default routes that this host uses, in its main table or in the
    /// tables of its rules. That takes two requests, with any number of routes.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn default_gateways(&self) -> Result<BTreeSet<Gateway>, NetlinkError> {
        let mut gateways = BTreeSet::new();
        self.get(PROBES.map(route_to).to_vec(), |answer| {
            // A refusal means that there is no route.
            if let Ok(RouteNetlinkMessage::NewRoute(route)) = answer {
                gateways.extend(gateways_of(route));
            }
        })?;
        Ok(gateways)
    }
}

/// Returns true for a route whose change can change [`Netlink::default_gateways`].
pub(super) const fn is_default(route: &RouteMessage) -> bool {
    route.header.destination_prefix_length == 0
}

/// Returns a request for the route to `address` as it is in its table.
fn route_to(address: IpAddr) -> RouteNetlinkMessage {
    let (address_family, prefix, to) = match address {
        IpAddr::V4(address) => (AddressFamily::Inet, 32, RouteAddress::Inet(address)),
        IpAddr::V6(address) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(address)),
    };
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family,
        destination_prefix_length: prefix,
        flags: RouteFlags::FibMatch,
        ..RouteHeader::default()
    };
    message.attributes.push(RouteAttribute::Destination(to));
    RouteNetlinkMessage::GetRoute(message)
}

/// Returns the gateways of a default route; none for another one.
fn gateways_of(route: &RouteMessage) -> Vec<Gateway> {
    if !is_default(route) || route.header.kind != RouteType::Unicast {
        return Vec::new();
    }
    let mut gateways = Vec::new();
    let mut device = IfIndex(0);
    for attribute in &route.attributes {
        if let RouteAttribute::Oif(index) = attribute {
            device = IfIndex(*index);
        } else if let RouteAttribute::MultiPath(hops) = attribute {
            for hop in hops {
                let device = IfIndex(hop.interface_index);
                let addresses = hop.attributes.iter().filter_map(gateway);
                gateways.extend(addresses.map(|address| Gateway { address, device }));
            }
        }
    }
    let addresses = route.attributes.iter().filter_map(gateway);
    gateways.extend(addresses.map(|address| Gateway { address, device }));
    gateways
}

fn gateway(attribute: &RouteAttribute) -> Option<IpAddr> {
    if let RouteAttribute::Gateway(RouteAddress::Inet(address))
    | RouteAttribute::Via(RouteVia::Inet(address)) = attribute
    {
        Some(IpAddr::V4(*address))
    } else if let RouteAttribute::Gateway(RouteAddress::Inet6(address))
    | RouteAttribute::Via(RouteVia::Inet6(address)) = attribute
    {
        Some(IpAddr::V6(*address))
    } else {
        None
    }
}
