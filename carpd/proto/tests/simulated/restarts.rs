//! A daemon that is killed and comes back, with what it saved and what its kernel still has. That
//! its counters go on growing is asserted of every frame by the segment's observer.

use std::time::Duration;

use carp_proto::wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, Frame};
use carp_proto::{Counter, Memory, StateName, Sysctl, Unit};

use crate::segment::Segment;

const SOON: Duration = Duration::from_millis(300);
const SECOND: Duration = Duration::from_secs(1);

/// `a` is MASTER, `b` BACKUP, and nobody has anything to report any more.
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
    let memory = segment.saved("a");
    segment.kill("a");
    segment.run(away);
    segment.restart("a", memory);
}

fn frames_since(segment: &Segment, start: usize, ethertype: u16) -> usize {
    let is = |(_, frame): &&(usize, Vec<u8>)| {
        Frame::parse(frame).is_some_and(|frame| frame.ethertype == ethertype)
    };
    segment.sent[start..].iter().filter(is).count()
}

#[test]
fn a_master_that_comes_back_in_time_goes_on_and_nobody_notices() {
    let mut segment = pair();
    let sent = segment.sent.len();
    restart(&mut segment, SOON);
    assert_eq!(segment.masters("carp0"), ["a"], "at once");
    assert!(
        frames_since(&segment, sent, ETHERTYPE_IPV4) > 0,
        "and says so"
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
fn a_master_whose_leases_have_run_out_begins_as_backup() {
    let mut segment = pair();
    restart(&mut segment, SECOND * 4);
    assert_eq!(segment.masters("carp0"), ["b"]);
    assert_eq!(segment.status("a", "carp0").state, StateName::Backup);
    segment.run(SECOND * 10);
    assert_eq!(segment.masters("carp0").len(), 1);
}

#[test]
fn a_backup_comes_back_as_backup() {
    let mut segment = pair();
    let memory = segment.saved("b");
    segment.kill("b");
    segment.run(SOON);
    segment.restart("b", memory);
    segment.run(SECOND * 10);
    assert_eq!(
        segment.log(),
        ["  10.300s b carp0: INIT -> BACKUP (initialization complete)"]
    );
}

#[test]
fn the_kernel_knows_better_than_a_file_that_was_late() {
    let mut segment = pair();
    let mut memory = segment.saved("a");
    for remembered in memory.interfaces.values_mut() {
        remembered.state = StateName::Backup;
        remembered.sealed = [0; 2];
    }
    segment.kill("a");
    segment.run(SOON);
    segment.step_clock("a", -2_000_000);
    segment.restart("a", memory);
    segment.run(SECOND * 3);
    assert_eq!(segment.masters("carp0"), ["a"]);
}

#[test]
fn a_peer_that_became_master_meanwhile_is_heard_and_the_election_decides() {
    let mut segment = pair();
    segment.cut("a", "b", true);
    segment.run(SECOND * 5);
    assert_eq!(segment.masters("carp0"), ["a", "b"]);
    let memory = segment.saved("a");
    segment.kill("a");
    segment.cut("a", "b", false);
    segment.run(SOON);
    segment.restart("a", memory);
    segment.run(SECOND * 2);
    assert_eq!(segment.masters("carp0"), ["a"], "advskew 0 before 100");

    segment.sysctl("b", Sysctl::Preempt, 1);
    segment.ifconfig("a", "carp0 advskew 200").unwrap();
    segment.cut("b", "a", true);
    segment.run(SECOND * 5);
    let memory = segment.saved("a");
    segment.kill("a");
    segment.cut("b", "a", false);
    segment.run(SOON);
    segment.restart("a", memory);
    segment.run(SECOND * 2);
    assert_eq!(segment.masters("carp0"), ["b"], "advskew 100 before 200");
}

#[test]
fn a_clock_that_was_set_back_meanwhile_makes_no_old_counter() {
    for (forth, back) in [(0, -3_600_000_000), (7_200_000_000, -60_000_000)] {
        let mut segment = pair();
        let early = segment.saved("a");
        segment.step_clock("a", forth);
        segment.run(SECOND * 20);
        // What was saved before the clock was set is known only if nothing was saved after.
        let memory = if forth == 0 {
            early
        } else {
            segment.saved("a")
        };
        segment.kill("a");
        segment.run(SOON);
        segment.step_clock("a", back);
        segment.restart("a", memory);
        segment.run(SECOND * 20);
        assert_eq!(segment.masters("carp0"), ["a"]);
    }
}

#[test]
fn setting_the_clock_forward_is_a_reason_to_save() {
    let mut segment = pair();
    segment.saved("a");
    segment.run(SECOND * 10);
    assert!(!segment.engine("a").has_unsaved());
    segment.step_clock("a", 3_600_000_000);
    segment.run(SECOND * 2);
    assert!(segment.engine("a").has_unsaved());
}

/// What strict replay must refuse after a restart: everything of before.
#[test]
fn nothing_recorded_before_a_restart_is_believed_after_it() {
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
    // The disk is behind by three advertisements when b is killed.
    let memory = segment.saved("b");
    segment.run(SECOND * 3);
    let recorded = from_a(&segment);
    segment.kill("b");
    segment.run(SOON);
    segment.restart("b", memory);
    let refused = |segment: &Segment| segment.status("b", "carp0").counters.of(Counter::Badauth);
    for frame in &recorded {
        let before = refused(&segment);
        segment.inject("b", frame);
        assert_eq!(refused(&segment), before + 1, "believed");
    }
    // But whoever speaks now is heard.
    let before = refused(&segment);
    segment.run(SECOND * 10);
    assert_eq!(refused(&segment), before);
    assert_eq!(segment.masters("carp0"), ["a"]);
}

#[test]
fn what_suppresses_preemption_is_known_before_the_first_advertisement() {
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
    let memory = segment.saved("a");
    segment.kill("a");
    segment.carrier("a", crate::segment::ETH1, false);
    segment.run(SOON);
    segment.restart("a", memory);
    let status = segment.status("a", "carp0");
    assert_eq!((status.state, status.demotion), (StateName::Master, 1));
    segment.run(SECOND * 2);
    assert_eq!(segment.masters("carp0"), ["b"]);
    segment.run(SECOND * 2);
    assert_eq!(segment.masters("carp1"), ["b"]);
}

#[test]
fn addresses_shared_for_balancing_are_announced_by_nobody() {
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
fn what_was_destroyed_or_changed_is_remembered_so() {
    let mut segment = pair();
    segment
        .ifconfig("a", "carp1 vhid 2 192.0.2.101/24")
        .unwrap();
    segment.ifconfig("a", "carp0 advskew 7").unwrap();
    segment.sysctl("a", Sysctl::Log, 2);
    assert_eq!(segment.saved("a").interfaces.len(), 2);
    segment.ifconfig("a", "carp1 destroy").unwrap();
    let memory = segment.saved("a");
    assert_eq!(memory.interfaces.keys().collect::<Vec<_>>(), [&carp0()]);
    assert_eq!(memory.interfaces[&carp0()].settings.advskew.get(), 7);
    assert_eq!(memory.sysctls.log, 2);
    segment.kill("a");
    segment.restart("a", memory.clone());
    assert_eq!(segment.saved("a").sysctls, memory.sysctls);
    assert_eq!(
        segment.engine("a").settings(carp0()),
        Some(&memory.interfaces[&carp0()].settings)
    );
}

#[test]
fn a_memory_of_nothing_is_nothing() {
    let mut segment = Segment::new(["a"]);
    segment.kill("a");
    segment.restart("a", Memory::default());
    segment.run(SECOND * 5);
    assert_eq!(segment.engine("a").units().count(), 0);
    assert!(segment.log().is_empty());
}
