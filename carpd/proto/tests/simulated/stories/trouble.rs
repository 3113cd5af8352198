//! Hosts that die, freeze or lose their clock, and foreign traffic on the wire.

use carp_proto::wire::carp::Header;
use carp_proto::wire::ethernet::{ETHERTYPE_IPV4, Frame};
use carp_proto::wire::{frames, ipv4};
use carp_proto::{Mac, Notice, Sysctl};

use super::{millis, pair, seconds};
use crate::segment::{Faults, Segment};

#[test]
fn killed_daemon_loses_its_addresses_before_the_backup_has_them() {
    let mut segment = pair();
    segment.kill("a");
    for _ in 0..500 {
        segment.run(millis(10));
        assert!(segment.holders("192.0.2.100").len() <= 1);
    }
    assert_eq!(segment.holders("192.0.2.100"), ["b"]);
}

#[test]
fn frozen_master_yields_when_it_continues() {
    let mut segment = pair();
    segment.freeze("a", true);
    segment.run(seconds(10));
    assert_eq!(segment.holders("192.0.2.100"), ["b"]);
    segment.freeze("a", false);
    segment.run(seconds(10));
    assert_eq!(
        segment.log(),
        [
            "  12.440s b carp0: BACKUP -> MASTER (master timed out)",
            "  20.000s a carp0: MASTER -> BACKUP (was stopped for longer than a backup waits)",
        ]
    );
    assert_eq!(segment.holders("192.0.2.100"), ["b"]);
}

#[test]
fn backup_that_wakes_up_listens_before_it_takes_over() {
    let mut segment = pair();
    segment.freeze("b", true);
    segment.run(seconds(10));
    segment.freeze("b", false);
    segment.run(seconds(10));
    assert_eq!(segment.log(), [""; 0], "a was there all the time");
    segment.freeze("b", true);
    segment.kill("a");
    segment.run(seconds(10));
    segment.freeze("b", false);
    segment.run(seconds(10));
    assert_eq!(
        segment.log(),
        ["  43.390s b carp0: BACKUP -> MASTER (master timed out)"]
    );
}

#[test]
fn advertisement_queued_before_a_pause_makes_no_master() {
    let mut segment = pair();
    segment.sysctl("a", Sysctl::Preempt, 1);
    segment.freeze("a", true);
    segment.run(seconds(10));
    let (_, slower) = segment.sent.last().unwrap().clone();
    segment.log();
    segment.freeze("a", false);
    segment.inject("a", &slower);
    segment.run(millis(2900));
    assert_eq!(
        segment.log(),
        ["  20.000s a carp0: MASTER -> BACKUP (was stopped for longer than a backup waits)"]
    );
    segment.run(seconds(2));
    assert_eq!(segment.masters("carp0"), ["a"]);
}

#[test]
fn bow_out_queued_before_a_pause_makes_no_master() {
    let mut segment = pair();
    segment.freeze("b", true);
    segment.ifconfig("a", "carp0 down").unwrap();
    segment.run(millis(1));
    let (_, bow_out) = segment.sent.last().unwrap().clone();
    segment.ifconfig("a", "carp0 up").unwrap();
    segment.run(seconds(10));
    segment.log();
    segment.freeze("b", false);
    segment.inject("b", &bow_out);
    segment.run(seconds(10));
    assert_eq!(segment.log(), [""; 0]);
    assert_eq!(segment.masters("carp0"), ["a"]);
}

#[test]
fn step_of_the_wall_clock_changes_no_state() {
    let mut segment = pair();
    for offset in [-86_400_000_000, 3_600_000_000, 0] {
        segment.step_clock("a", offset);
        segment.run(seconds(10));
    }
    assert_eq!(segment.log(), [""; 0]);
    assert_eq!(segment.masters("carp0"), ["a"]);
}

