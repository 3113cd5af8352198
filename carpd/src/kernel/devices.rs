//! Changes of network devices: the macvlan device of each carp interface, and helper devices.
//!
//! A device in mode `source` with an empty list of sources is deaf: neither frames to its MAC nor
//! broadcasts reach it. A change of the mode takes microseconds. Setting a device down takes
//! milliseconds under the kernel's routing lock.

use carp_proto::{IfIndex, Mac, Unit};
use netlink_packet_core::{
    DefaultNla, Emitable as _, NLA_F_NESTED, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE,
};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkMessage, MacVlanMode};
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{LinkMacVlan, LinkMessageBuilder, LinkUnspec};

use super::device_report::{self, DeviceReport, GROUP};
use super::netlink::{Change, Netlink};
use super::netlink_error::NetlinkError;
use super::sysctl::Sysctl;

/// Device with a given name.
#[expect(
    clippy::large_enum_variant,
    reason = "a few are made for each change of a device, and none is kept"
)]
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// There is none.
    Nothing,
    /// carpd has made it.
    Ours(DeviceReport),
    /// Another program has made it; carpd never changes it.
    Foreign,
}

/// Looks for the device called `name`.
///
/// # Errors
/// The refusal of the kernel.
pub(super) fn find(netlink: &Netlink, name: &str) -> Result<Found, NetlinkError> {
    let report = netlink.link_named(name)?.as_ref().map(DeviceReport::of);
    Ok(match report {
        None => Found::Nothing,
        Some(report) if report.is_ours => Found::Ours(report),
        Some(_) => Found::Foreign,
    })
}

/// Creates the device of a carp interface: deaf, without addresses, and down.
pub(super) fn create(unit: Unit, parent: IfIndex, mac: Mac) -> Change {
    let device = LinkMacVlan::new(&unit.to_string(), parent.0, MacVlanMode::Source);
    create_in_group(device.address(mac.0.to_vec()))
}

/// Creates a device in the link group of ours.
pub(super) fn create_in_group(device: LinkMessageBuilder<LinkMacVlan>) -> Change {
    (
        RouteNetlinkMessage::NewLink(device.link_group(GROUP).build()),
        NLM_F_CREATE | NLM_F_EXCL,
    )
}

/// Lets the device receive all frames for its MAC, and broadcasts.
pub(super) fn hear(index: u32) -> Change {
    set_mode(index, MacVlanMode::Bridge)
}

/// Makes the device deaf.
pub(super) fn deafen(index: u32) -> Change {
    set_mode(index, MacVlanMode::Source)
}

