//! Virtual addresses in the kernel: each has a lease, and the route to its prefix if there is to be one.

use core::net::IpAddr;

use carp_proto::{DeviceAddress, Place, VirtualAddress};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::{Change, Netlink};
use super::netlink_error::NetlinkError;

/// `IFA_PROTO` of every virtual address, by which it is recognised: CARP's IP protocol number. Kernels
/// before 5.18 do not keep it.
const PROTOCOL: AddressProtocol = AddressProtocol::Other(PROTOCOL_NUMBER);

/// Metric of the routes to the prefixes of virtual addresses: worse than that of every route of the
/// kernel, of DHCP clients and of network managers, so that the host's own route to the same prefix is
/// used while there is one.
pub(super) const METRIC: u32 = 11_200_000;

/// [`PROTOCOL`] as a number.
pub(super) const PROTOCOL_NUMBER: u8 = 112;

/// Virtual address in the form that it has in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    address: VirtualAddress,
    /// Set if the kernel makes the route to its prefix.
    has_route: bool,
}

impl Placed {
    /// Places `address`. If `is_routed`, there is to be a route to its prefix.
    ///
    /// An IPv4 address on a physical interface is alone in its prefix. Otherwise one of the host's own
    /// that came later would be its secondary address, without a route, and would be removed with it
    /// (`inet_insert_ifa()`, `inet_del_ifa()`).
    pub(super) const fn new(place: Place, address: VirtualAddress, is_routed: bool) -> Self {
        match (place, address.address) {
            (Place::Parent(_), IpAddr::V4(_)) => Self {
                address: VirtualAddress {
                    prefix: 32,
                    ..address
                },
                has_route: false,
            },
            (Place::Parent(_) | Place::Device | Place::SilentDevice, _) => Self {
                address,
                has_route: is_routed,
            },
        }
    }
}

/// Adds an address to the device with number `index`, or renews its lease.
///
/// At each such request for an IPv6 address the kernel reports again the multicast groups that the
/// device has joined (`net/ipv6/addrconf.c`: `inet6_rtm_newaddr()` calls `ipv6_find_idev()`, which calls
/// `ipv6_mc_up()`).
pub(super) fn put(index: u32, placed: Placed, lease: u32) -> Change {
    let message = RouteNetlinkMessage::NewAddress(leased(index, placed, lease));
    (message, NLM_F_CREATE | NLM_F_REPLACE)
}

/// Adds an address to the device with number `index`, unless it is there. Returns true if it was missing.
///
/// # Errors
/// The refusal of the kernel.
pub(super) fn add(
    netlink: &Netlink,
    index: u32,
    placed: Placed,
    lease: u32,
) -> Result<bool, NetlinkError> {
    let message = RouteNetlinkMessage::NewAddress(leased(index, placed, lease));
    match netlink.change((message, NLM_F_CREATE | NLM_F_EXCL)) {
        Ok(()) => Ok(true),
        Err(error) if error.errno == libc::EEXIST => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes an address away.
pub(super) fn take_away(index: u32, placed: Placed) -> Change {
    let message = plain(index, placed.address);
    (RouteNetlinkMessage::DelAddress(message), 0)
}

/// Takes for success that the lease of an address has ended before it is taken away, or that its device
/// is gone.
pub(super) fn is_away(result: Result<(), NetlinkError>) -> Result<(), NetlinkError> {
    match result {
        Err(error) if matches!(error.errno, libc::EADDRNOTAVAIL | libc::ENODEV) => Ok(()),
        result => result,
    }
}

/// Takes every virtual address away that a previous instance has left on a physical interface.
///
/// # Errors
/// The refusal of the kernel.
pub(super) fn sweep(netlink: &Netlink) -> Result<(), NetlinkError> {
    for message in netlink.addresses()? {
        if is_virtual(&message) {
            netlink.change((RouteNetlinkMessage::DelAddress(message), 0))?;
        }
    }
    Ok(())
}

/// Returns true if carpd has added the address.
pub(super) fn is_virtual(message: &AddressMessage) -> bool {
    message
        .attributes
        .contains(&AddressAttribute::Protocol(PROTOCOL))
}

/// Returns the address: `IFA_LOCAL` if there is one, because on a point-to-point link `IFA_ADDRESS` is the
/// peer's.
pub(super) fn own(message: &AddressMessage) -> Option<DeviceAddress> {
    let mut address: Option<IpAddr> = None;
    for attribute in &message.attributes {
        if let AddressAttribute::Local(local) = attribute {
            address = Some(*local);
            break;
        } else if let AddressAttribute::Address(other) = attribute {
            address = Some(*other);
        }
    }
    address.map(|address| DeviceAddress {
        address,
        prefix: message.header.prefix_len,
    })
}

/// Returns all flags, of which the header has only the first eight.
pub(super) fn flags(message: &AddressMessage) -> AddressFlags {
    message
        .attributes
        .iter()
        .find_map(|attribute| {
            if let AddressAttribute::Flags(flags) = attribute {
                Some(*flags)
            } else {
                None
            }
        })
        .unwrap_or(AddressFlags::from_bits_retain(u32::from(
            message.header.flags.bits(),
        )))
}

fn plain(index: u32, VirtualAddress { address, prefix }: VirtualAddress) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.index = index;
    message.header.prefix_len = prefix;
    message.attributes = vec![
        AddressAttribute::Local(address),
        AddressAttribute::Address(address),
    ];
    message
}

fn leased(index: u32, placed: Placed, lease: u32) -> AddressMessage {
    let Placed { address, has_route } = placed;
    let mut message = plain(index, address);
    let mut cache = CacheInfo::default();
    cache.ifa_valid = lease;
    let mut flags = if has_route {
        AddressFlags::empty()
    } else {
        AddressFlags::Noprefixroute
    };
    match address.address {
        IpAddr::V4(_) => cache.ifa_preferred = lease,
        // It is never preferred, so that no new connection of this host starts from it (RFC 6724 §5
        // rule 3). Duplicate address detection is off: it would find the other hosts of the group.
        IpAddr::V6(_) => {
            message.header.flags = AddressHeaderFlags::Nodad;
            flags |= AddressFlags::Nodad;
        }
    }
    message.attributes.extend([
        AddressAttribute::Flags(flags),
        AddressAttribute::CacheInfo(cache),
        AddressAttribute::Protocol(PROTOCOL),
        AddressAttribute::RoutePriority(METRIC),
    ]);
    message
}
