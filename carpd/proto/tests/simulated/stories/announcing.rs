//! Announcements: sent once the kernel has the addresses, unless another host has taken over by then.

use carp_proto::Sysctl;

use super::{millis, pair, seconds};
use crate::segment::Segment;
use crate::segment::fates::announced;

/// Addresses that a host has announced.
fn announcements(segment: &Segment, host: usize) -> Vec<String> {
    let sent = segment.sent.iter().filter(|(from, _)| *from == host);
    sent.filter_map(|(_, frame)| Some(announced(frame)?.to_string()))
        .collect()
}

#[test]
fn master_preempted_at_its_first_advertisement_announces_nothing() {
    let mut segment = pair();
    segment.sysctl("a", Sysctl::Preempt, 1);
    segment.sent.clear();
    segment.ifconfig("a", "carp0 state backup").unwrap();
    segment.run(seconds(1));
    assert_eq!(
        segment.log(),
        [
            "  10.000s a carp0: MASTER -> BACKUP (user requested via ifconfig)",
            "  10.000s b carp0: BACKUP -> MASTER (master will time out)",
            "  10.000s a carp0: BACKUP -> MASTER (preempting a slower master)",
            "  10.000s b carp0: MASTER -> BACKUP (more frequent advertisement received)",
        ]
    );
    assert_eq!(announcements(&segment, 1), [""; 0]);
    assert_eq!(announcements(&segment, 0), ["192.0.2.100"]);
}

#[test]
fn address_added_during_a_takeover_is_announced_with_the_rest() {
    let mut segment = pair();
    segment.sent.clear();
    segment.ifconfig("a", "carp0 192.0.2.101/24").unwrap();
    segment.ifconfig("a", "carp0 192.0.2.102/24").unwrap();
    segment.run(millis(1));
    let all = ["192.0.2.100", "192.0.2.101", "192.0.2.102"];
    assert_eq!(announcements(&segment, 0), all);
}

#[test]
fn second_takeover_is_not_announced_at_the_end_of_the_first() {
    let mut segment = pair();
    segment.cut("a", "b", true);
    segment.cut("b", "a", true);
    segment.sent.clear();
    // The kernel performs these one after the other.
    for state in ["backup", "master", "backup", "master"] {
        let line = format!("carp0 state {state}");
        segment.ifconfig("a", &line).unwrap();
    }
    segment.run(millis(1));
    assert_eq!(announcements(&segment, 0), ["192.0.2.100"]);
}

#[test]
fn refused_address_is_announced_when_the_kernel_grants_it() {
    let mut segment = pair();
    segment.sent.clear();
    segment.ifconfig("a", "carp0 192.0.2.101/24").unwrap();
    segment.refuse("a", "carp0", "192.0.2.101");
    segment.run(millis(500));
    assert_eq!(announcements(&segment, 0), ["192.0.2.100"]);
    segment.sent.clear();
    segment.grant("a", "carp0", "192.0.2.101");
    segment.run(seconds(2));
    assert_eq!(announcements(&segment, 0), ["192.0.2.100", "192.0.2.101"]);
}