/// Lets no frame leave the device: its queue has no room. Other programs (DHCP clients, arping(8),
/// lldpd(8)) send on every interface that is up, and a frame from a BACKUP with the virtual MAC would
/// make switches send it the MASTER's traffic.
pub(super) fn mute(index: u32) -> Change {
    (queue(index, 0), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Lets frames leave again, if the queue is still ours. The queue stays, so that this takes
/// microseconds, and [`mute`] too once there is a queue.
pub(super) fn unmute(index: u32) -> Change {
    const FRAMES: u32 = 1000;
    (queue(index, FRAMES), 0)
}

/// Returns a tc-pfifo(8) queue for `limit` frames, which every kernel with queues has.
fn queue(index: u32, limit: u32) -> RouteNetlinkMessage {
    const OPTIONS: u16 = 2;
    let mut message = TcMessage::with_index(index.cast_signed());
    message.header.parent = TcHandle::ROOT;
    message.attributes = vec![
        TcAttribute::Kind("pfifo".to_owned()),
        TcAttribute::Other(DefaultNla::new(OPTIONS, limit.to_ne_bytes().to_vec())),
    ];
    RouteNetlinkMessage::NewQueueDiscipline(message)
}

/// Sets the device up.
pub(super) fn up(index: u32) -> Change {
    change(LinkUnspec::new_with_index(index).up())
}

/// Sets those `sysctls` of a device that have a number. That is one request; by way of /proc it is three
/// system calls each. It is not part of the request that sets a device up, because the kernel would do
/// that first.
pub(super) fn configure(index: u32, sysctls: &[(Sysctl, i32)]) -> Change {
    let mut message = LinkUnspec::new_with_index(index).build();
    message.attributes.push(ipv4_conf(sysctls));
    (RouteNetlinkMessage::NewLink(message), 0)
}

/// Keeps the device from having an IPv6 address by itself, without access to /proc.
pub(super) fn generate_no_address(index: u32) -> Change {
    const ADDR_GEN_MODE: u16 = 8;
    const NONE: u8 = 1;
    let mode = bytes_of(&DefaultNla::new(ADDR_GEN_MODE, vec![NONE]));
    let mut message = LinkUnspec::new_with_index(index).build();
    message.attributes.push(af_spec(AddressFamily::Inet6, mode));
    (RouteNetlinkMessage::NewLink(message), 0)
}

/// Lets the device use ARP.
pub(super) fn use_arp(index: u32) -> Change {
    change(LinkUnspec::new_with_index(index).arp(true))
}

/// Lets the device use multicast.
pub(super) fn use_multicast(index: u32) -> Change {
    change(LinkUnspec::new_with_index(index).multicast(true))
}

/// Ends the device's protodown.
pub(super) fn end_protodown(index: u32) -> Change {
    change(LinkUnspec::new_with_index(index).protodown(false))
}

/// Takes the device out of a bridge or a bond.
pub(super) fn release(index: u32) -> Change {
    change(LinkUnspec::new_with_index(index).nocontroller())
}

/// Gives the device a name.
pub(super) fn rename(index: u32, name: &str) -> Change {
    change(LinkUnspec::new_with_index(index).name(name))
}

/// Gives the device a MAC.
pub(super) fn set_mac(index: u32, mac: Mac) -> Change {
    change(LinkUnspec::new_with_index(index).address(mac.0.to_vec()))
}

/// Gives the device an MTU.
pub(super) fn set_mtu(index: u32, mtu: u32) -> Change {
    change(LinkUnspec::new_with_index(index).mtu(mtu))
}

/// Sets the device down, unless it is gone, which takes milliseconds.
///
/// # Errors
/// The refusal of the kernel.
pub(super) fn set_down(netlink: &Netlink, index: u32) -> Result<(), NetlinkError> {
    gone_is_fine(netlink.change(change(LinkUnspec::new_with_index(index).down())))
}

/// Removes the device, unless it is gone, which takes tens of milliseconds.
///
/// # Errors
/// The refusal of the kernel.
pub(super) fn delete(netlink: &Netlink, index: u32) -> Result<(), NetlinkError> {
    delete_matching(netlink, LinkUnspec::new_with_index(index).build())
}

/// Removes every device of ours.
///
/// # Errors
/// The refusal of the kernel.
pub(super) fn delete_all(netlink: &Netlink) -> Result<(), NetlinkError> {
    let (mut ours, mut others) = (Vec::new(), false);
    netlink.each_link(|link| {
        if device_report::is_ours(link) {
            ours.push(link.header.index);
        } else {
            others |= link.attributes.contains(&LinkAttribute::Group(GROUP));
        }
    })?;
    if !others && ours.len() > 1 {
        let group = LinkUnspec::new_with_index(0).link_group(GROUP).build();
        return delete_matching(netlink, group);
    }
    for index in ours {
        delete(netlink, index)?;
    }
    Ok(())
}

fn set_mode(index: u32, mode: MacVlanMode) -> Change {
    let message = LinkMessageBuilder::<LinkMacVlan>::new_with_info_kind(InfoKind::MacVlan);
    change(message.index(index).mode(mode))
}

fn change<T>(message: LinkMessageBuilder<T>) -> Change {
    (RouteNetlinkMessage::NewLink(message.build()), 0)
}

/// `IFLA_AF_SPEC` with `IFLA_INET_CONF`, rtnetlink(7): sysctls by their numbers. The library has only the
/// form in which the kernel reports them.
fn ipv4_conf(sysctls: &[(Sysctl, i32)]) -> LinkAttribute {
    const INET_CONF: u16 = 1;
    let numbers = sysctls
        .iter()
        .filter_map(|(sysctl, value)| Some((sysctl.number()?, *value)))
        .flat_map(|(number, value)| bytes_of(&DefaultNla::new(number, value.to_ne_bytes().into())))
        .collect();
    let conf = DefaultNla::new(INET_CONF | NLA_F_NESTED, numbers);
    af_spec(AddressFamily::Inet, bytes_of(&conf))
}

fn af_spec(family: AddressFamily, of_family: Vec<u8>) -> LinkAttribute {
    const AF_SPEC: u16 = 26;
    let nested = |kind, value| DefaultNla::new(kind | NLA_F_NESTED, value);
    let family = nested(u16::from(u8::from(family)), of_family);
    LinkAttribute::Other(nested(AF_SPEC, bytes_of(&family)))
}

fn bytes_of(attribute: &DefaultNla) -> Vec<u8> {
    let mut bytes = vec![0; attribute.buffer_len().next_multiple_of(4)];
    attribute.emit(&mut bytes);
    bytes
}

fn delete_matching(netlink: &Netlink, message: LinkMessage) -> Result<(), NetlinkError> {
    let message = RouteNetlinkMessage::DelLink(message);
    gone_is_fine(netlink.change((message, 0)))
}

/// Takes for success that a device is gone, as it is together with its physical interface.
pub(super) fn gone_is_fine(result: Result<(), NetlinkError>) -> Result<(), NetlinkError> {
    match result {
        Err(error) if error.is_no_device() => Ok(()),
        result => result,
    }
}
