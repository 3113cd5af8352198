//! Wire formats: any bytes can be parsed, and each value that is emitted is parsed as the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carp_proto::wire::carp::Header;
use carp_proto::wire::ethernet::Frame;
use carp_proto::wire::{arp, frames, ipv4, ipv6, ndisc};
use carp_proto::{Digests, Form, Key, Mac, Mismatch, Vhid};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

fn mac() -> impl Strategy<Value = Mac> {
    any::<[u8; 6]>().prop_map(Mac)
}

prop_compose! {
    fn header()(
        version in 0..16_u8,
        kind in 0..16_u8,
        [vhid, advskew, authlen, demotion, advbase] in any::<[u8; 5]>(),
        counter: u64,
        digest: [u8; 20],
    ) -> Header {
        Header { version, kind, vhid, advskew, authlen, demotion, advbase, counter, digest }
    }
}

proptest! {
    #[test]
    fn parsers_accept_any_bytes_without_panic(bytes in vec(any::<u8>(), 0..128), source: Ipv6Addr) {
        let _ = Frame::parse(&bytes);
        let _ = ipv4::Packet::parse(&bytes);
        let _ = ipv6::Packet::parse(&bytes);
        let _ = Header::parse(&bytes);
        let _ = arp::Packet::parse(&bytes);
        let _ = ndisc::Advertisement::parse(source, &bytes);
    }

    #[test]
    fn parsers_accept_a_damaged_advertisement_without_panic(
        header in header(),
        source: IpAddr,
        damage in vec((any::<Index>(), any::<u8>()), 0..4),
        length: Index,
    ) {
        let mut bytes = frames::advertisement(Mac::BROADCAST, source, &header);
        for (at, value) in damage {
            *at.get_mut(&mut bytes) = value;
        }
        bytes.truncate(length.index(bytes.len() + 1));
        if let Some(frame) = Frame::parse(&bytes) {
            if let Ok(packet) = ipv4::Packet::parse(frame.payload) {
                prop_assert!(packet.payload.len() <= frame.payload.len());
                let _ = Header::parse(packet.payload);
            }
            if let Ok(packet) = ipv6::Packet::parse(frame.payload) {
                prop_assert!(packet.payload.len() <= frame.payload.len());
                let _ = Header::parse(packet.payload);
            }
        }
    }

    #[test]
    fn advertisement_is_written_and_read(header in header(), source: IpAddr, mac in mac()) {
        let mut bytes = frames::advertisement(mac, source, &header);
        bytes.resize(bytes.len().max(60), 0);
        let frame = Frame::parse(&bytes).unwrap();
        prop_assert_eq!(frame.source, mac);
        let payload = match source {
            IpAddr::V4(source) => {
                let packet = ipv4::Packet::parse(frame.payload).unwrap();
                prop_assert_eq!((packet.source, packet.ttl), (source, 255));
                packet.payload
            }
            IpAddr::V6(source) => {
                let packet = ipv6::Packet::parse(frame.payload).unwrap();
                prop_assert_eq!((packet.source, packet.hop_limit), (source, 255));
                packet.payload
            }
        };
        prop_assert_eq!(payload.len(), 36);
        prop_assert_eq!(Header::parse(payload), Ok(header));
    }

    #[test]
    fn packets_are_written_and_read(
        source: Ipv4Addr,
        destination: Ipv4Addr,
        source6: Ipv6Addr,
        destination6: Ipv6Addr,
        [ttl, protocol] in any::<[u8; 2]>(),
        payload in vec(any::<u8>(), 0..64),
    ) {
        let packet = ipv4::Packet { source, destination, ttl, protocol, payload: &payload };
        let bytes = packet.emit();
        prop_assert_eq!(ipv4::Packet::parse(&bytes), Ok(packet));
        let packet6 = ipv6::Packet {
            source: source6,
            destination: destination6,
            hop_limit: ttl,
            next_header: protocol,
            payload: &payload,
        };
        let bytes = packet6.emit();
        prop_assert_eq!(ipv6::Packet::parse(&bytes), Ok(packet6));
    }

    #[test]
    fn arp_packet_is_written_and_read(
        request: bool,
        sender_mac in mac(),
        sender: Ipv4Addr,
        target_mac in mac(),
        target: Ipv4Addr,
    ) {
        let operation =
            if request { arp::Operation::Request } else { arp::Operation::Reply };
        let packet = arp::Packet { operation, sender_mac, sender, target_mac, target };
        prop_assert_eq!(arp::Packet::parse(&packet.emit()), Ok(packet));
    }

    #[test]
    fn neighbour_advertisement_is_written_and_read(target: Ipv6Addr, mac in mac()) {
        let advertisement = ndisc::Advertisement { target, mac };
        let read = ndisc::Advertisement::parse(target, &advertisement.emit());
        prop_assert_eq!(read, Ok(advertisement));
    }

    #[test]
    fn digest_verifies_in_any_order_of_ipv4_addresses(
        key in vec(1..=255_u8, 0..20),
        vhid in 1..=255_u64,
        mut addresses in vec(any::<Ipv4Addr>().prop_map(IpAddr::V4), 0..8),
        counter: u64,
    ) {
        let key = Key::password(&key).unwrap();
        let vhid = Vhid::try_from(vhid).unwrap();
        let ours = Digests::new(&key, vhid, &addresses);
        addresses.reverse();
        let theirs = Digests::new(&key, vhid, &addresses);
        prop_assert!(ours.verify(counter, &theirs.digest(counter)));
        prop_assert!(!ours.verify(counter.wrapping_add(1), &theirs.digest(counter)));
    }

    #[test]
    fn digest_of_both_families_verifies_in_each_form(
        addresses in vec(any::<IpAddr>(), 0..8),
        counter: u64,
    ) {
        let vhid = Vhid::try_from(1).unwrap();
        let digests = Digests::new(&Key::default(), vhid, &addresses);
        for form in [Form::Ours, Form::WithLinkLocal, Form::AsConfigured] {
            prop_assert!(digests.verify(counter, &digests.digest_as(form, counter)));
        }
    }

    #[test]
    fn mismatch_of_any_digest_is_found(
        addresses in vec(any::<IpAddr>(), 0..80),
        counter: u64,
        digest: [u8; 20],
    ) {
        let vhid = Vhid::try_from(1).unwrap();
        let mismatch = Mismatch::explain(&Key::default(), vhid, &addresses, counter, &digest);
        prop_assert_eq!(mismatch, Mismatch::Unknown);
    }
}
