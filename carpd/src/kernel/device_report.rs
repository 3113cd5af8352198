//! Network devices as the kernel reports them.

use carp_proto::{IfIndex, Mac};
use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, Inet6DevConf, InetDevConf, InfoData, InfoKind,
    InfoMacVlan, InfoVrf, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};

use super::sysctl::Sysctl;

/// `IFLA_GROUP` of all devices that carpd makes, "carp" in ASCII. It identifies them after a crash, and
/// one request deletes them all, which takes as long as deleting three of them one by one.
pub(super) const GROUP: u32 = 0x6361_7270;

/// Report of one device. Attributes that the message leaves out have their default.
#[derive(Clone, Debug, Default)]
pub(super) struct DeviceReport {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) mac: Option<Mac>,
    pub(super) mtu: u32,
    pub(super) flags: LinkFlags,
    pub(super) is_protodown: bool,
    /// Physical interface of a macvlan (`IFLA_LINK`).
    pub(super) parent: Option<IfIndex>,
    /// Bridge, bond or VRF to which the device belongs.
    pub(super) master: Option<u32>,
    /// Routing table of a VRF.
    pub(super) table: Option<u32>,
    /// Mode of a macvlan.
    pub(super) mode: Option<MacVlanMode>,
    /// Set for a macvlan or macvtap. The kernel puts a macvlan on such a device beside it, on the
    /// interface below (`macvlan_common_newlink()`). Advertisements from the virtual MAC then reach the
    /// new one alone, so a BACKUP does not receive them on this device.
    pub(super) is_macvlan: bool,
    /// Set if carpd made the device.
    pub(super) is_ours: bool,
    v4: Option<InetDevConf>,
    /// `None` without IPv6.
    v6: Option<Inet6DevConf>,
}

impl DeviceReport {
    pub(super) fn of(message: &LinkMessage) -> Self {
        let mut report = Self {
            index: message.header.index,
            flags: message.header.flags,
            is_ours: is_ours(message),
            ..Self::default()
        };
        for attribute in &message.attributes {
            if let LinkAttribute::IfName(name) = attribute {
                report.name.clone_from(name);
            } else if let LinkAttribute::Address(bytes) = attribute {
                report.mac = bytes.as_slice().try_into().ok().map(Mac);
            } else if let LinkAttribute::Mtu(mtu) = attribute {
                report.mtu = *mtu;
            } else if let LinkAttribute::ProtoDown(down) = attribute {
                report.is_protodown = *down != 0;
            } else if let LinkAttribute::Link(parent) = attribute {
                report.parent = Some(IfIndex(*parent));
            } else if let LinkAttribute::Controller(master) = attribute {
                report.master = Some(*master).filter(|master| *master != 0);
            } else if let LinkAttribute::LinkInfo(infos) = attribute {
                for info in infos {
                    report.add_info(info);
                }
            } else if let LinkAttribute::AfSpecUnspec(families) = attribute {
                for family in families {
                    report.add_sysctls(family);
                }
            }
        }
        report
    }

    /// Returns true if the device is administratively up.
    pub(super) fn is_up(&self) -> bool {
        self.flags.contains(LinkFlags::Up)
    }

    /// Returns the value of `sysctl`; `None` if the kernel does not report it.
    pub(super) fn sysctl(&self, sysctl: Sysctl) -> Option<i32> {
        sysctl.reported(self.v4.as_ref(), self.v6.as_ref())
    }

    fn add_info(&mut self, info: &LinkInfo) {
        if let LinkInfo::Kind(kind) = info {
            self.is_macvlan = matches!(kind, InfoKind::MacVlan | InfoKind::MacVtap);
        } else if let LinkInfo::Data(InfoData::MacVlan(data)) = info {
            for each in data {
                if let InfoMacVlan::Mode(mode) = each {
                    self.mode = Some(*mode);
                }
            }
        } else if let LinkInfo::Data(InfoData::Vrf(data)) = info {
            for each in data {
                if let InfoVrf::TableId(table) = each {
                    self.table = Some(*table);
                }
            }
        }
    }

    fn add_sysctls(&mut self, family: &AfSpecUnspec) {
        if let AfSpecUnspec::Inet(attributes) = family {
            for attribute in attributes {
                if let AfSpecInet::DevConf(conf) = attribute {
                    self.v4 = Some(*conf);
                }
            }
        } else if let AfSpecUnspec::Inet6(attributes) = family {
            for attribute in attributes {
                if let AfSpecInet6::DevConf(conf) = attribute {
                    self.v6 = Some(*conf);
                }
            }
        }
    }
}

/// Returns true if carpd made the device.
pub(super) fn is_ours(message: &LinkMessage) -> bool {
    let macvlan = LinkInfo::Kind(InfoKind::MacVlan);
    message.attributes.contains(&LinkAttribute::Group(GROUP))
        && message.attributes.iter().any(|attribute| {
            matches!(attribute, LinkAttribute::LinkInfo(infos) if infos.contains(&macvlan))
        })
}
