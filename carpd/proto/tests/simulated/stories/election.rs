//! Elections and takeovers.

use std::collections::BTreeSet;

use carp_proto::wire::ethernet::{ETHERTYPE_ARP, Frame};
use carp_proto::{RefusalKind, Request, Sysctl};

use super::{A, B, headers, millis, pair, seconds};
use crate::segment::Segment;

#[test]
fn faster_host_is_elected_and_the_slower_takes_over_when_it_dies() {
    let mut segment = pair();
    assert_eq!(segment.holders("192.0.2.100"), ["a"]);
    segment.crash("a");
    segment.run(seconds(10));
    assert_eq!(
        segment.log(),
        ["  12.440s b carp0: BACKUP -> MASTER (master timed out)"]
    );
    assert_eq!(segment.holders("192.0.2.100"), ["b"]);
}

#[test]
fn backup_takes_over_at_once_when_the_master_goes_down() {
    for line in ["carp0 down", "carp0 destroy"] {
        let mut segment = pair();
        segment.ifconfig("a", line).unwrap();
        segment.run(millis(1));
        let reason = if line == "carp0 down" {
            "administratively down"
        } else {
            "destroyed"
        };
        assert_eq!(
            segment.log(),
            [
                format!("  10.000s a carp0: MASTER -> INIT ({reason})"),
                "  10.000s b carp0: BACKUP -> MASTER (master will time out)".to_owned(),
            ]
        );
        assert_eq!(segment.holders("192.0.2.100"), ["b"]);
    }
}

#[test]
fn masters_that_are_nearly_due_advertise_together() {
    let mut segment = Segment::new(["a"]);
    for vhid in 1..=100 {
        let line = format!("carp{vhid} vhid {vhid} 192.0.2.{vhid}/24");
        segment.ifconfig("a", &line).unwrap();
        segment.run(millis(10));
    }
    segment.run(seconds(5));
    let advertised = |segment: &Segment| {
        let of = |vhid| segment.status("a", &format!("carp{vhid}")).advertised;
        (1..=100)
            .map(|vhid| of(vhid).unwrap().micros())
            .collect::<Vec<_>>()
    };
    let before = advertised(&segment);
    // A second has room for 64 times 15.6 ms.
    let times: BTreeSet<u64> = before.iter().copied().collect();
    assert!(times.len() <= 65, "{}", times.len());
    let second = segment.now(0).unix.micros() - 1_000_000..=segment.now(0).unix.micros();
    assert!(times.iter().all(|time| second.contains(time)));

    segment.run(seconds(5));
    let later: Vec<u64> = before.iter().map(|time| time + 5_000_000).collect();
    assert_eq!(advertised(&segment), later);
}

#[test]
fn clean_stop_bows_out() {
    let mut segment = pair();
    segment.request(0, &Request::Stop).unwrap();
    segment.run(millis(1));
    assert_eq!(segment.masters("carp0"), ["b"]);
    assert_eq!(segment.holders("192.0.2.100"), ["b"]);
}

#[test]
fn faster_host_that_returns_without_preempt_stays_backup() {
    let mut segment = pair();
    segment.ifconfig("a", "carp0 down").unwrap();
    segment.run(seconds(5));
    segment.ifconfig("a", "carp0 up").unwrap();
    segment.run(seconds(20));
    assert_eq!(
        segment.log()[2..],
        ["  15.000s a carp0: INIT -> BACKUP (initialization complete)"]
    );
    assert_eq!(segment.masters("carp0"), ["b"]);
}

#[test]
fn faster_host_that_returns_with_preempt_takes_over_at_once() {
    let mut segment = pair();
    segment.sysctl("a", Sysctl::Preempt, 1);
    segment.ifconfig("a", "carp0 down").unwrap();
    segment.run(seconds(5));
    segment.ifconfig("a", "carp0 up").unwrap();
    segment.run(seconds(5));
    assert_eq!(
        segment.log()[2..],
        [
            "  15.000s a carp0: INIT -> BACKUP (initialization complete)",
            "  15.612s a carp0: BACKUP -> MASTER (preempting a slower master)",
            "  15.612s b carp0: MASTER -> BACKUP (more frequent advertisement received)",
        ]
    );
}

