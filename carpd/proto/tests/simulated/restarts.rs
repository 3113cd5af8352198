//! Restarts after a kill, with the saved state and the addresses that the kernel still has. The observer of
//! the segment asserts for each frame that the counters grow.

use std::time::Duration;

use carp_proto::wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, Frame};
use carp_proto::{Counter, SavedState, StateName, Sysctl, Unit};

use crate::segment::Segment;

const SOON: Duration = Duration::from_millis(300);
const SECOND: Duration = Duration::from_secs(1);

/// Pair with `a` MASTER, after the first transitions and notices.
fn pair() -> Segment {
    let mut segment = Segment::new(["a", "b"]);
    let line = "carp0 vhid 1 pass secret 192.0.2.100/24 2001:db8::100/64";
    segment.ifconfig("a", line).unwrap();
    segment
        .ifconfig("b", &format!("{line} advskew 100"))
        .unwrap();
    segment.run(SECOND * 10);
    assert_eq!(segment.masters("carp0"), ["a"]);
    segment.log();
    segment
}

fn carp0() -> Unit {
    Unit::try_from(0).unwrap()
}

/// Kills `a`, and starts it again after `away`.
fn restart(segment: &mut Segment, away: Duration) {
    let saved = segment.saved("a");
    segment.kill("a");
    segment.run(away);
    segment.restart("a", saved);
}

fn frames_since(segment: &Segment, start: usize, ethertype: u16) -> usize {
    let is = |(_, frame): &&(usize, Vec<u8>)| {
        Frame::parse(frame).is_some_and(|frame| frame.ethertype == ethertype)
    };
    segment.sent[start..].iter().filter(is).count()
}

#[test]
fn master_that_restarts_within_its_lease_resumes_unnoticed() {
    let mut segment = pair();
    let sent = segment.sent.len();
    restart(&mut segment, SOON);
    assert_eq!(segment.masters("carp0"), ["a"], "at once");
    assert!(
        frames_since(&segment, sent, ETHERTYPE_IPV4) > 0,
        "and reports it"
    );
    segment.run(SECOND * 10);
    assert_eq!(
        segment.log(),
        ["  10.300s a carp0: INIT -> MASTER (resumed after a restart)"]
    );
    assert_eq!(segment.holders("192.0.2.100"), ["a"]);
    assert_eq!(
        frames_since(&segment, sent, ETHERTYPE_ARP),
        0,
        "all know where it is"
    );
    assert!(
        segment
            .status("a", "carp0")
            .addresses
            .iter()
            .all(|it| it.active)
    );
}

#[test]
fn master_that_restarts_after_its_lease_begins_as_backup() {
    let mut segment = pair();
    restart(&mut segment, SECOND * 4);
    assert_eq!(segment.masters("carp0"), ["b"]);
    assert_eq!(segment.status("a", "carp0").state, StateName::Backup);
    segment.run(SECOND * 10);
    assert_eq!(segment.masters("carp0").len(), 1);
}

#[test]
fn backup_restarts_as_backup() {
    let mut segment = pair();
    let saved = segment.saved("b");
    segment.kill("b");
    segment.run(SOON);
    segment.restart("b", saved);
    segment.run(SECOND * 10);
    assert_eq!(
        segment.log(),
        ["  10.300s b carp0: INIT -> BACKUP (initialization complete)"]
    );
}

#[test]
fn leases_in_the_kernel_override_a_state_that_was_saved_before() {
    let mut segment = pair();
    let mut saved = segment.saved("a");
    for remembered in saved.interfaces.values_mut() {
        remembered.state = StateName::Backup;
        remembered.sealed = [0; 2];
    }
    segment.kill("a");
    segment.run(SOON);
    segment.step_clock("a", -2_000_000);
    segment.restart("a", saved);
    segment.run(SECOND * 3);
    assert_eq!(segment.masters("carp0"), ["a"]);
}

#[test]
fn peer_that_became_master_during_a_restart_is_heard() {
    let mut segment = pair();
    segment.cut("a", "b", true);
    segment.run(SECOND * 5);
    assert_eq!(segment.masters("carp0"), ["a", "b"]);
    let saved = segment.saved("a");
    segment.kill("a");
    segment.cut("a", "b", false);
    segment.run(SOON);
    segment.restart("a", saved);
    segment.run(SECOND * 2);
    assert_eq!(segment.masters("carp0"), ["a"], "advskew 0 before 100");

    segment.sysctl("b", Sysctl::Preempt, 1);
    segment.ifconfig("a", "carp0 advskew 200").unwrap();
    segment.cut("b", "a", true);
    segment.run(SECOND * 5);
    let saved = segment.saved("a");
    segment.kill("a");
    segment.cut("b", "a", false);
    segment.run(SOON);
    segment.restart("a", saved);
    segment.run(SECOND * 2);
    assert_eq!(segment.masters("carp0"), ["b"], "advskew 100 before 200");
}

#[test]
fn clock_set_back_during_a_restart_repeats_no_counter() {
    for (forth, back) in [(0, -3_600_000_000), (7_200_000_000, -60_000_000)] {
        let mut segment = pair();
        let early = segment.saved("a");
        segment.step_clock("a", forth);
        segment.run(SECOND * 20);
        // The state that was saved before the clock was set is the last one only if nothing was saved after.
        let saved = if forth == 0 {
            early
        } else {
            segment.saved("a")
        };
        segment.kill("a");
        segment.run(SOON);
        segment.step_clock("a", back);
        segment.restart("a", saved);
        segment.run(SECOND * 20);
        assert_eq!(segment.masters("carp0"), ["a"]);
    }
}

