//! Addresses that physical interfaces have of their own.

use core::net::IpAddr;
use core::ops::Bound;
use std::collections::{BTreeMap, BTreeSet};

use carp_proto::{DeviceAddress, IfIndex, VirtualAddress};

/// Own addresses of all physical interfaces.
#[derive(Debug, Default)]
pub(super) struct OwnAddresses(BTreeMap<IfIndex, Vec<DeviceAddress>>);

impl OwnAddresses {
    /// Replaces the addresses of `interface`.
    pub(super) fn set(&mut self, interface: IfIndex, own: Vec<DeviceAddress>) {
        if own.is_empty() {
            self.0.remove(&interface);
        } else {
            self.0.insert(interface, own);
        }
    }

    /// Returns true if `interface` has a subnet that contains `address` and is wider than its prefix.
    fn is_around(&self, interface: IfIndex, address: VirtualAddress) -> bool {
        let own = self.0.get(&interface).into_iter().flatten();
        let mut wider = own.filter(|own| own.prefix < address.prefix);
        wider.any(|own| own.holds(address.address))
    }

    /// Returns true if there is to be a route to the prefix of `address`, which is on `parent` or on a
    /// device on it.
    pub(super) fn is_routed(&self, parent: Option<IfIndex>, address: VirtualAddress) -> bool {
        let is_around = parent.is_some_and(|parent| self.is_around(parent, address));
        match address.address {
            IpAddr::V4(_) => address.prefix < 32 && !is_around,
            // Link-local addresses are for the link of their own interface.
            IpAddr::V6(v6) if v6.is_unicast_link_local() => true,
            IpAddr::V6(_) => address.prefix < 128 && !is_around,
        }
    }

    /// Returns the IPv4 addresses of other interfaces in the subnets of `interface`, except those that
    /// it has, too: of all interfaces if `interface` has `changed`, and otherwise of the one that has.
    pub(super) fn elsewhere_in_subnets_of(
        &self,
        interface: IfIndex,
        changed: IfIndex,
    ) -> BTreeSet<IpAddr> {
        let own: &[DeviceAddress] = self.0.get(&interface).map_or(&[], Vec::as_slice);
        let concerned = if changed == interface {
            (Bound::Unbounded, Bound::Unbounded)
        } else {
            (Bound::Included(changed), Bound::Included(changed))
        };
        let others = self.0.range(concerned);
        let others = others.filter(|(other, _)| **other != interface);
        others
            .flat_map(|(_, addresses)| addresses)
            .map(|each| each.address)
            .filter(IpAddr::is_ipv4)
            .filter(|address| own.iter().any(|own| own.holds(*address)))
            .filter(|address| !own.iter().any(|own| own.address == *address))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;

    #[test]
    fn only_a_wider_own_subnet_is_around_a_prefix() {
        let own = |text: &str| {
            let net: IpNet = text.parse().unwrap();
            DeviceAddress {
                address: net.addr(),
                prefix: net.prefix_len(),
            }
        };
        let eth0 = IfIndex(2);
        let known = OwnAddresses(BTreeMap::from([(
            eth0,
            vec![own("10.99.0.2/16"), own("2001:db8::2/48")],
        )]));
        let is_around = |text: &str| {
            let DeviceAddress { address, prefix } = own(text);
            known.is_around(eth0, VirtualAddress { address, prefix })
        };
        assert!(is_around("10.99.1.1/24") && is_around("2001:db8::1/64"));
        assert!(!is_around("10.99.1.1/16"), "its own route is better");
        assert!(!is_around("10.99.1.1/15") && !is_around("10.98.1.1/24"));
        assert!(!known.is_around(
            IfIndex(3),
            VirtualAddress {
                address: "10.99.1.1".parse().unwrap(),
                prefix: 24
            }
        ));
    }
}
