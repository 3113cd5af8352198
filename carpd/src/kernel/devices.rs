//! The macvlan devices, one for each carp interface.
//!
//! A device in mode `source` with an empty list of sources is deaf: neither frames to its MAC nor
//! broadcasts reach it, and the switch between deaf and hearing takes microseconds, whereas
//! setting a device down takes milliseconds under the kernel's routing lock.

use carp_proto::{IfIndex, Mac, Unit};
use netlink_packet_core::{
    DefaultNla, Emitable as _, NLA_F_NESTED, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE,
};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, InfoVrf, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
    MacVlanMode,
};
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{LinkMacVlan, LinkMessageBuilder, LinkUnspec};

use super::netlink::{Change, Netlink};
use super::netlink_error::NetlinkError;
use super::sysctls::{ARP_ANNOUNCE_OWN, ARP_IGNORE_OTHERS, Sysctl};

/// `IFLA_GROUP` of all our devices, "carp" in ASCII: by it they are known again after a crash,
/// and deleted at once, which takes as long as deleting three of them one by one.
pub(super) const GROUP: u32 = 0x6361_7270;

/// Whether an IPv6 stack runs on an interface at all.
pub(super) const DISABLE_IPV6: Sysctl = Sysctl::v6("disable_ipv6");

/// What a device has from its creation, beside being deaf.
const SETTINGS: [(Sysctl, i32); 17] = [
    // Says nothing by itself: no address, no solicitation, no multicast listener report. A frame
    // from a BACKUP with the virtual MAC would make switches send it the MASTER's traffic.
    (DISABLE_IPV6, 1),
    (Sysctl::v6("addr_gen_mode"), 1),
    (Sysctl::v6("accept_ra"), 0),
    (Sysctl::v6("autoconf"), 0),
    (Sysctl::v6("router_solicitations"), 0),
    // If the kernel itself ends a lease it reports that it leaves the address's group, twice, the
    // second time up to this many milliseconds later: not after a backup has taken over.
    (Sysctl::v6("mldv1_unsolicited_report_interval"), 1),
    (Sysctl::v6("mldv2_unsolicited_report_interval"), 1),
    // Answers leave by the physical interface, so the strict check would drop what comes in here.
    (Sysctl::v4("rp_filter"), 2),
    // Without it the first address of a subnet takes the others with it when it is deleted.
    (Sysctl::v4("promote_secondaries"), 1),
    // Answers for its own addresses alone: with a medium of -1 it is no ARP proxy, whatever
    // `all.proxy_arp` says (`arp_fwd_proxy()`).
    (Sysctl::v4("proxy_arp"), 0),
    (Sysctl::v4("proxy_arp_pvlan"), 0),
    (Sysctl::v4("medium_id"), -1),
    (Sysctl::v6("proxy_ndp"), 0),
    // And answers for those, although the way back is the physical interface.
    (Sysctl::v4("arp_filter"), 0),
    (Sysctl::v4("arp_notify"), 0),
    (Sysctl::v4("arp_ignore"), ARP_IGNORE_OTHERS),
    (Sysctl::v4("arp_announce"), ARP_ANNOUNCE_OWN),
];

/// An interface of that name as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) index: u32,
    parent: Option<IfIndex>,
    mac: Option<Mac>,
}

impl Device {
    /// Whether it can serve as the device for `parent` and `mac`.
    pub(super) fn is_on(&self, parent: IfIndex, mac: Mac) -> bool {
        self.parent == Some(parent) && self.mac == Some(mac)
    }
}

/// What can be seen of an interface, and changed by anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) mac: Option<Mac>,
    pub(super) mtu: u32,
    pub(super) flags: LinkFlags,
    pub(super) protodown: bool,
    /// The bridge, bond or VRF that it belongs to.
    pub(super) master: Option<u32>,
    /// If it is a VRF, its table.
    pub(super) table: Option<u32>,
    /// If it is a macvlan.
    pub(super) mode: Option<MacVlanMode>,
}

impl Seen {
    pub(super) fn is_up(&self) -> bool {
        self.flags.contains(LinkFlags::Up)
    }

    pub(super) fn of(message: &LinkMessage) -> Self {
        let mut seen = Self {
            flags: message.header.flags,
            ..Self::default()
        };
        for attribute in &message.attributes {
            if let LinkAttribute::IfName(name) = attribute {
                seen.name.clone_from(name);
            } else if let LinkAttribute::Address(bytes) = attribute {
                seen.mac = bytes.as_slice().try_into().ok().map(Mac);
            } else if let LinkAttribute::Mtu(mtu) = attribute {
                seen.mtu = *mtu;
            } else if let LinkAttribute::ProtoDown(down) = attribute {
                seen.protodown = *down != 0;
            } else if let LinkAttribute::Controller(master) = attribute {
                seen.master = Some(*master);
            } else if let LinkAttribute::LinkInfo(infos) = attribute {
                seen.table = infos.iter().find_map(table_of);
                seen.mode = infos.iter().find_map(mode_of);
            }
        }
        seen
    }
}

