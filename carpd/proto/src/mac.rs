//! Link-layer addresses.

use core::fmt;
use core::net::IpAddr;

use crate::numbers::Vhid;

/// Link-layer address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Broadcast to the segment.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// MAC of a virtual host: `00:00:5e:00:01:VHID`, as in VRRP.
    #[must_use]
    pub const fn virtual_of(vhid: Vhid) -> Self {
        Self([0x00, 0x00, 0x5e, 0x00, 0x01, vhid.get()])
    }

    /// MAC of the multicast address `group` (RFC 1112 §6.4, RFC 2464 §7).
    #[must_use]
    pub const fn multicast_of(group: IpAddr) -> Self {
        match group {
            IpAddr::V4(group) => {
                let [_, second, third, fourth] = group.octets();
                Self([0x01, 0x00, 0x5e, second & 0x7f, third, fourth])
            }
            IpAddr::V6(group) => {
                let [.., a, b, c, d] = group.octets();
                Self([0x33, 0x33, a, b, c, d])
            }
        }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multicast_mac_is_that_of_the_rfcs() {
        let mac = |group: &str| Mac::multicast_of(group.parse().unwrap()).to_string();
        assert_eq!(mac("224.0.0.18"), "01:00:5e:00:00:12");
        assert_eq!(mac("239.255.1.2"), "01:00:5e:7f:01:02");
        assert_eq!(mac("ff02::12"), "33:33:00:00:00:12");
        assert_eq!(mac("ff02::1:ff12:3456"), "33:33:ff:12:34:56");
    }

    #[test]
    fn a_virtual_mac_ends_in_the_vhid() {
        let mac = Mac::virtual_of(Vhid::try_from(1).unwrap());
        assert_eq!(mac.to_string(), "00:00:5e:00:01:01");
    }
}
