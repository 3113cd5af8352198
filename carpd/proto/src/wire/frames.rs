//! Whole frames that carpd sends.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::carp::{GROUP_V4, GROUP_V6, Header, PROTOCOL, TTL, emit_host};
use super::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame};
use super::{arp, ipv4, ipv6, ndisc};
use crate::mac::Mac;

/// Advertisement to the CARP group of the family of `source`.
#[must_use]
pub fn advertisement(source_mac: Mac, source: IpAddr, header: &Header) -> Vec<u8> {
    to_group(source_mac, source, &header.emit())
}

/// The same from a source that other hosts may use too, with the MAC that identifies this host.
#[must_use]
pub fn advertisement_of(source_mac: Mac, source: IpAddr, host: Mac, header: &Header) -> Vec<u8> {
    let payload = [&header.emit()[..], &emit_host(host)].concat();
    to_group(source_mac, source, &payload)
}

fn to_group(source_mac: Mac, source: IpAddr, payload: &[u8]) -> Vec<u8> {
    let (ethertype, group, packet) = match source {
        IpAddr::V4(source) => (
            ETHERTYPE_IPV4,
            IpAddr::V4(GROUP_V4),
            ipv4::Packet {
                source,
                destination: GROUP_V4,
                ttl: TTL,
                protocol: PROTOCOL,
                payload,
            }
            .emit(),
        ),
        IpAddr::V6(source) => (
            ETHERTYPE_IPV6,
            IpAddr::V6(GROUP_V6),
            ipv6::Packet {
                source,
                destination: GROUP_V6,
                hop_limit: TTL,
                next_header: PROTOCOL,
                payload,
            }
            .emit(),
        ),
    };
    let destination = Mac::multicast_of(group);
    Frame {
        destination,
        source: source_mac,
        ethertype,
        payload: &packet,
    }
    .emit()
}

/// Announces that `address` is at `mac`, in the form that no host answers.
///
/// Sender and target are equal, both addresses and MACs: `arp_process()` of Linux recognises a gratuitous
/// reply by that.
#[must_use]
pub fn gratuitous_arp_reply(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    let packet = arp::Packet {
        operation: arp::Operation::Reply,
        sender_mac: mac,
        sender: address,
        target_mac: mac,
        target: address,
    };
    arp_frame(mac, Mac::BROADCAST, &packet)
}

/// Announces that `address` is at `mac`, in the form of RFC 5227 §3, for neighbours that ignore gratuitous
/// replies. A host that still has the address answers.
#[must_use]
pub fn gratuitous_arp_request(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    let packet = arp::Packet {
        operation: arp::Operation::Request,
        sender_mac: mac,
        sender: address,
        target_mac: Mac([0; 6]),
        target: address,
    };
    arp_frame(mac, Mac::BROADCAST, &packet)
}

/// Answers the request of `to_address` at `to_mac` for `address`.
#[must_use]
pub fn arp_reply(mac: Mac, address: Ipv4Addr, to_mac: Mac, to_address: Ipv4Addr) -> Vec<u8> {
    let packet = arp::Packet {
        operation: arp::Operation::Reply,
        sender_mac: mac,
        sender: address,
        target_mac: to_mac,
        target: to_address,
    };
    arp_frame(mac, to_mac, &packet)
}

/// Announces to all nodes that `address` is at `mac`.
#[must_use]
pub fn neighbour_advertisement(mac: Mac, address: Ipv6Addr) -> Vec<u8> {
    let message = ndisc::Advertisement {
        target: address,
        mac,
    }
    .emit();
    let packet = ipv6::Packet {
        source: address,
        destination: ndisc::ALL_NODES,
        hop_limit: ndisc::HOP_LIMIT,
        next_header: ndisc::PROTOCOL,
        payload: &message,
    };
    let destination = Mac::multicast_of(ndisc::ALL_NODES.into());
    Frame {
        destination,
        source: mac,
        ethertype: ETHERTYPE_IPV6,
        payload: &packet.emit(),
    }
    .emit()
}

