//! Suppression of preemption by the problems of a host.

use carp_proto::{Notice, Request, Sysctl};

use super::{A, B, millis, pair, seconds};
use crate::segment::{ETH0, ETH1, Segment};

#[test]
fn all_groups_fail_over_together_when_one_cable_is_pulled() {
    let mut segment = Segment::with_two_wires(["a", "b"]);
    for name in ["a", "b"] {
        segment.sysctl(name, Sysctl::Preempt, 1);
        let skew = if name == "a" { 0 } else { 100 };
        segment
            .ifconfig(name, &format!("carp0 vhid 1 advskew {skew} 192.0.2.100/24"))
            .unwrap();
        segment
            .ifconfig(
                name,
                &format!("carp1 vhid 2 advskew {skew} 198.51.100.100/24"),
            )
            .unwrap();
    }
    segment.run(seconds(10));
    assert_eq!(segment.holders("192.0.2.100"), ["a"]);
    assert_eq!(segment.holders("198.51.100.100"), ["a"]);
    segment.log();

    segment.carrier("a", ETH0, false);
    segment.run(millis(1));
    assert_eq!(segment.engine("a").get(Sysctl::SuppressPreempt), 1);
    assert_eq!(
        segment.log(),
        [
            "  10.000s a carp0: MASTER -> INIT (carrier lost)",
            "  10.000s b carp1: BACKUP -> MASTER (preempting a demoted master)",
            "  10.000s a carp1: MASTER -> BACKUP (less demoted advertisement received)",
        ],
        "the wire that still works moves at once"
    );
    segment.run(seconds(5));
    assert_eq!(
        segment.log(),
        ["  12.440s b carp0: BACKUP -> MASTER (master timed out)"]
    );
    assert_eq!(segment.holders("198.51.100.100"), ["b"]);

    segment.carrier("a", ETH0, true);
    segment.run(seconds(5));
    assert_eq!(segment.engine("a").get(Sysctl::SuppressPreempt), 0);
    assert_eq!(segment.masters("carp0"), ["a"]);
    assert_eq!(segment.masters("carp1"), ["a"]);
}

#[test]
fn demoted_master_is_replaced_without_preempt() {
    let mut segment = pair();
    segment
        .ifconfig("a", "carp1 vhid 9 198.51.100.9/24 carpdev eth0")
        .unwrap();
    segment.request(0, &suppress("conntrackd")).unwrap();
    segment.run(millis(1));
    assert_eq!(
        segment.log()[1..],
        [
            "  10.000s b carp0: BACKUP -> MASTER (preempting a demoted master)",
            "  10.000s a carp0: MASTER -> BACKUP (less demoted advertisement received)",
        ]
    );
}

/// Group with these settings, all hosts suppressed, ten seconds after its start.
fn suppressed_group(lines: [&str; 2]) -> Segment {
    let mut segment = Segment::new(["a", "b"]);
    for (host, line) in lines.iter().enumerate() {
        let name = segment.names()[host];
        segment
            .ifconfig(name, &format!("carp0 vhid 1 {line} 192.0.2.100/24"))
            .unwrap();
    }
    segment.run(seconds(10));
    for host in 0..lines.len() {
        segment.request(host, &suppress("conntrackd")).unwrap();
    }
    segment.run(seconds(10));
    segment.log();
    segment
}

#[test]
fn backup_waits_three_intervals_of_a_suppressed_master() {
    for (lines, bound) in [
        (["advbase 0 advskew 10", "advbase 0 advskew 20"], 2813),
        (["advbase 1", "advbase 0 advskew 20"], 5813),
        (["advbase 0 advskew 20", "advbase 1"], 5813),
    ] {
        let mut segment = suppressed_group(lines);
        let [master] = segment.masters("carp0")[..] else {
            panic!("{:?}", segment.masters("carp0"));
        };
        segment.run(seconds(60));
        assert_eq!(segment.log(), [""; 0], "{lines:?}");
        segment.crash(master);
        segment.run(millis(bound));
        assert_eq!(segment.holders("192.0.2.100").len(), 1, "{lines:?}");
    }
}

#[test]
fn suppressed_backup_leaves_a_slower_but_healthy_master_alone() {
    let mut segment = Segment::new(["a", "b"]);
    segment
        .ifconfig("a", "carp0 vhid 1 advbase 10 192.0.2.100/24")
        .unwrap();
    segment
        .ifconfig("b", "carp0 vhid 1 192.0.2.100/24")
        .unwrap();
    segment.request(1, &suppress("conntrackd")).unwrap();
    segment.run(seconds(60));
    assert_eq!(segment.masters("carp0"), ["a"]);
    segment.log();
    segment.run(seconds(60));
    assert_eq!(segment.log(), [""; 0]);
}

