//! Ethernet II frames and link-layer addresses.

use core::fmt;
use core::net::IpAddr;

use crate::numbers::Vhid;

/// The `EtherType` of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// The `EtherType` of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// The `EtherType` of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;

/// A link-layer address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Everybody on the segment.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The virtual MAC of a virtual host, `00:00:5e:00:01:VHID`, shared with VRRP.
    #[must_use]
    pub const fn virtual_of(vhid: Vhid) -> Self {
        Self([0x00, 0x00, 0x5e, 0x00, 0x01, vhid.get()])
    }

    /// Where frames to the multicast address `group` go: RFC 1112 §6.4 and RFC 2464 §7.
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

/// One frame without its check sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// To whom.
    pub destination: Mac,
    /// From whom.
    pub source: Mac,
    /// What the payload is.
    pub ethertype: u16,
    /// The rest, padding included.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame; `None` if it is shorter than the 14 bytes of a header.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (destination, rest) = bytes.split_first_chunk()?;
        let (source, rest) = rest.split_first_chunk()?;
        let (ethertype, payload) = rest.split_first_chunk()?;
        Some(Self {
            destination: Mac(*destination),
            source: Mac(*source),
            ethertype: u16::from_be_bytes(*ethertype),
            payload,
        })
    }

    /// The bytes of the frame, not padded to the 60 that the hardware sends at least.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let ethertype = self.ethertype.to_be_bytes();
        [
            &self.destination.0,
            &self.source.0,
            ethertype.as_slice(),
            self.payload,
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: [u8; 16] = [
        0x01, 0x00, 0x5e, 0x00, 0x00, 0x12, // destination
        0x00, 0x00, 0x5e, 0x00, 0x01, 0x07, // source
        0x08, 0x00, 0x45, 0x10,
    ];

    #[test]
    fn a_frame_is_read_and_written() {
        let frame = Frame::parse(&FRAME).unwrap();
        assert_eq!(
            frame.destination,
            Mac::multicast_of("224.0.0.18".parse().unwrap())
        );
        assert_eq!(frame.source, Mac::virtual_of(Vhid::try_from(7).unwrap()));
        assert_eq!(frame.ethertype, ETHERTYPE_IPV4);
        assert_eq!(frame.payload, [0x45, 0x10]);
        assert_eq!(frame.emit(), FRAME);
    }

    #[test]
    fn a_frame_shorter_than_its_header_is_none() {
        assert_eq!(Frame::parse(&FRAME[..13]), None);
        assert!(Frame::parse(&FRAME[..14]).is_some());
    }

    #[test]
    fn multicast_addresses_map_as_the_rfcs_say() {
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