fn arp_frame(source: Mac, destination: Mac, packet: &arp::Packet) -> Vec<u8> {
    Frame {
        destination,
        source,
        ethertype: ETHERTYPE_ARP,
        payload: &packet.emit(),
    }
    .emit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::carp::{ADVERTISEMENT, AUTHLEN, VERSION};

    const MAC: Mac = Mac([0x00, 0x00, 0x5e, 0x00, 0x01, 0x07]);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
    const HEADER: Header = Header {
        version: VERSION,
        kind: ADVERTISEMENT,
        vhid: 7,
        advskew: 0,
        authlen: AUTHLEN,
        demotion: 0,
        advbase: 1,
        counter: 1,
        digest: [0xaa; 20],
    };

    #[test]
    fn advertisement_goes_to_the_group_from_the_virtual_mac() {
        let bytes = advertisement(MAC, "192.0.2.2".parse().unwrap(), &HEADER);
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!(frame.destination.to_string(), "01:00:5e:00:00:12");
        assert_eq!(frame.source, MAC);
        let packet = ipv4::Packet::parse(frame.payload).unwrap();
        assert_eq!(
            (packet.destination, packet.ttl, packet.protocol),
            (GROUP_V4, 255, 112)
        );
        assert_eq!(Header::parse(packet.payload), Ok(HEADER));
    }

    #[test]
    fn ipv6_advertisement_goes_to_its_group() {
        let bytes = advertisement(MAC, "fe80::2".parse().unwrap(), &HEADER);
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!(frame.destination.to_string(), "33:33:00:00:00:12");
        let packet = ipv6::Packet::parse(frame.payload).unwrap();
        assert_eq!((packet.destination, packet.hop_limit), (GROUP_V6, 255));
        assert_eq!(
            (packet.next_header, Header::parse(packet.payload)),
            (112, Ok(HEADER))
        );
    }

    #[test]
    fn gratuitous_reply_has_equal_sender_and_target() {
        let bytes = gratuitous_arp_reply(MAC, ADDRESS);
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!((frame.destination, frame.source), (Mac::BROADCAST, MAC));
        let packet = arp::Packet::parse(frame.payload).unwrap();
        assert_eq!(packet.operation, arp::Operation::Reply);
        assert_eq!((packet.sender, packet.target), (ADDRESS, ADDRESS));
        assert_eq!((packet.sender_mac, packet.target_mac), (MAC, MAC));
    }

    #[test]
    fn gratuitous_request_asks_for_its_own_address() {
        let bytes = gratuitous_arp_request(MAC, ADDRESS);
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!((frame.destination, frame.source), (Mac::BROADCAST, MAC));
        let packet = arp::Packet::parse(frame.payload).unwrap();
        assert_eq!(packet.operation, arp::Operation::Request);
        assert_eq!((packet.sender, packet.target), (ADDRESS, ADDRESS));
        assert_eq!((packet.sender_mac, packet.target_mac), (MAC, Mac([0; 6])));
    }

    #[test]
    fn reply_goes_to_the_host_that_asked() {
        let (asker, asker_mac) = (Ipv4Addr::new(192, 0, 2, 9), Mac([2, 0, 0, 0, 0, 9]));
        let bytes = arp_reply(MAC, ADDRESS, asker_mac, asker);
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!((frame.destination, frame.source), (asker_mac, MAC));
        let packet = arp::Packet::parse(frame.payload).unwrap();
        assert_eq!((packet.sender, packet.sender_mac), (ADDRESS, MAC));
        assert_eq!((packet.target, packet.target_mac), (asker, asker_mac));
    }

    #[test]
    fn neighbour_advertisement_goes_to_all_nodes() {
        let address: Ipv6Addr = "2001:db8::100".parse().unwrap();
        let bytes = neighbour_advertisement(MAC, address);
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!(frame.destination.to_string(), "33:33:00:00:00:01");
        assert_eq!(frame.source, MAC);
        let packet = ipv6::Packet::parse(frame.payload).unwrap();
        assert_eq!((packet.source, packet.hop_limit), (address, 255));
        let read = ndisc::Advertisement::parse(packet.source, packet.payload).unwrap();
        assert_eq!((read.target, read.mac), (address, MAC));
    }
}