#[test]
fn faster_host_that_starts_with_preempt_makes_no_second_master() {
    let mut segment = Segment::new(["a", "b"]);
    segment.sysctl("a", Sysctl::Preempt, 1);
    segment.sysctl("b", Sysctl::Preempt, 1);
    segment.ifconfig("a", A).unwrap();
    segment.ifconfig("b", B).unwrap();
    segment.run(seconds(60));
    assert_eq!(segment.log().len(), 3);
    assert_eq!(segment.masters("carp0"), ["a"]);
}

#[test]
fn two_masters_settle_at_once_when_a_cut_heals() {
    let mut segment = pair();
    segment.cut_both("a", "b", true);
    segment.run(seconds(10));
    assert_eq!(
        segment.log(),
        ["  12.440s b carp0: BACKUP -> MASTER (master timed out)"]
    );
    assert_eq!(segment.masters("carp0"), ["a", "b"]);
    segment.cut_both("a", "b", false);
    segment.run(seconds(3));
    assert_eq!(
        segment.log(),
        ["  20.050s b carp0: MASTER -> BACKUP (more frequent advertisement received)"]
    );
    assert_eq!(segment.holders("192.0.2.100"), ["a"]);
}

#[test]
fn master_answers_a_slower_one_at_most_once_an_interval() {
    let mut segment = pair();
    segment.cut("a", "b", true);
    segment.run(seconds(5));
    assert_eq!(
        segment.masters("carp0"),
        ["a", "b"],
        "b hears nothing, a hears a slower one"
    );
    segment.sent.clear();
    segment.run(seconds(10));
    let sent = headers(&segment, 0).count();
    assert!((10..=20).contains(&sent), "{sent} advertisements in 10 s");
    let announced = |(host, frame): &(usize, Vec<u8>)| {
        *host == 0 && Frame::parse(frame).unwrap().ethertype == ETHERTYPE_ARP
    };
    assert!(segment.sent.iter().any(announced));
    segment.cut("a", "b", false);
    segment.run(seconds(2));
    assert_eq!(segment.masters("carp0"), ["a"]);
}

/// The kernel of a hanging master can answer a neighbour until its lease ends. The announcements that
/// correct that continue until then.
#[test]
fn lladdr_parent_announces_until_a_hanging_master_lost_its_lease() {
    let arp_until = |command: &str| {
        let mut segment = Segment::new(["a"]);
        segment.ifconfig_all(command);
        let mut last = 0;
        for second in 0..60 {
            segment.sent.clear();
            segment.run(seconds(1));
            let mut sent = segment.sent.iter().map(|(_, frame)| frame);
            if sent.any(|frame| Frame::parse(frame).unwrap().ethertype == ETHERTYPE_ARP) {
                last = second;
            }
        }
        last
    };
    let group = "vhid 1 pass mekmitasdigoat 192.0.2.100/24";
    // MASTER after 3 seconds. Leases are 3 seconds here, and 2 in a group below a second.
    assert_eq!(arp_until(&format!("carp0 {group}")), 4);
    let on_parent = format!("carp0 lladdr parent {group}");
    assert!((7..=8).contains(&arp_until(&on_parent)));
    let fast = format!("carp0 advbase 0 advskew 10 lladdr parent {group}");
    assert!((3..=4).contains(&arp_until(&fast)));
}

