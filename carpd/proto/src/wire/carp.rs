//! The CARP header: 36 bytes, big-endian, the same over IPv4 and IPv6.
//!
//! ```text
//!  0       1       2        3        4         5        6   7   8 .. 15   16 .. 35
//! +-------+-------+--------+--------+---------+--------+-------+---------+---------+
//! | 2 | 1 | vhid  | advskew| authlen| demotion| advbase|  sum  | counter | digest  |
//! +-------+-------+--------+--------+---------+--------+-------+---------+---------+
//! ```

use core::net::{Ipv4Addr, Ipv6Addr};

use super::checksum::checksum;
use crate::mac::Mac;

/// Length of a header in bytes.
pub const LENGTH: usize = 36;
/// IP protocol and IPv6 next header, shared with VRRP.
pub const PROTOCOL: u8 = 112;
/// TTL and hop limit of each advertisement.
pub const TTL: u8 = 255;
/// Destination of IPv4 advertisements.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// Destination of IPv6 advertisements.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// The only version.
pub const VERSION: u8 = 2;
/// The only type.
pub const ADVERTISEMENT: u8 = 1;
/// 32-bit words of counter and digest.
pub const AUTHLEN: u8 = 7;
/// `advbase` and `advskew` of a bow-out.
pub const BOW_OUT: u8 = 255;

/// Header of an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// [`VERSION`], 4 bits.
    pub version: u8,
    /// [`ADVERTISEMENT`], 4 bits.
    pub kind: u8,
    /// The virtual host ID.
    pub vhid: u8,
    /// 1/256 seconds.
    pub advskew: u8,
    /// [`AUTHLEN`]. No host checks it.
    pub authlen: u8,
    /// OpenBSD's demotion counter; zero elsewhere.
    pub demotion: u8,
    /// Seconds.
    pub advbase: u8,
    /// Counter. The digest covers it, and BSD hosts accept any.
    pub counter: u64,
    /// HMAC-SHA1.
    pub digest: [u8; 20],
}

/// Error of bytes that are not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer than 36 bytes.
    #[error("shorter than a CARP header")]
    Short,
    /// The checksum of the 36 bytes is wrong.
    #[error("wrong checksum")]
    Checksum,
}

/// Length of the bytes that can follow the header: see [`emit_host`].
pub const HOST_LENGTH: usize = 8;

/// Bytes that follow the header where hosts advertise from one source: the MAC of the sender's physical
/// interface and the complement of its sum, which leaves the checksum of the whole unchanged. BSD hosts
/// ignore them.
#[must_use]
pub fn emit_host(mac: Mac) -> [u8; HOST_LENGTH] {
    let mut host = [0; HOST_LENGTH];
    let bytes = mac.0.into_iter().chain(checksum(&[&mac.0]).to_be_bytes());
    host.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    host
}

/// MAC that follows the header in `payload`, if one does.
#[must_use]
pub fn parse_host(payload: &[u8]) -> Option<Mac> {
    let host: &[u8; HOST_LENGTH] = payload.get(LENGTH..)?.try_into().ok()?;
    let mac = host.first_chunk().map(|mac| Mac(*mac));
    mac.filter(|_| checksum(&[host]) == 0)
}