#[test]
fn master_answers_a_rival_once_in_the_shorter_interval() {
    let mut segment = Segment::new(["a", "b"]);
    segment
        .ifconfig("a", "carp0 vhid 1 advbase 10 192.0.2.100/24")
        .unwrap();
    segment
        .ifconfig("b", "carp0 vhid 1 192.0.2.100/24")
        .unwrap();
    segment.request(1, &suppress("conntrackd")).unwrap();
    segment.run(seconds(60));
    segment.log();
    // The first answer is lost. The answer to the next advertisement arrives.
    segment.ifconfig("b", "carp0 state master").unwrap();
    segment.cut("a", "b", true);
    segment.run(seconds(1));
    segment.cut("a", "b", false);
    segment.run(seconds(3));
    assert_eq!(segment.masters("carp0"), ["a"]);
}

fn suppress(who: &str) -> Request {
    Request::Suppress {
        who: who.to_owned(),
        why: "not in sync".to_owned(),
    }
}

#[test]
fn each_cause_adds_one_and_removes_one() {
    let mut segment = Segment::with_two_wires(["a"]);
    segment
        .ifconfig("a", "carp0 vhid 1 192.0.2.100/24")
        .unwrap();
    segment
        .ifconfig("a", "carp1 vhid 2 198.51.100.100/24")
        .unwrap();
    segment.run(seconds(5));
    let count = |segment: &Segment| segment.engine("a").get(Sysctl::SuppressPreempt);
    segment.carrier("a", ETH0, false);
    assert_eq!(count(&segment), 1);
    segment.carrier("a", ETH1, false);
    assert_eq!(count(&segment), 2);
    let Ok(carp_proto::Answer::Held(first)) = segment.request(0, &suppress("one")) else {
        panic!("not held");
    };
    let Ok(carp_proto::Answer::Held(second)) = segment.request(0, &suppress("two")) else {
        panic!("not held");
    };
    assert_eq!(count(&segment), 4);
    segment.request(0, &Request::Release(first)).unwrap();
    let _ = segment.request(0, &Request::Release(first));
    assert_eq!(count(&segment), 3, "letting go twice takes one back");
    segment.carrier("a", ETH0, true);
    segment.carrier("a", ETH1, true);
    segment.request(0, &Request::Release(second)).unwrap();
    assert_eq!(count(&segment), 0);
}