#[test]
fn equal_hosts_settle_on_the_one_with_the_higher_address() {
    let mut segment = Segment::new(["a", "b", "c"]);
    segment.ifconfig_all(A);
    segment.run(seconds(60));
    assert_eq!(
        segment.log()[3..],
        [
            "   3.000s a carp0: BACKUP -> MASTER (master timed out)",
            "   3.000s b carp0: BACKUP -> MASTER (master timed out)",
            "   3.000s c carp0: BACKUP -> MASTER (master timed out)",
            "   3.000s a carp0: MASTER -> BACKUP (equal advertisement from a higher address \
             received)",
            "   3.000s b carp0: MASTER -> BACKUP (equal advertisement from a higher address \
             received)",
        ]
    );
    assert_eq!(segment.holders("192.0.2.100"), ["c"]);
}

#[test]
fn owner_of_the_address_is_elected_with_any_advskew() {
    let mut segment = Segment::new(["a", "b"]);
    segment
        .ifconfig("a", "carp0 vhid 1 advskew 200 192.0.2.2/24")
        .unwrap();
    segment
        .ifconfig("b", "carp0 vhid 1 advskew 10 192.0.2.2/24")
        .unwrap();
    segment.sysctl("a", Sysctl::Preempt, 1);
    segment.run(seconds(20));
    assert_eq!(segment.masters("carp0"), ["a"]);
    let status = segment.status("a", "carp0");
    assert_eq!((status.advskew, status.effective_advskew), (200, 0));
    assert!(status.addresses[0].owner);
}

#[test]
fn group_below_a_second_fails_over_in_milliseconds() {
    let mut segment = Segment::new(["a", "b"]);
    segment
        .ifconfig("a", "carp0 vhid 1 advbase 0 advskew 0 192.0.2.100/24")
        .unwrap();
    segment
        .ifconfig("b", "carp0 vhid 1 advbase 0 advskew 10 192.0.2.100/24")
        .unwrap();
    segment.run(seconds(1));
    segment.crash("a");
    segment.run(seconds(1));
    let log = segment.log();
    assert_eq!(log.len(), 4, "{log:?}");
    assert_eq!(
        log[2],
        "   0.011s a carp0: BACKUP -> MASTER (master timed out)"
    );
    // The last advertisement is at most 4 ms old, and b waits for 3 * 10/256 s.
    assert_eq!(
        log[3],
        "   1.113s b carp0: BACKUP -> MASTER (master timed out)"
    );
}

#[test]
fn forced_state_lasts_until_the_next_election() {
    let mut segment = pair();
    segment.ifconfig("a", "carp0 state backup").unwrap();
    segment.run(seconds(1));
    segment.ifconfig("a", "carp0 state master").unwrap();
    segment.run(seconds(1));
    segment.ifconfig("b", "carp0 state master").unwrap();
    segment.run(seconds(1));
    assert_eq!(
        segment.log(),
        [
            "  10.000s a carp0: MASTER -> BACKUP (user requested via ifconfig)",
            "  10.000s b carp0: BACKUP -> MASTER (master will time out)",
            "  11.000s a carp0: BACKUP -> MASTER (user requested via ifconfig)",
            "  11.000s b carp0: MASTER -> BACKUP (more frequent advertisement received)",
            "  12.000s b carp0: BACKUP -> MASTER (user requested via ifconfig)",
            "  12.000s b carp0: MASTER -> BACKUP (more frequent advertisement received)",
        ]
    );
}

#[test]
fn forced_state_is_refused_in_init() {
    let mut segment = pair();
    segment.ifconfig("a", "carp0 down").unwrap();
    let refusal = segment.ifconfig("a", "carp0 state master").unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Busy);
    assert_eq!(segment.status("a", "carp0").state.text(), "INIT");
}

#[test]
fn equal_hosts_without_own_addresses_elect_one() {
    let mut segment = Segment::new(["a", "b"]);
    for name in ["a", "b"] {
        segment.relink(name, |link| link.addresses.clear());
        segment
            .ifconfig(name, "carp0 vhid 1 192.0.2.100/24 carpdev eth0")
            .unwrap();
        segment.run(millis(5));
    }
    segment.run(seconds(30));
    assert_eq!(segment.log().len(), 3);
    assert_eq!(segment.holders("192.0.2.100"), ["a"]);
}