#[test]
fn clock_set_forward_makes_a_master_save() {
    let mut segment = pair();
    segment.saved("a");
    segment.run(SECOND * 10);
    assert!(!segment.engine("a").has_unsaved());
    segment.step_clock("a", 3_600_000_000);
    segment.run(SECOND * 2);
    assert!(segment.engine("a").has_unsaved());
}

/// Strict replay mode refuses everything that was recorded before the restart.
#[test]
fn advertisements_recorded_before_a_restart_are_refused() {
    let mut segment = pair();
    for name in ["a", "b"] {
        segment.sysctl(name, Sysctl::Replay, 2);
    }
    segment.run(SECOND * 5);
    let from_a = |segment: &Segment| {
        let is_from_a = |(host, frame): &&(usize, Vec<u8>)| {
            *host == 0 && Frame::parse(frame).is_some_and(|it| it.ethertype == ETHERTYPE_IPV4)
        };
        let frames = segment.sent.iter().filter(is_from_a);
        frames.map(|(_, frame)| frame.clone()).collect::<Vec<_>>()
    };
    // The disk is three advertisements behind when b is killed.
    let saved = segment.saved("b");
    segment.run(SECOND * 3);
    let recorded = from_a(&segment);
    segment.kill("b");
    segment.run(SOON);
    segment.restart("b", saved);
    let refused = |segment: &Segment| segment.status("b", "carp0").counters.of(Counter::Badauth);
    for frame in &recorded {
        let before = refused(&segment);
        segment.inject("b", frame);
        assert_eq!(refused(&segment), before + 1, "believed");
    }
    // A host that advertises now is heard.
    let before = refused(&segment);
    segment.run(SECOND * 10);
    assert_eq!(refused(&segment), before);
    assert_eq!(segment.masters("carp0"), ["a"]);
}

#[test]
fn first_advertisement_after_a_restart_is_suppressed() {
    let mut segment = Segment::with_two_wires(["a", "b"]);
    for name in ["a", "b"] {
        segment.sysctl(name, Sysctl::Preempt, 1);
    }
    for (unit, address) in [("carp0", "192.0.2.100/24"), ("carp1", "198.51.100.100/24")] {
        let vhid = if unit == "carp0" { 1 } else { 2 };
        let line = format!("{unit} vhid {vhid} {address}");
        segment.ifconfig("a", &line).unwrap();
        segment
            .ifconfig("b", &format!("{line} advskew 100"))
            .unwrap();
    }
    segment.run(SECOND * 10);
    assert_eq!(segment.masters("carp0"), ["a"]);
    let saved = segment.saved("a");
    segment.kill("a");
    segment.carrier("a", crate::segment::ETH1, false);
    segment.run(SOON);
    segment.restart("a", saved);
    let status = segment.status("a", "carp0");
    assert_eq!((status.state, status.demotion), (StateName::Master, 1));
    segment.run(SECOND * 2);
    assert_eq!(segment.masters("carp0"), ["b"]);
    segment.run(SECOND * 2);
    assert_eq!(segment.masters("carp1"), ["b"]);
}

#[test]
fn balanced_addresses_are_not_announced_after_a_restart() {
    let mut segment = Segment::new(["a", "b"]);
    for name in ["a", "b"] {
        segment.sysctl(name, Sysctl::ArpBalance, 1);
    }
    for (unit, vhid) in [("carp0", 1), ("carp1", 2)] {
        let line = format!("{unit} vhid {vhid} 192.0.2.100/24");
        segment.ifconfig("a", &line).unwrap();
        segment
            .ifconfig("b", &format!("{line} advskew 100"))
            .unwrap();
    }
    segment.run(SECOND * 10);
    let sent = segment.sent.len();
    restart(&mut segment, SOON);
    segment.run(SECOND * 5);
    assert_eq!(segment.masters("carp0"), ["a"]);
    assert_eq!(segment.masters("carp1"), ["a"]);
    assert_eq!(frames_since(&segment, sent, ETHERTYPE_ARP), 0);
}

#[test]
fn saved_state_follows_changes_and_destroys() {
    let mut segment = pair();
    segment
        .ifconfig("a", "carp1 vhid 2 192.0.2.101/24")
        .unwrap();
    segment.ifconfig("a", "carp0 advskew 7").unwrap();
    segment.sysctl("a", Sysctl::Log, 2);
    assert_eq!(segment.saved("a").interfaces.len(), 2);
    segment.ifconfig("a", "carp1 destroy").unwrap();
    let saved = segment.saved("a");
    assert_eq!(saved.interfaces.keys().collect::<Vec<_>>(), [&carp0()]);
    assert_eq!(saved.interfaces[&carp0()].settings.advskew.get(), 7);
    assert_eq!(saved.sysctls.log, 2);
    segment.kill("a");
    segment.restart("a", saved.clone());
    assert_eq!(segment.saved("a").sysctls, saved.sysctls);
    assert_eq!(
        segment.engine("a").settings(carp0()),
        Some(&saved.interfaces[&carp0()].settings)
    );
}

#[test]
fn empty_state_resumes_nothing() {
    let mut segment = Segment::new(["a"]);
    segment.kill("a");
    segment.restart("a", SavedState::default());
    segment.run(SECOND * 5);
    assert_eq!(segment.engine("a").units().count(), 0);
    assert!(segment.log().is_empty());
}