#[test]
fn host_that_cannot_send_suppresses_preemption_until_it_can() {
    let mut segment = Segment::new(["a"]);
    segment.ifconfig("a", A).unwrap();
    segment.run(seconds(5));
    segment.mute("a", true);
    segment.run(millis(1500));
    assert_eq!(
        segment.engine("a").get(Sysctl::SuppressPreempt),
        0,
        "two in a row are not enough"
    );
    segment.run(seconds(1));
    assert_eq!(segment.engine("a").get(Sysctl::SuppressPreempt), 1);
    assert_eq!(segment.status("a", "carp0").effective_advskew, 240);
    segment.mute("a", false);
    segment.run(seconds(10));
    assert_eq!(segment.engine("a").get(Sysctl::SuppressPreempt), 0);
    assert_eq!(segment.status("a", "carp0").effective_advskew, 0);
    let reports: Vec<bool> = segment
        .notices("a")
        .iter()
        .filter_map(|notice| {
            if let Notice::Sending { works, .. } = notice {
                Some(*works)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(reports, [false, true]);
}

/// Pair with preempt on.
fn preempting_pair() -> Segment {
    let mut segment = pair();
    for name in ["a", "b"] {
        segment.sysctl(name, Sysctl::Preempt, 1);
    }
    segment
}

#[test]
fn preferred_host_that_could_not_send_returns_once_it_can() {
    let mut segment = preempting_pair();
    segment.mute("a", true);
    segment.run(seconds(5));
    assert_eq!(segment.masters("carp0"), ["b"]);
    assert_eq!(segment.engine("a").get(Sysctl::SuppressPreempt), 1);
    segment.mute("a", false);
    segment.run(seconds(5));
    assert_eq!(segment.engine("a").get(Sysctl::SuppressPreempt), 0);
    assert_eq!(segment.masters("carp0"), ["a"]);
    segment.log();
    segment.run(seconds(60));
    assert_eq!(segment.log(), [""; 0]);
}

#[test]
fn host_that_still_cannot_send_tries_less_and_less_often() {
    let mut segment = preempting_pair();
    segment.mute("a", true);
    let mut tries = Vec::new();
    for second in 0..400 {
        segment.run(seconds(1));
        let takeovers = segment.log();
        let of_a = |line: &&String| line.contains("a carp0: BACKUP -> MASTER");
        if takeovers.iter().any(|line| of_a(&line)) {
            tries.push(second);
        }
    }
    let pauses: Vec<u64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[..4].is_sorted(), "{pauses:?}");
    assert!(pauses[0] <= 10 && pauses.len() < 12, "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= 66), "{pauses:?}");
    segment.mute("a", false);
    segment.run(seconds(62));
    assert_eq!(segment.masters("carp0"), ["a"]);
    assert_eq!(segment.engine("a").get(Sysctl::SuppressPreempt), 0);
}

/// Kinds of causes.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Cable,
    Sending,
    Holder,
}

#[test]
fn preferred_host_returns_after_each_cause_in_each_state() {
    for trouble in [Trouble::Cable, Trouble::Sending, Trouble::Holder] {
        // An event during the cause: none, a forced state, INIT, or the death of the peer.
        for meanwhile in ["", "carp0 state master", "carp0 down", "crash"] {
            let mut segment = preempting_pair();
            let mut held = None;
            match trouble {
                Trouble::Cable => segment.carrier("a", ETH0, false),
                Trouble::Sending => segment.mute("a", true),
                Trouble::Holder => {
                    let Ok(carp_proto::Answer::Held(holder)) = segment.request(0, &suppress("it"))
                    else {
                        panic!("not held");
                    };
                    held = Some(holder);
                }
            }
            segment.run(seconds(6));
            assert_eq!(segment.masters("carp0"), ["b"], "{trouble:?}");
            match meanwhile {
                "" => {}
                "crash" => segment.crash("b"),
                // Refused in INIT.
                line => drop(segment.ifconfig("a", line)),
            }
            segment.run(seconds(6));
            match trouble {
                Trouble::Cable => segment.carrier("a", ETH0, true),
                Trouble::Sending => segment.mute("a", false),
                Trouble::Holder => {
                    let holder = held.unwrap();
                    segment.request(0, &Request::Release(holder)).unwrap();
                }
            }
            match meanwhile {
                "crash" => {
                    segment.boot(1);
                    segment.sysctl("b", Sysctl::Preempt, 1);
                    segment.ifconfig("b", B).unwrap();
                }
                "carp0 down" => drop(segment.ifconfig("a", "carp0 up").unwrap()),
                _ => {}
            }
            segment.run(seconds(20));
            assert_eq!(segment.masters("carp0"), ["a"], "{trouble:?}, {meanwhile}");
            assert_eq!(segment.engine("a").get(Sysctl::SuppressPreempt), 0);
        }
    }
}

#[test]
fn interface_without_settings_suppresses_nothing() {
    let mut segment = Segment::new(["a"]);
    segment
        .ifconfig("a", "carp0 vhid 1 192.0.2.100/24")
        .unwrap();
    segment.carrier("a", ETH0, false);
    assert_eq!(segment.engine("a").get(Sysctl::SuppressPreempt), 1);
    segment.ifconfig("a", "carp0 down").unwrap();
    assert_eq!(segment.engine("a").get(Sysctl::SuppressPreempt), 0);
    segment.ifconfig("a", "carp0 up").unwrap();
    assert_eq!(segment.engine("a").get(Sysctl::SuppressPreempt), 1);
    segment.ifconfig("a", "carp0 destroy").unwrap();
    assert_eq!(segment.engine("a").get(Sysctl::SuppressPreempt), 0);
}

#[test]
fn failures_to_send_are_forgotten_in_init() {
    let mut segment = Segment::new(["a"]);
    segment.ifconfig("a", A).unwrap();
    segment.run(seconds(5));
    segment.mute("a", true);
    segment.run(seconds(5));
    assert_eq!(segment.engine("a").get(Sysctl::SuppressPreempt), 1);
    segment.carrier("a", ETH0, false);
    assert_eq!(
        segment.engine("a").get(Sysctl::SuppressPreempt),
        1,
        "the link now, not the sending"
    );
    segment.mute("a", false);
    segment.carrier("a", ETH0, true);
    assert_eq!(segment.engine("a").get(Sysctl::SuppressPreempt), 0);
}

#[test]
fn demoted_host_ignores_the_bow_out_of_the_other_family() {
    let mut segment = Segment::new(["a", "b"]);
    segment
        .ifconfig("a", "carp0 vhid 1 192.0.2.100/24 2001:db8::100/64")
        .unwrap();
    segment
        .ifconfig(
            "b",
            "carp0 vhid 1 advskew 9 192.0.2.100/24 2001:db8::100/64",
        )
        .unwrap();
    segment.request(1, &suppress("conntrackd")).unwrap();
    segment.run(seconds(10));
    segment.log();
    segment.ifconfig("a", "carp0 down").unwrap();
    segment.run(seconds(5));
    assert_eq!(
        segment.log(),
        [
            "  10.000s a carp0: MASTER -> INIT (administratively down)",
            "  10.000s b carp0: BACKUP -> MASTER (master will time out)",
        ]
    );
}