impl Header {
    /// Reads a header of any version. Bytes after the first 36 are ignored.
    ///
    /// # Errors
    /// One for each counter that a fault raises.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let header = bytes.first_chunk::<LENGTH>().ok_or(HeaderError::Short)?;
        if checksum(&[header]) != 0 {
            return Err(HeaderError::Checksum);
        }
        let (start, rest) = header.split_first_chunk::<8>().ok_or(HeaderError::Short)?;
        let (counter, rest) = rest.split_first_chunk::<8>().ok_or(HeaderError::Short)?;
        let digest = rest.first_chunk::<20>().ok_or(HeaderError::Short)?;
        let &[
            version_kind,
            vhid,
            advskew,
            authlen,
            demotion,
            advbase,
            _,
            _,
        ] = start;
        Ok(Self {
            version: version_kind >> 4,
            kind: version_kind & 0x0f,
            vhid,
            advskew,
            authlen,
            demotion,
            advbase,
            counter: u64::from_be_bytes(*counter),
            digest: *digest,
        })
    }

    /// Bytes of the header, with their checksum.
    #[must_use]
    pub fn emit(&self) -> [u8; LENGTH] {
        let version_kind = self.version << 4 | self.kind & 0x0f;
        let words = [
            version_kind,
            self.vhid,
            self.advskew,
            self.authlen,
            self.demotion,
            self.advbase,
        ];
        let counter = self.counter.to_be_bytes();
        let sum = checksum(&[&words, &counter, &self.digest]).to_be_bytes();
        let mut bytes = [0; LENGTH];
        let fields = words.iter().chain(&sum).chain(&counter).chain(&self.digest);
        for (byte, field) in bytes.iter_mut().zip(fields) {
            *byte = *field;
        }
        bytes
    }

    /// Returns true for a bow-out.
    #[must_use]
    pub const fn is_bow_out(&self) -> bool {
        self.advbase == BOW_OUT && self.advskew == BOW_OUT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_after_the_header_leaves_the_checksum_unchanged() {
        let mac = Mac([2, 0, 0, 0xff, 1, 9]);
        let host = emit_host(mac);
        let payload = [&HEADER[..], &host].concat();
        assert_eq!(checksum(&[&payload]), 0);
        assert_eq!(parse_host(&payload), Some(mac));
        assert_eq!(parse_host(&HEADER), None);
        assert_eq!(parse_host(&[&payload[..], &[0]].concat()), None);
        let other = [&HEADER[..], &[7; HOST_LENGTH]].concat();
        assert_eq!(parse_host(&other), None);
    }

    /// Header of DragonFly for vhid 5, pass `demotekey`, 192.0.2.55, counter 0x55.
    const HEADER: [u8; LENGTH] = [
        0x21, 0x05, 0xf0, 0x07, 0x00, 0x01, 0x63, 0xc7, // advskew 240, advbase 1
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x55, // counter
        0xbf, 0x99, 0xac, 0x69, 0x7a, 0xe3, 0x64, 0xbb, 0xe4, 0x8c, // digest
        0x0f, 0xdc, 0xf8, 0x5e, 0xf0, 0xbe, 0x24, 0x60, 0x3d, 0x4c,
    ];

    #[test]
    fn header_is_read_and_written() {
        let header = Header::parse(&HEADER).unwrap();
        assert_eq!(
            (header.version, header.kind, header.authlen),
            (VERSION, ADVERTISEMENT, 7)
        );
        assert_eq!((header.vhid, header.advbase, header.advskew), (5, 1, 240));
        assert_eq!((header.demotion, header.counter), (0, 0x55));
        assert_eq!(header.digest, HEADER[16..]);
        assert_eq!(header.emit(), HEADER);
    }

    #[test]
    fn bytes_after_the_header_are_ignored() {
        let longer = [&HEADER[..], &[0xff; 9]].concat();
        assert_eq!(Header::parse(&longer), Header::parse(&HEADER));
    }

    #[test]
    fn fewer_bytes_than_a_header_are_short() {
        assert_eq!(Header::parse(&HEADER[..35]), Err(HeaderError::Short));
        assert_eq!(Header::parse(&[]), Err(HeaderError::Short));
    }

    #[test]
    fn header_with_a_flipped_bit_has_a_wrong_checksum() {
        for bit in 0..LENGTH * 8 {
            let mut bytes = HEADER;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                Header::parse(&bytes),
                Err(HeaderError::Checksum),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn header_of_another_version_is_read() {
        let other = Header {
            version: 3,
            kind: 4,
            ..Header::parse(&HEADER).unwrap()
        };
        assert_eq!(Header::parse(&other.emit()), Ok(other));
    }

    #[test]
    fn bow_out_is_255_and_255_alone() {
        let header = Header::parse(&HEADER).unwrap();
        assert!(
            Header {
                advbase: 255,
                advskew: 255,
                ..header
            }
            .is_bow_out()
        );
        assert!(
            !Header {
                advbase: 255,
                advskew: 254,
                ..header
            }
            .is_bow_out()
        );
        assert!(
            !Header {
                advbase: 254,
                advskew: 255,
                ..header
            }
            .is_bow_out()
        );
    }
}
