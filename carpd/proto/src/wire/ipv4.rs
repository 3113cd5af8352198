//! IPv4 headers, RFC 791.

use core::net::Ipv4Addr;

use super::checksum::checksum;
use super::malformed::Malformed;

const HEADER: usize = 20;
const LOW_DELAY: u8 = 0x10;
const DONT_FRAGMENT: u16 = 0x4000;
/// Bits that are set in fragments: more fragments, and the offset.
const FRAGMENT: u16 = 0x3fff;

/// A packet. Its options are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// 255 only if the packet was sent on this segment.
    pub ttl: u8,
    /// Type of the payload.
    pub protocol: u8,
    /// Payload, as long as the header says, so without the padding of Ethernet.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet.
    ///
    /// # Errors
    /// The packet is not IPv4, is shorter than its header says, has an impossible header length or a wrong
    /// header checksum, or is a fragment. Advertisements are never fragmented.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        #[rustfmt::skip]
        let &[
            version_length, _, total_high, total_low,
            _, _, fragment_high, fragment_low,
            ttl, protocol, _, _,
            s0, s1, s2, s3,
            d0, d1, d2, d3,
        ] = bytes.first_chunk::<HEADER>().ok_or(Malformed)?;
        let length = usize::from(version_length & 0x0f) * 4;
        let total = usize::from(u16::from_be_bytes([total_high, total_low]));
        let fragment = u16::from_be_bytes([fragment_high, fragment_low]) & FRAGMENT != 0;
        if version_length >> 4 != 4 || length < HEADER || fragment {
            return Err(Malformed);
        }
        let packet = bytes.get(..total).ok_or(Malformed)?;
        let (header, payload) = packet.split_at_checked(length).ok_or(Malformed)?;
        if checksum(&[header]) != 0 {
            return Err(Malformed);
        }
        Ok(Self {
            source: Ipv4Addr::new(s0, s1, s2, s3),
            destination: Ipv4Addr::new(d0, d1, d2, d3),
            ttl,
            protocol,
            payload,
        })
    }

    /// Bytes of the packet as BSD sends advertisements: low delay, not to be fragmented, no identification
    /// (`ip_carp.c`, `carp_send_ad_locked()`). The payload is at most 65515 bytes.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let total = u16::try_from(HEADER + self.payload.len()).unwrap_or(u16::MAX);
        let [total_high, total_low] = total.to_be_bytes();
        let [flags, offset] = DONT_FRAGMENT.to_be_bytes();
        let start = [0x45, LOW_DELAY, total_high, total_low, 0, 0, flags, offset];
        let hops = [self.ttl, self.protocol];
        let (source, destination) = (self.source.octets(), self.destination.octets());
        let sum = checksum(&[&start, &hops, &source, &destination]).to_be_bytes();
        [
            &start,
            hops.as_slice(),
            &sum,
            &source,
            &destination,
            self.payload,
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: [u8; 24] = [
        0x45, 0x10, 0x00, 0x18, 0x00, 0x00, 0x40, 0x00, // length 24, DF
        0xff, 0x70, 0xd9, 0x50, // TTL 255, protocol 112
        0xc0, 0x00, 0x02, 0x02, // 192.0.2.2
        0xe0, 0x00, 0x00, 0x12, // 224.0.0.18
        0x01, 0x02, 0x03, 0x04,
    ];

    fn with(change: impl FnOnce(&mut [u8; 24])) -> [u8; 24] {
        let mut bytes = PACKET;
        change(&mut bytes);
        bytes[10..12].fill(0);
        let length = (usize::from(bytes[0] & 15) * 4).min(24);
        let sum = checksum(&[&bytes[..length]]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    #[test]
    fn packet_is_read_and_written() {
        let packet = Packet::parse(&PACKET).unwrap();
        assert_eq!(packet.source, Ipv4Addr::new(192, 0, 2, 2));
        assert_eq!(packet.destination, Ipv4Addr::new(224, 0, 0, 18));
        assert_eq!((packet.ttl, packet.protocol), (255, 112));
        assert_eq!(packet.payload, [1, 2, 3, 4]);
        assert_eq!(packet.emit(), PACKET);
    }

    #[test]
    fn padding_after_the_length_of_the_header_is_cut_off() {
        let padded = [&PACKET[..], &[0; 22]].concat();
        assert_eq!(Packet::parse(&padded), Packet::parse(&PACKET));
    }

    #[test]
    fn options_are_skipped() {
        let bytes = with(|bytes| bytes[0] = 0x46);
        assert_eq!(Packet::parse(&bytes).unwrap().payload, [] as [u8; 0]);
    }

    #[test]
    fn packet_that_contradicts_itself_is_malformed() {
        let malformed = [
            with(|bytes| bytes[0] = 0x65), // version 6
            with(|bytes| bytes[0] = 0x44), // header of 16 bytes
            with(|bytes| bytes[0] = 0x47), // header longer than the packet
            with(|bytes| bytes[3] = 25),   // longer than what came
            with(|bytes| bytes[3] = 19),   // shorter than a header
            with(|bytes| bytes[6] = 0x20), // more fragments
            with(|bytes| bytes[7] = 1),    // not the first fragment
        ];
        for bytes in malformed {
            assert_eq!(Packet::parse(&bytes), Err(Malformed), "{bytes:02x?}");
        }
        assert_eq!(Packet::parse(&PACKET[..19]), Err(Malformed));
    }

    #[test]
    fn packet_with_a_wrong_header_checksum_is_malformed() {
        let mut bytes = PACKET;
        bytes[15] ^= 1;
        assert_eq!(Packet::parse(&bytes), Err(Malformed));
    }
}
