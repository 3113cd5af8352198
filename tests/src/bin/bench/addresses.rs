//! Plan of addresses: those of the hosts, and those of the virtual hosts.

use std::net::Ipv4Addr;

use crate::engine::Engine;

/// An Ethernet address.
pub(crate) type Mac = [u8; 6];

/// One of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Preferred: `advskew 0`, in VRRP's terms priority 254.
    A,
    /// `advskew 100`, in VRRP's terms priority 156: both wait 3.391 s for a dead master.
    B,
}

impl Place {
    /// Returns its own address on an interface. A's is the higher one, which wins a tie.
    pub(crate) fn address(self, interface: u8) -> Ipv4Addr {
        match self {
            Self::A => Ipv4Addr::new(10, interface, 0, 20),
            Self::B => Ipv4Addr::new(10, interface, 0, 10),
        }
    }

    /// Returns its MAC, as the lab numbers them.
    fn mac(self, interface: u8) -> Mac {
        match self {
            Self::A => [2, 0, 0, 0, 1, interface],
            Self::B => [2, 0, 0, 0, 2, interface],
        }
    }
}

/// A virtual host: its interface, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    /// `eth0` is 0.
    pub(crate) interface: u8,
    /// 1 to 255.
    pub(crate) vhid: u8,
}

impl Group {
    /// Returns `each` groups on each of the interfaces.
    pub(crate) fn all(interfaces: u8, each: u8) -> Vec<Self> {
        let on = |interface| (1..=each).map(move |vhid| Self { interface, vhid });
        (0..interfaces).flat_map(on).collect()
    }

    /// Returns its one address; 16 bits are the subnet's.
    pub(crate) fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.interface, 1, self.vhid)
    }

    /// Returns the MAC of the address while `engine` on `place` holds it.
    pub(crate) fn mac(self, engine: Engine, place: Place) -> Mac {
        if engine.has_virtual_mac() {
            [0x00, 0x00, 0x5e, 0x00, 0x01, self.vhid]
        } else {
            place.mac(self.interface)
        }
    }
}
