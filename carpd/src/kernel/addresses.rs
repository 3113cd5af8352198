//! Virtual addresses in the kernel: each with a lease, and with the route to its prefix if it shall
//! have one.

use core::net::IpAddr;

use carp_proto::{DeviceAddress, Place, VirtualAddress};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::{Change, Netlink};
use super::netlink_error::NetlinkError;
use super::routes;

/// `IFA_PROTO` of every address of ours, by which they are known again: CARP's own IP protocol
/// number. Kernels before 5.18 do not keep it.
const PROTOCOL: AddressProtocol = AddressProtocol::Other(PROTOCOL_NUMBER);

/// The same as a number.
pub(super) const PROTOCOL_NUMBER: u8 = 112;

/// How an address is in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    address: VirtualAddress,
    /// Whether the kernel makes the route to its prefix.
    brings_route: bool,
}

impl Placed {
    /// `is_routed` says whether there shall be a route to its prefix.
    ///
    /// An IPv4 address on a physical interface is alone in its prefix: one of the host's own that
    /// came later would be its secondary one, without a route, and be removed with it
    /// (`inet_insert_ifa()`, `inet_del_ifa()`).
    pub(super) const fn new(place: Place, address: VirtualAddress, is_routed: bool) -> Self {
        match (place, address.address) {
            (Place::Parent(_), IpAddr::V4(_)) => Self {
                address: VirtualAddress {
                    prefix: 32,
                    ..address
                },
                brings_route: false,
            },
            (Place::Parent(_) | Place::Device | Place::SilentDevice, _) => Self {
                address,
                brings_route: is_routed,
            },
        }
    }
}

/// Adds `address` to the interface numbered `index`, or makes its lease start anew.
///
/// At each such request for an IPv6 address the kernel reports the interface's multicast groups
/// again, whatever the flags (`net/ipv6/addrconf.c`, `inet6_rtm_newaddr()`, which by way of
/// `ipv6_find_idev()` comes to `ipv6_mc_up()`). They are the groups that it is in.
pub(super) fn put(index: u32, placed: Placed, lease: u32) -> Change {
    let message = RouteNetlinkMessage::NewAddress(leased(index, placed, lease));
    (message, NLM_F_CREATE | NLM_F_REPLACE)
}

/// Adds `address` to the interface numbered `index` if it is not there; `true` if it was not.
///
/// # Errors
/// What the kernel answers.
pub(super) fn add(
    netlink: &Netlink,
    index: u32,
    placed: Placed,
    lease: u32,
) -> Result<bool, NetlinkError> {
    let message = RouteNetlinkMessage::NewAddress(leased(index, placed, lease));
    match netlink.change((message, NLM_F_CREATE | NLM_F_EXCL)) {
        Ok(()) => Ok(true),
        Err(NetlinkError {
            errno: libc::EEXIST,
            ..
        }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes an address away.
pub(super) fn take_away(index: u32, placed: Placed) -> Change {
    let message = plain(index, placed.address);
    (RouteNetlinkMessage::DelAddress(message), 0)
}

/// What was to be taken away is so too if its lease has run out, or its interface is gone.
pub(super) fn is_away(result: Result<(), NetlinkError>) -> Result<(), NetlinkError> {
    match result {
        Err(NetlinkError {
            errno: libc::EADDRNOTAVAIL | libc::ENODEV,
            ..
        }) => Ok(()),
        result => result,
    }
}

/// Takes away every address of ours that is on no device of ours, as a crashed carpd leaves them
/// on physical interfaces.
///
/// # Errors
/// What the kernel answers.
pub(super) fn sweep(netlink: &Netlink) -> Result<(), NetlinkError> {
    for message in netlink.addresses()? {
        if is_virtual(&message) {
            netlink.change((RouteNetlinkMessage::DelAddress(message), 0))?;
        }
    }
    Ok(())
}

/// Whether carpd put the address there.
pub(super) fn is_virtual(message: &AddressMessage) -> bool {
    message
        .attributes
        .contains(&AddressAttribute::Protocol(PROTOCOL))
}

/// The address itself, `IFA_LOCAL` before `IFA_ADDRESS`, which on a point-to-point link is the
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

/// All flags; the header has room for the first eight only.
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
    let Placed {
        address,
        brings_route,
    } = placed;
    let mut message = plain(index, address);
    let mut cache = CacheInfo::default();
    cache.ifa_valid = lease;
    let mut flags = if brings_route {
        AddressFlags::empty()
    } else {
        AddressFlags::Noprefixroute
    };
    match address.address {
        IpAddr::V4(_) => cache.ifa_preferred = lease,
        // Preferred for no time, so that no new connection of this host starts from it (RFC 6724
        // §5 rule 3); no duplicate address detection, which would find the other members.
        IpAddr::V6(_) => {
            message.header.flags = AddressHeaderFlags::Nodad;
            flags |= AddressFlags::Nodad;
        }
    }
    message.attributes.extend([
        AddressAttribute::Flags(flags),
        AddressAttribute::CacheInfo(cache),
        AddressAttribute::Protocol(PROTOCOL),
        AddressAttribute::RoutePriority(routes::METRIC),
    ]);
    message
}
