//! Each counter, raised by a packet, in the order of the checks.

use std::time::Duration;

use carp_proto::wire::carp::{ADVERTISEMENT, AUTHLEN, Header, VERSION};
use carp_proto::wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame};
use carp_proto::wire::{frames, ipv4, ipv6};
use carp_proto::{
    Counter, Counters, Digests, Engine, IfIndex, Input, Key, Mac, Request, SendFailure, Sysctl,
};

use crate::segment::Segment;

const PEER: &str = "192.0.2.9";
const PEER6: &str = "fe80::9";

/// Host that is BACKUP with an address of each family.
fn backup() -> Segment {
    let mut segment = Segment::new(["us"]);
    segment
        .ifconfig(
            "us",
            "carp0 vhid 1 pass secret 192.0.2.100/24 2001:db8::100/64",
        )
        .unwrap();
    segment
}

/// Header of a valid advertisement to it.
fn header() -> Header {
    let addresses = ["192.0.2.100", "2001:db8::100"].map(|text| text.parse().unwrap());
    let key = Key::password(b"secret").unwrap();
    let counter = 0x1234;
    let digests = Digests::new(&key, 1_u64.try_into().unwrap(), &addresses);
    Header {
        version: VERSION,
        kind: ADVERTISEMENT,
        vhid: 1,
        advskew: 0,
        authlen: AUTHLEN,
        demotion: 0,
        advbase: 1,
        counter,
        digest: digests.digest(counter),
    }
}

fn advertisement(source: &str, header: &Header) -> Vec<u8> {
    let mac = Mac([0x00, 0x00, 0x5e, 0x00, 0x01, 0x01]);
    frames::advertisement(mac, source.parse().unwrap(), header)
}

/// IPv4 packet of protocol 112.
fn packet(ttl: u8, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = (PEER.parse().unwrap(), [224, 0, 0, 18].into());
    let packet = ipv4::Packet {
        source,
        destination,
        ttl,
        protocol: 112,
        payload,
    };
    framed(ETHERTYPE_IPV4, &packet.emit())
}

fn packet6(hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = (PEER6.parse().unwrap(), "ff02::12".parse().unwrap());
    let packet = ipv6::Packet {
        source,
        destination,
        hop_limit,
        next_header: 112,
        payload,
    };
    framed(ETHERTYPE_IPV6, &packet.emit())
}

fn framed(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let destination = Mac([0x01, 0x00, 0x5e, 0x00, 0x00, 0x12]);
    Frame {
        destination,
        source: Mac([2, 0, 0, 0, 0, 9]),
        ethertype,
        payload,
    }
    .emit()
}

/// Names of the counters that rose since `before`.
fn risen(before: &Counters, after: &Counters) -> Vec<&'static str> {
    let rose = |counter: &Counter| after.of(*counter) > before.of(*counter);
    Counter::ALL
        .into_iter()
        .filter(rose)
        .map(Counter::name)
        .collect()
}

/// Counters that `frame` raises: totals, and those of `carp0`.
fn moved(segment: &mut Segment, frame: &[u8]) -> [Vec<&'static str>; 2] {
    let before = (
        segment.engine("us").totals(),
        segment.status("us", "carp0").counters,
    );
    segment.inject("us", frame);
    let after = (
        segment.engine("us").totals(),
        segment.status("us", "carp0").counters,
    );
    [risen(&before.0, &after.0), risen(&before.1, &after.1)]
}

#[test]
fn valid_advertisement_raises_ipackets_or_ipackets6_alone() {
    let mut segment = backup();
    let v4 = advertisement(PEER, &header());
    assert_eq!(moved(&mut segment, &v4), [["ipackets"], ["ipackets"]]);
    let v6 = advertisement(PEER6, &header());
    assert_eq!(moved(&mut segment, &v6), [["ipackets6"], ["ipackets6"]]);
}

#[test]
fn packet_on_an_interface_without_carp_raises_badif() {
    let mut segment = Segment::with_two_wires(["us"]);
    segment
        .ifconfig("us", "carp0 vhid 1 198.51.100.100/24")
        .unwrap();
    let frame = advertisement(PEER, &header());
    let expected = [vec!["ipackets", "badif"], vec![]];
    assert_eq!(
        moved(&mut segment, &frame),
        expected,
        "even if all else is wrong with it"
    );
    let bad = packet(254, &[0; 7]);
    assert_eq!(moved(&mut segment, &bad), expected);
}

