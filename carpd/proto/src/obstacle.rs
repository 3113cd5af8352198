//! Obstacles: reasons why a carp interface stays in INIT, in words for an administrator.

use core::net::IpAddr;

use crate::name::Unit;
use crate::numbers::Vhid;
use crate::reason::Reason;
use crate::settings::{DeviceName, VirtualAddress};
use crate::warning::Have;

/// Reason why a carp interface stays in INIT. The text contains the remedy where it is not obvious.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// `down`, or not yet `up`.
    #[error("administratively down")]
    AdministrativelyDown,
    /// No vhid.
    #[error("no vhid set")]
    NoVhid,
    /// No address.
    #[error("no address set")]
    NoAddress,
    /// The `carpdev` does not exist.
    #[error("{}", Absent(.0))]
    NoDevice(DeviceName),
    /// The `carpdev` exists, but cannot carry CARP.
    #[error("{0} cannot carry CARP: an Ethernet-like interface with multicast is needed")]
    UnfitDevice(DeviceName),
    /// No `carpdev` is named, and none can be chosen for this address.
    #[error("no physical interface has an address in {}: name one with carpdev", Subnet(*.0))]
    NoSubnet(VirtualAddress),
    /// No `carpdev` is named, and several interfaces have the link-local subnet.
    #[error("{}: name one with carpdev", Have { devices, address: *.address })]
    SeveralDevices {
        /// The link-local address.
        address: IpAddr,
        /// All these interfaces.
        devices: Vec<DeviceName>,
    },
    /// The physical interface is down.
    #[error("{0} is down")]
    DeviceDown(DeviceName),
    /// The physical interface has no carrier.
    #[error("{0} has no carrier")]
    NoCarrier(DeviceName),
    /// Another carp interface has this vhid on the same physical interface.
    #[error("vhid {vhid} is already used by {by} on {device}")]
    VhidTaken {
        /// The vhid.
        vhid: Vhid,
        /// Carp interface that has it.
        by: Unit,
        /// Physical interface.
        device: DeviceName,
    },
    /// The kernel refused the device, with this message.
    #[error("the kernel refused the device: {0}")]
    DeviceRefused(String),
}

/// Reason why a virtual host cannot run although its settings and its physical interface allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Impediment {
    /// Another carp interface has its vhid.
    VhidTaken,
    /// The kernel refused its device, with this message.
    DeviceRefused(String),
}

impl Impediment {
    /// Reason for the change to INIT.
    pub(crate) const fn reason(&self) -> Reason {
        match self {
            Self::VhidTaken => Reason::VhidTaken,
            Self::DeviceRefused(_) => Reason::DeviceRefused,
        }
    }
}

/// Subnet of a virtual address; for the prefix of a single host, any subnet.
struct Subnet(VirtualAddress);

impl core::fmt::Display for Subnet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let VirtualAddress { address, prefix } = self.0;
        let alone = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        match ipnet::IpNet::new(address, prefix) {
            Ok(subnet) if prefix < alone => write!(f, "{}", subnet.trunc()),
            Ok(_) | Err(_) => write!(f, "a subnet that holds {address}"),
        }
    }
}

/// Name of an interface that does not exist, with the mistake that it shows.
struct Absent<'a>(&'a DeviceName);

impl core::fmt::Display for Absent<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name = self.0.as_str();
        if name.parse::<Unit>().is_ok() {
            return write!(
                f,
                "{name} is a carp interface: carpdev names a physical one"
            );
        }
        write!(f, "there is no interface {name}")?;
        // ip(8) shows a device with the one below it, as in eth0@if7.
        match name.split_once('@') {
            Some((name, _)) if !name.is_empty() => {
                write!(f, ": write {name}, without what ip(8) shows behind @")
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_subnet(address: &str, prefix: u8) -> String {
        let address = address.parse().unwrap();
        Obstacle::NoSubnet(VirtualAddress { address, prefix }).to_string()
    }

    #[test]
    fn missing_device_is_reported_with_the_mistake_in_its_name() {
        for (name, text) in [
            ("eth9", "there is no interface eth9"),
            (
                "eth0@if7",
                "there is no interface eth0@if7: write eth0, without what ip(8) shows behind @",
            ),
            ("@if7", "there is no interface @if7"),
            (
                "carp0",
                "carp0 is a carp interface: carpdev names a physical one",
            ),
        ] {
            let name = DeviceName::new(name).unwrap();
            assert_eq!(Obstacle::NoDevice(name).to_string(), text);
        }
    }

    #[test]
    fn missing_subnet_is_reported_as_a_network() {
        assert_eq!(
            no_subnet("192.0.2.1", 24),
            "no physical interface has an address in 192.0.2.0/24: name one with carpdev"
        );
        assert_eq!(
            no_subnet("2001:db8::1", 64),
            "no physical interface has an address in 2001:db8::/64: name one with carpdev"
        );
        assert_eq!(
            no_subnet("192.0.2.1", 32),
            "no physical interface has an address in a subnet that holds 192.0.2.1: name one with \
             carpdev"
        );
    }
}