fn table_of(info: &LinkInfo) -> Option<u32> {
    let LinkInfo::Data(InfoData::Vrf(data)) = info else {
        return None;
    };
    data.iter().find_map(|each| {
        if let InfoVrf::TableId(table) = each {
            Some(*table)
        } else {
            None
        }
    })
}

fn mode_of(info: &LinkInfo) -> Option<MacVlanMode> {
    let LinkInfo::Data(InfoData::MacVlan(data)) = info else {
        return None;
    };
    data.iter().find_map(|each| {
        if let InfoMacVlan::Mode(mode) = each {
            Some(*mode)
        } else {
            None
        }
    })
}

/// What bears the name of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Ours(Device),
    /// Never touched.
    Foreign,
}

/// Looks for the device of `unit`.
///
/// # Errors
/// What the kernel answers.
pub(super) fn find(netlink: &Netlink, unit: Unit) -> Result<Found, NetlinkError> {
    Ok(match netlink.link_named(&unit.to_string())? {
        None => Found::Nothing,
        Some(link) if is_ours(&link) => {
            let mut device = Device {
                index: link.header.index,
                parent: None,
                mac: None,
            };
            for attribute in &link.attributes {
                if let LinkAttribute::Link(parent) = attribute {
                    device.parent = Some(IfIndex(*parent));
                } else if let LinkAttribute::Address(bytes) = attribute {
                    device.mac = bytes.as_slice().try_into().ok().map(Mac);
                }
            }
            Found::Ours(device)
        }
        Some(_) => Found::Foreign,
    })
}

/// Creates the device of `unit`: deaf, without addresses, and down.
///
/// # Errors
/// What the kernel answers.
pub(super) fn create(
    netlink: &Netlink,
    unit: Unit,
    parent: IfIndex,
    mac: Mac,
) -> Result<(), NetlinkError> {
    let message = LinkMacVlan::new(&unit.to_string(), parent.0, MacVlanMode::Source)
        .address(mac.0.to_vec())
        .link_group(GROUP)
        .build();
    netlink.change((
        RouteNetlinkMessage::NewLink(message),
        NLM_F_CREATE | NLM_F_EXCL,
    ))
}

/// Lets the device hear everything that is for its MAC or for all.
pub(super) fn hear(index: u32) -> Change {
    set_mode(index, MacVlanMode::Bridge)
}

/// Makes the device deaf.
pub(super) fn deafen(index: u32) -> Change {
    set_mode(index, MacVlanMode::Source)
}

/// Lets nothing leave from the device, whoever sends: its queue has no room. Programs of others
/// (DHCP clients, arping(8), lldpd(8)) send from every interface that is up, and a frame from a
/// BACKUP with the virtual MAC makes switches send it the MASTER's traffic.
pub(super) fn mute(index: u32) -> Change {
    (queue(index, 0), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Lets frames leave again, if the queue is still ours. Takes microseconds, as
/// [`mute`] does once the queue is there, since the queue itself stays.
pub(super) fn unmute(index: u32) -> Change {
    const FRAMES: u32 = 1000;
    (queue(index, FRAMES), 0)
}

/// pfifo of tc-pfifo(8), which every kernel with queues has, and so many frames.
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
    let message = LinkUnspec::new_with_index(index).up().build();
    (RouteNetlinkMessage::NewLink(message), 0)
}

/// Sets those of `settings` that have a number, of a device or a physical interface: one request,
/// whereas each of them is three system calls by way of /proc. Not in the request that sets a
/// device up: the kernel would do that first.
pub(super) fn configure(index: u32, settings: &[(Sysctl, i32)]) -> Change {
    let mut message = LinkUnspec::new_with_index(index).build();
    message.attributes.push(ipv4_conf(settings));
    (RouteNetlinkMessage::NewLink(message), 0)
}

/// Lets the device have no IPv6 address by itself, which does not depend on /proc.
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
    let message = LinkUnspec::new_with_index(index).arp(true).build();
    (RouteNetlinkMessage::NewLink(message), 0)
}

/// Lets the device use multicast.
pub(super) fn use_multicast(index: u32) -> Change {
    let message = LinkUnspec::new_with_index(index).multicast(true).build();
    (RouteNetlinkMessage::NewLink(message), 0)
}

/// Ends the device's protodown.
pub(super) fn end_protodown(index: u32) -> Change {
    let message = LinkUnspec::new_with_index(index).protodown(false).build();
    (RouteNetlinkMessage::NewLink(message), 0)
}