#[test]
fn forwarded_packet_raises_badttl() {
    let mut segment = backup();
    let frame = packet(254, &header().emit());
    assert_eq!(
        moved(&mut segment, &frame),
        [vec!["ipackets", "badttl"], vec![]]
    );
    let frame = packet6(64, &header().emit());
    assert_eq!(
        moved(&mut segment, &frame),
        [vec!["ipackets6", "badttl"], vec![]]
    );
}

#[test]
fn packet_shorter_than_its_ip_header_says_raises_hdrops() {
    let mut segment = backup();
    let frame = packet(255, &header().emit());
    let cut = &frame[..frame.len() - 1];
    assert_eq!(
        moved(&mut segment, cut),
        [vec!["ipackets", "hdrops"], vec![]]
    );
    let frame = packet6(255, &header().emit());
    let cut = &frame[..frame.len() - 1];
    assert_eq!(
        moved(&mut segment, cut),
        [vec!["ipackets6", "hdrops"], vec![]]
    );
}

#[test]
fn packet_shorter_than_a_carp_header_raises_badlen() {
    let mut segment = backup();
    let frame = packet(255, &header().emit()[..35]);
    assert_eq!(
        moved(&mut segment, &frame),
        [vec!["ipackets", "badlen"], vec![]]
    );
    let frame = packet6(255, &[]);
    assert_eq!(
        moved(&mut segment, &frame),
        [vec!["ipackets6", "badlen"], vec![]]
    );
}

#[test]
fn wrong_checksum_raises_badsum() {
    let mut segment = backup();
    let mut bytes = header().emit();
    bytes[2] ^= 1;
    let frame = packet(255, &bytes);
    assert_eq!(
        moved(&mut segment, &frame),
        [vec!["ipackets", "badsum"], vec![]]
    );
}

#[test]
fn unknown_vhid_or_one_in_init_raises_badvhid() {
    let mut segment = backup();
    for vhid in [2, 0, 255] {
        let frame = advertisement(
            PEER,
            &Header {
                vhid,
                version: 9,
                ..header()
            },
        );
        assert_eq!(
            moved(&mut segment, &frame),
            [vec!["ipackets", "badvhid"], vec![]]
        );
    }
    segment.ifconfig("us", "carp0 down").unwrap();
    let frame = advertisement(PEER, &header());
    assert_eq!(
        moved(&mut segment, &frame),
        [vec!["ipackets", "badvhid"], vec![]]
    );
}

#[test]
fn another_version_raises_badver() {
    let mut segment = backup();
    let other = Header {
        version: 3,
        digest: [0; 20],
        ..header()
    };
    let frame = advertisement(PEER, &other);
    assert_eq!(
        moved(&mut segment, &frame),
        [["ipackets", "badver"], ["ipackets", "badver"]]
    );
}

#[test]
fn wrong_digest_raises_badauth() {
    let mut segment = backup();
    let frame = advertisement(
        PEER,
        &Header {
            counter: 1,
            ..header()
        },
    );
    assert_eq!(
        moved(&mut segment, &frame),
        [["ipackets", "badauth"], ["ipackets", "badauth"]]
    );
}

#[test]
fn peer_with_fewer_addresses_raises_badaddrs_too() {
    let mut segment = backup();
    segment.ifconfig("us", "carp0 192.0.2.101/24").unwrap();
    let frame = advertisement(PEER, &header());
    let expected = ["ipackets", "badauth", "badaddrs"];
    assert_eq!(moved(&mut segment, &frame), [expected, expected]);
}

#[test]
fn repetition_raises_badauth() {
    let mut segment = backup();
    let frame = advertisement(PEER, &header());
    segment.inject("us", &frame);
    assert_eq!(
        moved(&mut segment, &frame),
        [["ipackets", "badauth"], ["ipackets", "badauth"]]
    );
    segment.sysctl("us", Sysctl::Replay, 0);
    assert_eq!(moved(&mut segment, &frame), [["ipackets"], ["ipackets"]]);
}

