//! IP packets of either family.

use core::net::IpAddr;

use super::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame};
use super::malformed::Malformed;
use super::{ipv4, ipv6};
use crate::family::Family;

/// Offsets of the protocol in an IPv4 and of the next header in an IPv6 header.
const PROTOCOL_V4: usize = 9;
const NEXT_HEADER_V6: usize = 6;

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Payload, as long as the header says.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads the packet in `frame`.
    ///
    /// # Errors
    /// As [`ipv4::Packet::parse`] and [`ipv6::Packet::parse`].
    pub fn parse(family: Family, frame: &Frame<'a>) -> Result<Self, Malformed> {
        Ok(match family {
            Family::V4 => {
                let packet = ipv4::Packet::parse(frame.payload)?;
                Self {
                    source: packet.source.into(),
                    destination: packet.destination.into(),
                    ttl: packet.ttl,
                    payload: packet.payload,
                }
            }
            Family::V6 => {
                let packet = ipv6::Packet::parse(frame.payload)?;
                Self {
                    source: packet.source.into(),
                    destination: packet.destination.into(),
                    ttl: packet.hop_limit,
                    payload: packet.payload,
                }
            }
        })
    }

    /// Family of the packet.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of(self.source)
    }
}

/// Family of the IP packet in `frame`, if its protocol (next header) is `protocol`. The rest of the
/// header can be malformed.
#[must_use]
pub fn family_of(frame: &Frame<'_>, protocol: u8) -> Option<Family> {
    let (family, offset) = match frame.ethertype {
        ETHERTYPE_IPV4 => (Family::V4, PROTOCOL_V4),
        ETHERTYPE_IPV6 => (Family::V6, NEXT_HEADER_V6),
        _ => return None,
    };
    (frame.payload.get(offset) == Some(&protocol)).then_some(family)
}
