//! Physical interfaces, as the kernel describes them.

use core::fmt;
use core::net::IpAddr;

use ipnet::IpNet;

use crate::mac::Mac;
use crate::settings::{DeviceName, LinkLayer, Settings};

/// Number of a network interface in the kernel; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfIndex(pub u32);

impl fmt::Display for IfIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A physical interface: any network interface that carpd did not create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: IfIndex,
    /// Its name.
    pub name: DeviceName,
    /// Its alternative names (`ip link property add dev eth0 altname lan0`).
    pub other_names: Vec<DeviceName>,
    /// Its own link-layer address.
    pub mac: Mac,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Ethernet-like and multicast-capable: can carry carp interfaces.
    pub capable: bool,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// Has carrier (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// Its own addresses, without virtual and tentative ones.
    pub addresses: Vec<DeviceAddress>,
}

impl Link {
    /// Up and with carrier.
    #[must_use]
    pub const fn works(&self) -> bool {
        self.up && self.carrier
    }

    /// Returns true if `name` is its name or one of its alternative names. The kernel gives a name to one
    /// interface only.
    #[must_use]
    pub fn is_named(&self, name: &DeviceName) -> bool {
        self.name == *name || self.other_names.contains(name)
    }

    /// Returns true if `address` is in one of its subnets.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.holds(address))
    }

    /// Own address whose subnet holds `address`; of several, the one with the longest prefix.
    pub(crate) fn backing(&self, address: IpAddr) -> Option<IpAddr> {
        self.addresses
            .iter()
            .filter(|own| own.holds(address))
            .max_by_key(|own| own.prefix)
            .map(|own| own.address)
    }

    /// Returns true if `address` is one of its own.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.address == address)
    }
}

/// Link-layer address of the virtual addresses of `settings` on `link`; `None` while the vhid, or with
/// `lladdr parent` the physical interface, is missing.
pub(crate) fn link_layer_address(settings: &Settings, link: Option<&Link>) -> Option<Mac> {
    match settings.lladdr {
        LinkLayer::Virtual => settings.vhid.map(Mac::virtual_of),
        LinkLayer::Parent => link.map(|link| link.mac),
    }
}

/// Returns true if `address` is link-local, and so does not identify a network.
pub(crate) fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Router of a default route of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gateway {
    /// Its address.
    pub address: IpAddr,
    /// The interface of the route.
    pub device: IfIndex,
}

/// An address of a physical interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceAddress {
    /// The address.
    pub address: IpAddr,
    /// Its prefix length in bits.
    pub prefix: u8,
}

impl DeviceAddress {
    /// Returns true if `address` is in its subnet.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        IpNet::new(self.address, self.prefix).is_ok_and(|subnet| subnet.contains(&address))
    }
}
