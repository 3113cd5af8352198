//! Clocks that are set while `net.inet.carp.replay` is 2: one master once they are right, and no
//! advertisement is accepted twice.

use std::time::Duration;

use carp_proto::wire::carp::Header;
use carp_proto::wire::ethernet::{ETHERTYPE_IPV4, Frame};
use carp_proto::wire::frames;
use carp_proto::{Counter, Mac, Notice, Sysctl};

use crate::segment::Segment;

const SECOND: Duration = Duration::from_secs(1);
const TWO_HOURS: i64 = 7_200_000_000;
const NAMES: [&str; 2] = ["a", "b"];

/// More time than a backup waits and a rival takes to answer.
const SETTLED: Duration = Duration::from_secs(8);

/// Hosts of a pair that have a wrong clock.
const WRONG: [&[&str]; 3] = [&["a"], &["b"], &["a", "b"]];

fn set_clocks(segment: &mut Segment, names: &[&str], micros: i64) {
    for name in names {
        segment.step_clock(name, micros);
    }
}

fn configure(segment: &mut Segment, window: u64) {
    for (name, advskew) in NAMES.iter().zip([0, 100]) {
        segment.sysctl(name, Sysctl::Replay, 2);
        segment.sysctl(name, Sysctl::ReplayWindow, window);
        let line =
            format!("carp0 vhid 1 pass secret advskew {advskew} 192.0.2.100/24 2001:db8::100/64");
        segment.ifconfig(name, &line).unwrap();
    }
}

fn pair(window: u64) -> Segment {
    let mut segment = Segment::new(NAMES);
    configure(&mut segment, window);
    segment.run(SECOND * 10);
    assert_eq!(segment.masters("carp0"), ["a"]);
    segment
}

/// Checks that A becomes MASTER soon and stays it.
fn settles(segment: &mut Segment, case: &str) {
    segment.run(SETTLED);
    assert_eq!(segment.masters("carp0"), ["a"], "{case}");
    segment.log();
    segment.run(SECOND * 60);
    assert_eq!(segment.log(), [""; 0], "{case}");
}

fn restart(segment: &mut Segment, name: &str, while_dead: impl FnOnce(&mut Segment)) {
    let memory = segment.saved(name);
    segment.kill(name);
    segment.run(SECOND / 3);
    while_dead(segment);
    segment.restart(name, memory);
}

#[test]
fn clock_ahead_at_the_start_leaves_one_master() {
    for wrong in WRONG {
        for (ahead, window) in [(TWO_HOURS, 60), (2_500_000, 60), (2_500_000, 1)] {
            for while_wrong in [SECOND, SECOND * 20] {
                let mut segment = Segment::new(NAMES);
                set_clocks(&mut segment, wrong, ahead);
                configure(&mut segment, window);
                segment.run(while_wrong);
                set_clocks(&mut segment, wrong, 0);
                settles(
                    &mut segment,
                    &format!("{wrong:?} {ahead} {window} {while_wrong:?}"),
                );
            }
        }
    }
}

#[test]
fn clock_set_while_a_pair_runs_leaves_one_master() {
    for wrong in WRONG {
        for (ahead, window) in [(TWO_HOURS, 60), (2_500_000, 60), (2_500_000, 1)] {
            for off in [ahead, -ahead] {
                let case = format!("{wrong:?} {off} {window}");
                let mut segment = pair(window);
                set_clocks(&mut segment, wrong, off);
                segment.run(SECOND * 20);
                set_clocks(&mut segment, wrong, 0);
                settles(&mut segment, &case);
            }
        }
    }
}

#[test]
fn clock_set_back_around_a_restart_leaves_one_master() {
    for wrong in WRONG {
        for ahead in [TWO_HOURS, 2_500_000] {
            for killed in NAMES {
                let mut segment = pair(1);
                set_clocks(&mut segment, wrong, ahead);
                segment.run(SECOND * 5);
                let mut before = segment.clone();
                restart(&mut before, killed, |_| ());
                set_clocks(&mut before, wrong, 0);
                settles(&mut before, &format!("before: {wrong:?} {ahead} {killed}"));

                restart(&mut segment, killed, |segment| {
                    set_clocks(segment, wrong, 0);
                });
                settles(
                    &mut segment,
                    &format!("meanwhile: {wrong:?} {ahead} {killed}"),
                );
                restart(&mut segment, killed, |_| ());
                settles(&mut segment, &format!("after: {wrong:?} {ahead} {killed}"));
            }
        }
    }
}