/// Takes the device out of a bridge or a bond.
pub(super) fn release(index: u32) -> Change {
    let message = LinkUnspec::new_with_index(index).nocontroller().build();
    (RouteNetlinkMessage::NewLink(message), 0)
}

/// Gives the device a name.
pub(super) fn rename(index: u32, name: &str) -> Change {
    let message = LinkUnspec::new_with_index(index).name(name).build();
    (RouteNetlinkMessage::NewLink(message), 0)
}

/// Gives the device a MAC.
pub(super) fn set_mac(index: u32, mac: Mac) -> Change {
    let message = LinkUnspec::new_with_index(index).address(mac.0.to_vec());
    (RouteNetlinkMessage::NewLink(message.build()), 0)
}

/// Gives the device an MTU.
pub(super) fn set_mtu(index: u32, mtu: u32) -> Change {
    let message = LinkUnspec::new_with_index(index).mtu(mtu).build();
    (RouteNetlinkMessage::NewLink(message), 0)
}

/// Sets the device down, which takes milliseconds; nothing if it is gone.
///
/// # Errors
/// What the kernel answers.
pub(super) fn set_down(netlink: &Netlink, index: u32) -> Result<(), NetlinkError> {
    let message = LinkUnspec::new_with_index(index).down().build();
    gone_is_fine(netlink.change((RouteNetlinkMessage::NewLink(message), 0)))
}

/// Removes the device, which takes tens of milliseconds; nothing if it is gone.
///
/// # Errors
/// What the kernel answers.
pub(super) fn delete(netlink: &Netlink, index: u32) -> Result<(), NetlinkError> {
    delete_matching(netlink, LinkUnspec::new_with_index(index).build())
}

/// Removes every device of ours.
///
/// # Errors
/// What the kernel answers.
pub(super) fn delete_all(netlink: &Netlink) -> Result<(), NetlinkError> {
    let (mut ours, mut others) = (Vec::new(), false);
    netlink.each_link(|link| {
        if is_ours(link) {
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

/// Whether carpd made the device.
pub(super) fn is_ours(link: &LinkMessage) -> bool {
    let macvlan = LinkInfo::Kind(InfoKind::MacVlan);
    link.attributes.contains(&LinkAttribute::Group(GROUP))
        && link.attributes.iter().any(|attribute| {
            matches!(attribute, LinkAttribute::LinkInfo(infos) if infos.contains(&macvlan))
        })
}

/// Whether the kernel would put a device on `link` beside it, on the interface below: it does so
/// with every macvlan and macvtap (`macvlan_common_newlink()`). Advertisements from the virtual
/// MAC then reach the device alone, and a BACKUP does not hear them on `link`.
pub(super) fn is_macvlan(link: &LinkMessage) -> bool {
    let kinds = [InfoKind::MacVlan, InfoKind::MacVtap].map(LinkInfo::Kind);
    link.attributes.iter().any(|attribute| {
        matches!(attribute, LinkAttribute::LinkInfo(infos)
            if infos.iter().any(|info| kinds.contains(info)))
    })
}

/// The interface that a device is on (`IFLA_LINK`).
pub(super) fn parent_of(link: &LinkMessage) -> Option<IfIndex> {
    link.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::Link(parent) = attribute {
            Some(IfIndex(*parent))
        } else {
            None
        }
    })
}

/// What every device has while it is deaf.
pub(super) const fn all_settings() -> &'static [(Sysctl, i32)] {
    &SETTINGS
}

/// The same as it can be read back: the kernel rounds times.
pub(super) fn settings() -> impl Iterator<Item = (Sysctl, i32)> {
    let is_time = |sysctl: Sysctl| sysctl.key.ends_with("_interval");
    SETTINGS
        .into_iter()
        .filter(move |(sysctl, _)| !is_time(*sysctl))
}

fn set_mode(index: u32, mode: MacVlanMode) -> Change {
    let message = LinkMessageBuilder::<LinkMacVlan>::new_with_info_kind(InfoKind::MacVlan)
        .index(index)
        .mode(mode)
        .build();
    (RouteNetlinkMessage::NewLink(message), 0)
}

/// `IFLA_AF_SPEC` with `IFLA_INET_CONF`, rtnetlink(7): sysctls by their numbers. The library knows
/// only the form in which the kernel tells them.
fn ipv4_conf(settings: &[(Sysctl, i32)]) -> LinkAttribute {
    const INET_CONF: u16 = 1;
    let numbers = settings
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

/// A device goes with its parent, and then whatever was to become of it has become of it.
pub(super) fn gone_is_fine(result: Result<(), NetlinkError>) -> Result<(), NetlinkError> {
    match result {
        Err(NetlinkError {
            errno: libc::ENODEV,
            ..
        }) => Ok(()),
        result => result,
    }
}
