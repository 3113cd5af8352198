//! Bytes from the wire without our password change nothing but counters.

use std::time::Duration;

use carp_proto::wire::carp::Header;
use carp_proto::wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame};
use carp_proto::wire::{checksum, frames, ipv4};
use carp_proto::{Counter, Mac, Status, Sysctl};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::segment::Segment;

/// Host in one of the three states with an address of each family. Two virtual hosts share one of them, so
/// that the host receives ARP requests too.
fn host(state: usize) -> Segment {
    let mut segment = Segment::new(["us"]);
    segment.sysctl("us", Sysctl::ArpBalance, 1);
    segment
        .ifconfig(
            "us",
            "carp0 vhid 1 pass secret 192.0.2.100/24 2001:db8::100/64",
        )
        .unwrap();
    segment
        .ifconfig("us", "carp1 vhid 2 pass secret 192.0.2.100/24")
        .unwrap();
    match state {
        0 => {
            segment.ifconfig("us", "carp0 down").unwrap();
        }
        1 => {}
        _ => segment.run(Duration::from_secs(5)),
    }
    segment
}

/// Status of its carp interfaces without counters.
fn shown(segment: &Segment) -> Vec<Status> {
    let shown = |unit| {
        let status = segment.status("us", unit);
        Status {
            counters: carp_proto::Counters::default(),
            ..status
        }
    };
    ["carp0", "carp1"].map(shown).to_vec()
}

/// Advertisement that the host accepts.
fn believable() -> (Header, Mac) {
    let mut segment = host(2);
    segment.run(Duration::from_millis(1));
    let (_, frame) = segment.sent.first().unwrap();
    let frame = Frame::parse(frame).unwrap();
    let packet = ipv4::Packet::parse(frame.payload).unwrap();
    (Header::parse(packet.payload).unwrap(), frame.source)
}

/// Position of a byte that the digest covers, or that belongs to the digest.
fn covered() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1), 8..36_usize]
}

proptest! {
    #[test]
    fn frame_of_random_bytes_changes_no_state(
        state in 0..3_usize,
        ethertype in prop_oneof![Just(ETHERTYPE_ARP), Just(ETHERTYPE_IPV4), Just(ETHERTYPE_IPV6)],
        start in prop_oneof![
            Just(&[][..]),
            Just(&[0x45, 0x10, 0, 56, 0, 0, 0x40, 0, 255, 112][..]),
            Just(&[0x60, 0, 0, 0, 0, 36, 112, 255][..]),
            Just(&[0, 1, 8, 0, 6, 4, 0, 1][..]),
        ],
        rest in vec(any::<u8>(), 0..100),
    ) {
        let mut segment = host(state);
        let before = shown(&segment);
        let payload = [start, &rest].concat();
        let (source, destination) = (Mac([2, 0, 0, 0, 0, 9]), Mac::BROADCAST);
        segment.inject("us", &Frame { destination, source, ethertype, payload: &payload }.emit());
        prop_assert_eq!(shown(&segment), before);
    }

    #[test]
    fn advertisement_changed_below_the_digest_changes_no_state(
        state in 0..3_usize,
        at in covered(),
        flip in 1..=255_u8,
    ) {
        let (header, mac) = believable();
        let mut segment = host(state);
        let before = shown(&segment);
        let mut bytes = header.emit();
        bytes[at] ^= flip;
        bytes[6..8].fill(0);
        let sum = checksum::checksum(&[&bytes]);
        bytes[6..8].copy_from_slice(&sum.to_be_bytes());
        let changed = Header::parse(&bytes).unwrap();
        let frame = frames::advertisement(mac, "192.0.2.9".parse().unwrap(), &changed);
        segment.inject("us", &frame);
        prop_assert_eq!(shown(&segment), before);
        let totals = segment.engine("us").totals();
        prop_assert_eq!(totals.of(Counter::Badauth) + totals.of(Counter::Badvhid), 1);
    }
}
