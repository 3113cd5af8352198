//! IPv6, and both families at once.

use carp_proto::wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame};
use carp_proto::wire::{ipv4, ipv6};
use carp_proto::{Notice, Sysctl};

use super::{millis, seconds};
use crate::segment::Segment;

#[test]
fn equal_hosts_with_ipv6_alone_settle() {
    let mut segment = Segment::new(["a", "b"]);
    segment.ifconfig_all("carp0 vhid 1 2001:db8::100/64");
    segment.run(seconds(60));
    assert_eq!(segment.log().len(), 5);
    assert_eq!(segment.holders("2001:db8::100"), ["b"]);
}

#[test]
fn equal_hosts_with_both_families_settle_by_ipv4() {
    let mut segment = Segment::new(["a", "b"]);
    // By IPv6 alone the other host would win.
    segment.relink("a", |link| {
        link.addresses[1].address = "fe80::99".parse().unwrap();
    });
    segment.ifconfig_all("carp0 vhid 1 192.0.2.100/24 2001:db8::100/64");
    segment.run(seconds(60));
    assert_eq!(segment.log().len(), 5);
    assert_eq!(segment.holders("192.0.2.100"), ["b"]);
    assert_eq!(segment.holders("2001:db8::100"), ["b"]);
}

#[test]
fn equal_masters_that_hear_each_other_by_ipv6_alone_settle() {
    // IPv4 is lost in both directions, then in one, then in the other.
    for (to_b, to_a) in [(true, true), (true, false), (false, true)] {
        let mut segment = Segment::new(["a", "b"]);
        for (from, to, lost) in [("a", "b", to_b), ("b", "a", to_a)] {
            if lost {
                segment.cut_ethertype(from, to, ETHERTYPE_IPV4);
            }
        }
        segment.ifconfig_all("carp0 vhid 1 192.0.2.100/24 2001:db8::100/64");
        // Time until both are MASTER, and three and a half intervals.
        segment.run(seconds(3) + millis(3500));
        let [_] = segment.masters("carp0")[..] else {
            panic!("{:?}", segment.masters("carp0"));
        };
        segment.log();
        segment.run(seconds(60));
        assert_eq!(segment.log(), [""; 0]);
        assert_eq!(segment.holders("192.0.2.100"), segment.masters("carp0"));
    }
}

#[test]
fn equal_masters_that_seal_in_step_settle_in_strict_mode() {
    for line in ["", "advbase 0 advskew 10"] {
        let mut segment = Segment::new(["a", "b"]);
        for name in ["a", "b"] {
            segment.sysctl(name, Sysctl::Replay, 2);
        }
        segment.ifconfig_all(&format!(
            "carp0 vhid 1 {line} 192.0.2.100/24 2001:db8::100/64"
        ));
        segment.run(seconds(4));
        assert_eq!(segment.masters("carp0"), ["b"], "{line}");
        segment.log();
        segment.run(seconds(60));
        assert_eq!(segment.log(), [""; 0]);
    }
}

#[test]
fn ipv6_group_fails_over() {
    let mut segment = Segment::new(["a", "b"]);
    segment
        .ifconfig("a", "carp0 vhid 66 pass secret 2001:db8::100/64")
        .unwrap();
    segment
        .ifconfig(
            "b",
            "carp0 vhid 66 advskew 100 pass secret 2001:db8::100/64",
        )
        .unwrap();
    segment.run(seconds(10));
    segment.crash("a");
    segment.run(seconds(5));
    assert_eq!(
        segment.log()[2..],
        [
            "   3.000s a carp0: BACKUP -> MASTER (master timed out)",
            "  12.440s b carp0: BACKUP -> MASTER (master timed out)",
        ]
    );
    assert_eq!(segment.holders("2001:db8::100"), ["b"]);
}