#[test]
fn master_yields_to_a_better_one_that_is_deaf_with_a_late_clock() {
    let mut segment = Segment::new(NAMES);
    segment.step_clock("b", 50_000_000);
    configure(&mut segment, 60);
    segment.cut("a", "b", true);
    segment.run(SECOND * 10);
    assert_eq!(segment.masters("carp0"), NAMES);
    segment.cut("a", "b", false);
    segment.cut("b", "a", true);
    segment.run(SECOND * 2);
    assert_eq!(segment.masters("carp0"), ["a"]);
    segment.run(SECOND * 30);
    assert_eq!(segment.masters("carp0"), ["a"]);
}

#[test]
fn clock_set_back_is_reported_once() {
    let mut segment = pair(60);
    segment.step_clock("a", TWO_HOURS);
    segment.run(SECOND * 5);
    segment.notices("a");
    segment.step_clock("a", 0);
    segment.run(SECOND * 20);
    let ahead = segment
        .notices("a")
        .into_iter()
        .filter_map(|notice| match notice {
            Notice::ClockSetBack { ahead, .. } => Some(ahead.as_secs()),
            Notice::BadPacket { .. }
            | Notice::Suppression { .. }
            | Notice::KernelRefused { .. }
            | Notice::NotRunning { .. }
            | Notice::Warning { .. }
            | Notice::TwoMasters { .. }
            | Notice::Sending { .. } => None,
        });
    let ahead: Vec<u64> = ahead.collect();
    assert!(matches!(ahead[..], [7195..=7200]), "{ahead:?}");
}

/// IPv4 advertisements that were sent, as if another host had sent them.
fn recorded(segment: &mut Segment) -> Vec<Vec<u8>> {
    let sent = std::mem::take(&mut segment.sent).into_iter();
    let advertisements = sent.filter_map(|(_, frame)| {
        let frame = Frame::parse(&frame).filter(|it| it.ethertype == ETHERTYPE_IPV4)?;
        let header = Header::parse(&frame.payload[20..]).unwrap();
        let mac = Mac([2, 0, 0, 0, 0, 9]);
        Some(frames::advertisement(mac, [192, 0, 2, 250].into(), &header))
    });
    advertisements.collect()
}

fn refuses(segment: &mut Segment, frame: &[u8], case: &str) {
    for name in NAMES {
        let refused =
            |segment: &Segment| segment.status(name, "carp0").counters.of(Counter::Badauth);
        let before = refused(segment);
        segment.inject(name, frame);
        assert_eq!(refused(segment), before + 1, "{name} believes it {case}");
    }
}

#[test]
fn advertisements_sealed_ahead_are_refused_when_their_time_comes() {
    for wrong in WRONG {
        for kills in [false, true] {
            let mut segment = pair(60);
            let mut all = recorded(&mut segment);
            set_clocks(&mut segment, wrong, TWO_HOURS);
            segment.run(SECOND * 20);
            let ahead = recorded(&mut segment);
            all.extend(ahead.iter().cloned());
            if kills {
                for name in NAMES {
                    restart(&mut segment, name, |_| ());
                }
            }
            set_clocks(&mut segment, wrong, 0);
            for _ in 0..15 {
                for frame in &all {
                    refuses(&mut segment, frame, "at once");
                }
                all.extend(recorded(&mut segment));
                segment.run(SECOND);
            }
            settles(&mut segment, &format!("{wrong:?}"));
            if kills {
                for name in NAMES {
                    restart(&mut segment, name, |_| ());
                }
            }
            // The first of them was sealed two hours after the tenth second.
            let until = Duration::from_secs(7210 - 50).saturating_sub(segment.elapsed());
            segment.run(until);
            segment.sent.clear();
            segment.log();
            for _ in 0..130 {
                for frame in &ahead {
                    refuses(&mut segment, frame, "two hours later");
                }
                segment.run(SECOND);
            }
            assert_eq!(segment.log(), [""; 0]);
            assert_eq!(segment.masters("carp0"), ["a"]);
        }
    }
}
