//! Unsolicited neighbour advertisements, RFC 4861 §4.4.

use core::net::Ipv6Addr;

use super::checksum::checksum;
use super::malformed::Malformed;
use crate::mac::Mac;

/// The next header of `ICMPv6`.
pub const PROTOCOL: u8 = 58;
/// The hop limit of every neighbour discovery packet.
pub const HOP_LIMIT: u8 = 255;
/// All nodes of the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

const LENGTH: u8 = 32;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// Override, so that neighbours replace their entry; router, as in VRRP (RFC 9568 §6.4.1), because a
/// neighbour stops using a default router that advertises itself without it (RFC 4861 §7.2.5).
const ROUTER_AND_OVERRIDE: u8 = 0xa0;
/// Target link-layer address, one unit of 8 bytes.
const TARGET_LINK_LAYER_ADDRESS: [u8; 2] = [2, 1];

/// Advertisement to all nodes of the link that `target` is at `mac`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// Virtual address, which is also the source of the packet.
    pub target: Ipv6Addr,
    /// MAC of the target.
    pub mac: Mac,
}

impl Advertisement {
    /// Reads the payload of a packet from `source` to [`ALL_NODES`].
    ///
    /// # Errors
    /// The payload differs from the form that [`emit`](Self::emit) writes, or its checksum is wrong.
    pub fn parse(source: Ipv6Addr, bytes: &[u8]) -> Result<Self, Malformed> {
        let (_, rest) = bytes.split_first_chunk::<8>().ok_or(Malformed)?;
        let (target, rest) = rest.split_first_chunk::<16>().ok_or(Malformed)?;
        let (_, mac) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
        let mac = <[u8; 6]>::try_from(mac).map_err(|_| Malformed)?;
        let this = Self {
            target: (*target).into(),
            mac: Mac(mac),
        };
        if source == this.target && bytes == this.emit() {
            Ok(this)
        } else {
            Err(Malformed)
        }
    }

    /// `ICMPv6` message for a packet from the target to [`ALL_NODES`].
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let start = [NEIGHBOUR_ADVERTISEMENT, 0];
        let flags = [ROUTER_AND_OVERRIDE, 0, 0, 0];
        let target = self.target.octets();
        let pseudo_header_end = [0, 0, 0, LENGTH, 0, 0, 0, PROTOCOL];
        let sum = checksum(&[
            &target,
            &ALL_NODES.octets(),
            &pseudo_header_end,
            &start,
            &flags,
            &target,
            &TARGET_LINK_LAYER_ADDRESS,
            &self.mac.0,
        ])
        .to_be_bytes();
        [
            start.as_slice(),
            &sum,
            &flags,
            &target,
            &TARGET_LINK_LAYER_ADDRESS,
            &self.mac.0,
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADVERTISEMENT: Advertisement = Advertisement {
        target: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100),
        mac: Mac([0x00, 0x00, 0x5e, 0x00, 0x01, 0x07]),
    };
    const BYTES: [u8; 32] = [
        0x88, 0x00, 0x00, 0x00, 0xa0, 0x00, 0x00, 0x00, // router, override
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x00, // 2001:db8::100
        0x02, 0x01, 0x00, 0x00, 0x5e, 0x00, 0x01, 0x07, // its link-layer address
    ];

    #[test]
    fn advertisement_is_written_and_read() {
        let bytes = ADVERTISEMENT.emit();
        assert_eq!((&bytes[..2], &bytes[4..]), (&BYTES[..2], &BYTES[4..]));
        assert_eq!(
            Advertisement::parse(ADVERTISEMENT.target, &bytes),
            Ok(ADVERTISEMENT)
        );
    }

    #[test]
    fn checksum_covers_the_pseudo_header() {
        let sum = ADVERTISEMENT.emit()[2..4].to_vec();
        let mut packet = ADVERTISEMENT.target.octets().to_vec();
        packet.extend(ALL_NODES.octets());
        packet.extend([0, 0, 0, 32, 0, 0, 0, 58]);
        packet.extend(BYTES);
        assert_eq!(checksum(&[&packet]).to_be_bytes(), sum[..]);
    }

    #[test]
    fn advertisement_with_a_flipped_bit_is_malformed() {
        let good = ADVERTISEMENT.emit();
        for bit in 0..32 * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let read = Advertisement::parse(ADVERTISEMENT.target, &bytes);
            assert_eq!(read, Err(Malformed), "bit {bit}");
        }
        assert_eq!(
            Advertisement::parse(ADVERTISEMENT.target, &good[..31]),
            Err(Malformed)
        );
    }
}