#[test]
fn master_with_both_families_advertises_by_both() {
    let mut segment = Segment::new(["a"]);
    segment
        .ifconfig("a", "carp0 vhid 1 192.0.2.100/24 2001:db8::100/64")
        .unwrap();
    segment.run(millis(3500));
    let sources: Vec<String> = segment
        .sent
        .iter()
        .filter_map(|(_, frame)| {
            let frame = Frame::parse(frame)?;
            assert_eq!(frame.source.to_string(), "00:00:5e:00:01:01");
            match frame.ethertype {
                ETHERTYPE_IPV4 => Some(ipv4::Packet::parse(frame.payload).ok()?.source.to_string()),
                ETHERTYPE_IPV6 => Some(ipv6::Packet::parse(frame.payload).ok()?.source.to_string()),
                _ => None,
            }
        })
        .collect();
    let advertised_announced_advertised = [
        "192.0.2.2",
        "fe80::2",
        "2001:db8::100",
        "192.0.2.2",
        "fe80::2",
    ];
    assert_eq!(sources, advertised_announced_advertised);
}

#[test]
fn backup_stays_while_it_hears_its_master_by_either_family() {
    for lost in [ETHERTYPE_IPV4, ETHERTYPE_IPV6] {
        let mut segment = Segment::new(["a", "b"]);
        segment
            .ifconfig("a", "carp0 vhid 1 192.0.2.100/24 2001:db8::100/64")
            .unwrap();
        segment
            .ifconfig(
                "b",
                "carp0 vhid 1 advskew 100 192.0.2.100/24 2001:db8::100/64",
            )
            .unwrap();
        segment.run(seconds(10));
        segment.log();
        segment.faults.lost_ethertype = Some(lost);
        segment.run(seconds(20));
        assert_eq!(segment.log(), [""; 0]);
        segment.crash("a");
        segment.run(seconds(4));
        assert_eq!(segment.holders("192.0.2.100"), ["b"]);
        assert_eq!(segment.holders("2001:db8::100"), ["b"]);
    }
}

#[test]
fn preempted_master_with_both_families_is_no_second_master() {
    let mut segment = Segment::new(["a", "b"]);
    for name in ["a", "b"] {
        segment.sysctl(name, Sysctl::Preempt, 1);
    }
    segment
        .ifconfig(
            "b",
            "carp0 vhid 1 advskew 100 192.0.2.100/24 2001:db8::100/64",
        )
        .unwrap();
    segment.run(seconds(10));
    segment
        .ifconfig("a", "carp0 vhid 1 192.0.2.100/24 2001:db8::100/64")
        .unwrap();
    segment.run(seconds(5));
    assert_eq!(segment.holders("192.0.2.100"), ["a"]);
    assert_eq!(segment.notices("a"), []);

    // A host that does not yield is a second master.
    segment.cut("a", "b", true);
    segment.run(seconds(10));
    let second_master = |notice: &Notice| matches!(notice, Notice::TwoMasters { .. });
    assert!(segment.notices("a").iter().any(second_master));
}

#[test]
fn equal_hosts_that_advertise_from_the_virtual_address_settle() {
    for addresses in ["192.0.2.100/24", "192.0.2.100/24 2001:db8::100/64"] {
        let mut segment = Segment::new(["a", "b", "c"]);
        for name in ["a", "b", "c"] {
            segment.relink(name, |link| link.addresses.clear());
            segment
                .ifconfig(name, &format!("carp0 vhid 1 carpdev eth0 {addresses}"))
                .unwrap();
        }
        // All become MASTER at the same time, with equal advertisements.
        segment.run(seconds(3) + millis(1));
        assert_eq!(segment.masters("carp0"), ["c"]);
        segment.log();
        segment.run(seconds(60));
        assert_eq!(segment.log(), [""; 0]);
        for name in ["a", "b", "c"] {
            let notices = segment.notices(name);
            let is_loop = |each: &Notice| matches!(each, Notice::BadPacket { text, .. } if text.contains("our own"));
            assert!(!notices.iter().any(is_loop), "{notices:?}");
        }
    }
}

#[test]
fn loop_is_detected_by_a_host_that_uses_the_virtual_address() {
    let mut segment = Segment::new(["a"]);
    segment.relink("a", |link| link.addresses.clear());
    segment
        .ifconfig("a", "carp0 vhid 1 carpdev eth0 192.0.2.100/24")
        .unwrap();
    segment.faults.echo = true;
    segment.run(seconds(10));
    assert_eq!(segment.masters("carp0"), ["a"]);
    let notices = segment.notices("a");
    let said_loop = |notice: &Notice| matches!(notice, Notice::BadPacket { text, .. } if text.contains("network loop"));
    assert!(notices.iter().any(said_loop), "{notices:?}");
}