#[test]
fn vrrp_changes_no_state_and_a_colliding_group_is_reported() {
    let mut segment = pair();
    // keepalived: VRRPv2, group 1, priority 100.
    let vrrp = [
        0x21, 0x01, 0x64, 0x01, 0x00, 0x01, 0x39, 0x5e, 192, 0, 2, 50, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let packet = ipv4::Packet {
        source: [192, 0, 2, 9].into(),
        destination: [224, 0, 0, 18].into(),
        ttl: 255,
        protocol: 112,
        payload: &vrrp,
    };
    let frame = Frame {
        destination: Mac([0x01, 0x00, 0x5e, 0, 0, 0x12]),
        source: Mac([0, 0, 0x5e, 0, 1, 1]),
        ethertype: ETHERTYPE_IPV4,
        payload: &packet.emit(),
    };
    for _ in 0..20 {
        segment.inject("a", &frame.emit());
        segment.inject("b", &frame.emit());
        segment.run(millis(500));
    }
    assert_eq!(segment.log(), [""; 0]);
    let notices = segment.notices("b");
    let named = |notice: &Notice| {
        matches!(notice, Notice::BadPacket { text, .. }
        if text.contains("VRRPv2 group 1") && text.contains("carp0"))
    };
    assert!(notices.iter().any(named), "{notices:?}");
}

#[test]
fn network_loop_is_reported_and_changes_no_state() {
    let mut segment = pair();
    segment.faults = Faults {
        echo: true,
        duplication: 50,
        ..Faults::default()
    };
    segment.run(seconds(10));
    assert_eq!(segment.log(), [""; 0]);
    let notices = segment.notices("a");
    let is_expected = |notice: &Notice| {
        matches!(notice, Notice::BadPacket { text, .. }
        if text.contains("network loop"))
    };
    assert!(notices.iter().any(is_expected), "{notices:?}");
    assert_eq!(segment.masters("carp0"), ["a"]);
}

#[test]
fn replayed_advertisement_keeps_no_dead_master_in_strict_mode() {
    let mut segment = pair();
    segment.sysctl("b", Sysctl::Replay, 2);
    segment.run(seconds(5));
    let heard = segment.sent.last().unwrap().1.clone();
    segment.crash("a");
    for _ in 0..10 {
        segment.run(millis(500));
        segment.inject("b", &heard);
    }
    assert_eq!(segment.masters("carp0"), ["b"]);
}

#[test]
fn own_advertisement_from_another_source_is_refused_in_strict_mode() {
    let mut segment = pair();
    segment.sysctl("a", Sysctl::Replay, 2);
    segment.run(seconds(5));
    // From an address that would win the tie.
    let header = Header::parse(&segment.sent.last().unwrap().1[14 + 20..]).unwrap();
    let mac = Mac([2, 0, 0, 0, 0, 9]);
    let replayed = frames::advertisement(mac, [192, 0, 2, 250].into(), &header);
    for _ in 0..10 {
        segment.inject("a", &replayed);
        segment.run(millis(500));
    }
    assert_eq!(segment.log(), [""; 0]);
    assert_eq!(segment.masters("carp0"), ["a"]);
}

#[test]
fn strict_mode_fails_over_between_clocks_that_differ() {
    let mut segment = Segment::new(["a", "b", "c"]);
    segment.step_clock("a", 20_000_000);
    segment.step_clock("b", -20_000_000);
    for (name, skew) in [("a", 0), ("b", 50), ("c", 100)] {
        segment.sysctl(name, Sysctl::Replay, 2);
        segment
            .ifconfig(name, &format!("carp0 vhid 1 advskew {skew} 192.0.2.100/24"))
            .unwrap();
    }
    segment.run(seconds(10));
    segment.ifconfig("a", "carp0 down").unwrap();
    segment.run(seconds(10));
    assert_eq!(segment.masters("carp0"), ["b"]);
}

#[test]
fn interface_that_is_pulled_out_stops_its_virtual_host() {
    let mut segment = pair();
    segment.pull_out("a", true);
    segment.run(seconds(5));
    assert_eq!(segment.engine("a").get(Sysctl::SuppressPreempt), 1);
    assert_eq!(segment.status("a", "carp0").device, None);
    segment.pull_out("a", false);
    segment.run(seconds(5));
    assert_eq!(segment.engine("a").get(Sysctl::SuppressPreempt), 0);
    assert_eq!(
        segment.log(),
        [
            "  10.000s a carp0: MASTER -> INIT (no physical interface)",
            "  12.440s b carp0: BACKUP -> MASTER (master timed out)",
            "  15.000s a carp0: INIT -> BACKUP (initialization complete)",
        ]
    );
    assert_eq!(segment.holders("192.0.2.100"), ["b"]);
}

#[test]
fn frozen_master_does_not_answer_queued_frames() {
    let mut segment = pair();
    segment.freeze("a", true);
    segment.run(seconds(10));
    let (_, heard) = segment.sent.last().unwrap().clone();
    segment.log();
    segment.sent.clear();
    segment.freeze("a", false);
    segment.inject("a", &heard);
    assert_eq!(
        segment.log(),
        ["  20.000s a carp0: MASTER -> BACKUP (was stopped for longer than a backup waits)"]
    );
    segment.run(seconds(10));
    assert!(segment.sent.iter().all(|(host, _)| *host == 1));
}
