//! Warnings: settings that work but are probably mistakes.

use core::fmt;
use core::net::IpAddr;

use crate::settings::{DeviceName, VirtualAddress};

/// Number of items of a long list that are named.
const NAMED: usize = 3;

/// Setting of a carp interface that works but is probably a mistake. The text contains the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// No `carpdev` is named, and several physical interfaces are equally good.
    #[error(
        "{chosen} is used, and {} too: name one with carpdev",
        Have { devices: others, address: *.address }
    )]
    SeveralDevices {
        /// The virtual address that decided.
        address: IpAddr,
        /// The chosen physical interface.
        chosen: DeviceName,
        /// The others; at least one.
        others: Vec<DeviceName>,
    },
    /// A virtual address is an address of the physical interface.
    #[error(
        "{address} is also an address of {device} itself, which never gives it away: while another \
         host is MASTER, both answer for it"
    )]
    Owner {
        /// The address.
        address: IpAddr,
        /// The physical interface.
        device: DeviceName,
    },
    /// A virtual address is an address of another interface of this host.
    #[error(
        "{address} is also an address of {device}: while another host is MASTER, what this host \
         sends to it stays here"
    )]
    Elsewhere {
        /// The address.
        address: IpAddr,
        /// The other interface.
        device: DeviceName,
    },
    /// Neither a virtual address nor anything else brings a route to its neighbours.
    #[error(
        "{}/{} brings no route, and {device} has no address in a subnet that holds it: hosts there \
         get no answers unless a route leads to them", .address.address, .address.prefix
    )]
    NoRoute {
        /// The address.
        address: VirtualAddress,
        /// The physical interface.
        device: DeviceName,
    },
    /// A virtual address is that of a router of a default route.
    #[error(
        "{0} is the gateway of a default route of this host, which leads nowhere while it is MASTER"
    )]
    Gateway(IpAddr),
}

/// `eth1, eth2 and 3 more have an address in the subnet of 192.0.2.1`
pub(crate) struct Have<'a> {
    pub(crate) devices: &'a [DeviceName],
    pub(crate) address: IpAddr,
}

impl fmt::Display for Have<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { devices, address } = self;
        let more = devices.len().saturating_sub(NAMED);
        for (number, device) in devices.iter().take(NAMED).enumerate() {
            match number {
                0 => {}
                _ if number + 1 == devices.len() => f.write_str(" and ")?,
                _ => f.write_str(", ")?,
            }
            device.fmt(f)?;
        }
        if more > 0 {
            write!(f, " and {more} more")?;
        }
        let verb = if devices.len() == 1 { "has" } else { "have" };
        write!(f, " {verb} an address in the subnet of {address}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<DeviceName> {
        names
            .iter()
            .map(|name| DeviceName::new(name).unwrap())
            .collect()
    }

    #[test]
    fn several_devices_names_three_and_counts_the_rest() {
        let warning = |others: &[&str]| {
            let several = Warning::SeveralDevices {
                address: IpAddr::from([192, 0, 2, 1]),
                chosen: DeviceName::new("eth0").unwrap(),
                others: names(others),
            };
            several.to_string()
        };
        let line = |others: &str| {
            format!(
                "eth0 is used, and {others} an address in the subnet of 192.0.2.1 too: name one \
                 with carpdev"
            )
        };
        assert_eq!(warning(&["eth1"]), line("eth1 has"));
        assert_eq!(warning(&["eth1", "eth2"]), line("eth1 and eth2 have"));
        assert_eq!(
            warning(&["a", "b", "c", "d", "e"]),
            line("a, b, c and 2 more have")
        );
    }
}
