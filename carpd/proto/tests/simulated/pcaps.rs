//! Recorded traffic of BSD hosts, received by an engine.

use std::time::Duration;

use carp_proto::{Counter, Counters, Notice, Status};

use crate::capture;
use crate::segment::Segment;

const FREEBSD: &[u8] = include_bytes!("../../../../tests/data/freebsd-pass123.pcap");
const NETBSD: &[u8] = include_bytes!("../../../../tests/data/netbsd-two-hosts.pcap");

/// Host with `address` that was configured just before the capture, and received all of it.
fn listener(address: &str, line: &str, capture: &[u8]) -> Segment {
    let mut segment = Segment::new(["us"]);
    segment.relink("us", |link| {
        link.addresses.truncate(1);
        link.addresses[0].address = address.parse().unwrap();
    });
    segment.ifconfig("us", line).unwrap();
    let mut last = Duration::ZERO;
    for (at, frame) in capture::frames(capture) {
        segment.run(at.saturating_sub(last));
        segment.inject("us", &frame);
        last = at;
    }
    segment
}

/// Sum of the counters of bad packets.
fn refused(counters: Counters) -> u64 {
    let bad = |counter: &Counter| counter.name().starts_with("bad") || *counter == Counter::Hdrops;
    Counter::ALL
        .iter()
        .filter(|it| bad(it))
        .map(|it| counters.of(*it))
        .sum()
}

#[test]
fn freebsd_master_with_a_constant_counter_is_heard_until_it_stops() {
    let line = "carp0 vhid 1 advskew 100 pass pass123 192.168.88.44/24";
    let mut segment = listener("192.168.88.1", line, FREEBSD);
    let Status {
        counters,
        master,
        state,
        ..
    } = segment.status("us", "carp0");
    assert_eq!(counters.of(Counter::Ipackets), 45);
    assert_eq!(refused(counters), 0);
    assert_eq!(state.text(), "BACKUP");
    assert_eq!(master.unwrap().source.to_string(), "192.168.88.100");
    let silent = segment.now(0).instant;
    while segment.masters("carp0").is_empty() {
        segment.run(Duration::from_millis(1));
    }
    let waited = segment.now(0).instant.since(silent);
    assert_eq!(waited.as_millis(), 3391, "3 * 1 + 100/256 s");
}

#[test]
fn freebsd_master_with_another_password_is_refused() {
    let line = "carp0 vhid 1 advskew 100 pass pass124 192.168.88.44/24";
    let segment = listener("192.168.88.1", line, FREEBSD);
    let counters = segment.status("us", "carp0").counters;
    assert_eq!(counters.of(Counter::Badauth), 45);
    assert_eq!(segment.masters("carp0"), ["us"]);
}

#[test]
fn netbsd_pair_is_followed_through_bow_out_preemption_and_freeze() {
    let line = "carp0 vhid 7 advskew 200 pass mekmitasdigoat \
                10.9.0.200/24 10.9.0.20/24 10.9.0.100/24";
    let mut segment = listener("10.9.0.9", line, NETBSD);
    assert_eq!(
        segment.log(),
        [
            "   0.000s us carp0: INIT -> BACKUP (initialization complete)",
            "   3.781s us carp0: BACKUP -> MASTER (master timed out)",
            "   4.157s us carp0: MASTER -> BACKUP (more frequent advertisement received)",
            "   6.902s us carp0: BACKUP -> MASTER (master will time out)",
            "   6.902s us carp0: MASTER -> BACKUP (more frequent advertisement received)",
        ],
        "the freeze of 3.4 s is shorter than we wait"
    );
    let counters = segment.status("us", "carp0").counters;
    assert_eq!(counters.of(Counter::Ipackets), 30);
    assert_eq!(
        counters.of(Counter::Badauth),
        2,
        "one host had another password for a while"
    );
    assert_eq!(refused(counters), 2);
    let is_expected = |notice: &Notice| {
        matches!(notice, Notice::BadPacket { source, .. }
        if *source == Some("10.9.0.3".parse().unwrap()))
    };
    assert!(segment.notices("us").iter().any(is_expected));
}