#[test]
fn own_advertisement_that_comes_back_raises_badauth() {
    let mut segment = backup();
    segment.run(Duration::from_secs(4));
    let own = segment.sent[0].1.clone();
    assert_eq!(
        moved(&mut segment, &own),
        [["ipackets", "badauth"], ["ipackets", "badauth"]]
    );
}

#[test]
fn type_authlen_and_bytes_after_the_header_are_ignored() {
    let mut segment = backup();
    let odd = Header {
        kind: 7,
        authlen: 0,
        ..header()
    };
    let mut payload = odd.emit().to_vec();
    payload.extend([0xff; 30]);
    let frame = packet(255, &payload);
    assert_eq!(moved(&mut segment, &frame), [["ipackets"], ["ipackets"]]);
}

#[test]
fn packet_raises_ipackets_alone_while_allow_is_0() {
    let mut segment = backup();
    segment.sysctl("us", Sysctl::Allow, 0);
    let frame = packet(1, &[1, 2, 3]);
    assert_eq!(moved(&mut segment, &frame), [vec!["ipackets"], vec![]]);
    let frame = advertisement(PEER, &header());
    assert_eq!(moved(&mut segment, &frame), [vec!["ipackets"], vec![]]);
}

#[test]
fn packet_of_another_protocol_raises_nothing() {
    let mut segment = backup();
    let payload = header().emit();
    let (source, destination) = (PEER.parse().unwrap(), [224, 0, 0, 18].into());
    let udp = ipv4::Packet {
        source,
        destination,
        ttl: 255,
        protocol: 17,
        payload: &payload,
    };
    let nothing: [Vec<&str>; 2] = [vec![], vec![]];
    assert_eq!(
        moved(&mut segment, &framed(ETHERTYPE_IPV4, &udp.emit())),
        nothing
    );
    assert_eq!(moved(&mut segment, &framed(0x88cc, &payload)), nothing);
    assert_eq!(moved(&mut segment, &[0; 13]), nothing);
}

#[test]
fn advertisements_sent_and_changes_of_state_are_counted() {
    let mut segment = backup();
    let before = segment.engine("us").totals();
    segment.run(Duration::from_secs(10));
    let after = segment.engine("us").totals();
    assert_eq!(risen(&before, &after), ["opackets", "opackets6", "ostates"]);
}

#[test]
fn preemption_raises_preempt() {
    let mut segment = backup();
    segment.sysctl("us", Sysctl::Preempt, 1);
    let slower = advertisement(
        PEER,
        &Header {
            advskew: 9,
            ..header()
        },
    );
    let moved = moved(&mut segment, &slower);
    assert_eq!(
        moved[0],
        ["ipackets", "opackets", "opackets6", "ostates", "preempt"]
    );
}

#[test]
fn kernel_without_memory_raises_onomem() {
    let mut engine = Engine::new();
    let now = carp_proto::Now::default();
    let unit = "carp0".parse().unwrap();
    let create = Request::Create {
        unit: Some(unit),
        changes: Vec::new(),
    };
    let _ = engine.handle(Input::Request(carp_proto::RequestId(1), create), now);
    let before = engine.totals();
    let result = Err(SendFailure::NoMemory);
    let _ = engine.handle(Input::Sent { unit, result }, now);
    assert_eq!(risen(&before, &engine.totals()), ["onomem"]);
}

#[test]
fn reset_zeroes_all_counters_and_destroy_keeps_the_totals() {
    let mut segment = backup();
    segment.inject("us", &advertisement(PEER, &header()));
    segment.run(Duration::from_secs(10));
    let before = segment.engine("us").totals();
    segment.ifconfig("us", "carp0 destroy").unwrap();
    assert!(
        segment
            .engine("us")
            .totals()
            .iter()
            .all(|(it, value)| value >= before.of(it))
    );
    segment.request(0, &Request::ResetStatistics).unwrap();
    assert_eq!(segment.engine("us").totals(), Counters::default());
}

#[test]
fn packet_on_an_unknown_interface_is_counted_and_ignored() {
    let mut engine = Engine::new();
    let frame = advertisement(PEER, &header());
    let packet = Input::Packet {
        device: IfIndex(77),
        frame: &frame,
    };
    let _ = engine.handle(packet, carp_proto::Now::default());
    assert_eq!(
        risen(&Counters::default(), &engine.totals()),
        ["ipackets", "badif"]
    );
}
