//! Ethernet II frames.

use crate::mac::Mac;

/// The `EtherType` of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// The `EtherType` of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// The `EtherType` of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;

/// A frame without its check sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Destination MAC.
    pub destination: Mac,
    /// Source MAC.
    pub source: Mac,
    /// Type of the payload.
    pub ethertype: u16,
    /// Payload with its padding.
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

    /// Bytes of the frame. The hardware pads them to 60.
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
    use crate::numbers::Vhid;

    const FRAME: [u8; 16] = [
        0x01, 0x00, 0x5e, 0x00, 0x00, 0x12, // destination
        0x00, 0x00, 0x5e, 0x00, 0x01, 0x07, // source
        0x08, 0x00, 0x45, 0x10,
    ];

    #[test]
    fn frame_is_read_and_written() {
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
    fn frame_shorter_than_its_header_is_none() {
        assert_eq!(Frame::parse(&FRAME[..13]), None);
        assert!(Frame::parse(&FRAME[..14]).is_some());
    }
}
