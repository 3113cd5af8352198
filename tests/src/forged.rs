//! Advertisements of a sender that does not know the password.

use std::net::Ipv4Addr;

use carp_proto::Mac;
use carp_proto::wire::carp::{ADVERTISEMENT, AUTHLEN, Header, VERSION};
use carp_proto::wire::ethernet::{ETHERTYPE_IPV4, Frame};
use carp_proto::wire::ipv4;

/// Returns the header of the fastest possible master with `advbase 1`, valid except for its digest.
#[must_use]
pub fn forged(vhid: u8) -> Header {
    Header {
        version: VERSION,
        kind: ADVERTISEMENT,
        vhid,
        advskew: 0,
        authlen: AUTHLEN,
        demotion: 0,
        advbase: 1,
        counter: 1 << 62,
        digest: [7; 20],
    }
}

/// Returns a frame with an IPv4 packet of CARP's protocol.
#[must_use]
pub fn carp_frame(source: Ipv4Addr, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let packet = ipv4::Packet {
        source,
        destination: [224, 0, 0, 18].into(),
        ttl,
        protocol: 112,
        payload,
    };
    Frame {
        destination: Mac([0x01, 0x00, 0x5e, 0x00, 0x00, 0x12]),
        source: Mac([2, 0, 0, 0, 0, 0x77]),
        ethertype: ETHERTYPE_IPV4,
        payload: &packet.emit(),
    }
    .emit()
}
