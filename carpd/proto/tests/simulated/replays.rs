//! `net.inet.carp.replay` with the counters of BSD hosts, and with clocks that differ.

use std::time::Duration;

use carp_proto::wire::carp::{ADVERTISEMENT, AUTHLEN, Header, VERSION};
use carp_proto::wire::frames;
use carp_proto::{Counter, Digests, Key, Mac, Sysctl};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::segment::Segment;

/// Change of a BSD host's counter from one advertisement to the next.
#[derive(Clone, Copy, Debug)]
enum Habit {
    /// Constant: OpenBSD.
    Keeps,
    /// Random: NetBSD and DragonFly before their first valid advertisement.
    Draws(u64),
    /// The last one heard plus one: NetBSD and DragonFly.
    AddsOne,
    /// The same, after hearing a host that is behind by so much.
    GoesBack(u64),
}

fn habit() -> impl Strategy<Value = Habit> {
    prop_oneof![
        Just(Habit::Keeps),
        any::<u64>().prop_map(Habit::Draws),
        Just(Habit::AddsOne),
        (1..8_u64).prop_map(Habit::GoesBack),
    ]
}

fn advertisement(advskew: u8, counter: u64) -> Vec<u8> {
    let key = Key::password(b"secret").unwrap();
    let address = "192.0.2.100".parse().unwrap();
    let digests = Digests::new(&key, 1_u64.try_into().unwrap(), &[address]);
    let header = Header {
        version: VERSION,
        kind: ADVERTISEMENT,
        vhid: 1,
        advskew,
        authlen: AUTHLEN,
        demotion: 0,
        advbase: 1,
        counter,
        digest: digests.digest(counter),
    };
    let mac = Mac([0x00, 0x00, 0x5e, 0x00, 0x01, 0x01]);
    frames::advertisement(mac, "192.0.2.9".parse().unwrap(), &header)
}

proptest! {
    #[test]
    fn counters_of_a_bsd_master_make_no_second_master(
        habits in vec(habit(), 1..60),
        advskew in 0..=254_u8,
        jitter in vec(0..100_u64, 60),
    ) {
        let mut segment = Segment::new(["us"]);
        segment.ifconfig("us", "carp0 vhid 1 pass secret 192.0.2.100/24").unwrap();
        let interval = Duration::from_micros(1_000_000 + u64::from(advskew) * 3907);
        let mut counter = 1_000_u64;
        for (habit, late) in habits.iter().zip(jitter) {
            counter = match habit {
                Habit::Keeps => counter,
                Habit::Draws(counter) => *counter,
                Habit::AddsOne => counter.wrapping_add(1),
                Habit::GoesBack(steps) => counter.saturating_sub(*steps),
            };
            segment.inject("us", &advertisement(advskew, counter));
            segment.run(interval + Duration::from_millis(late));
        }
        prop_assert!(segment.masters("carp0").is_empty());
        let counters = segment.status("us", "carp0").counters;
        prop_assert_eq!(counters.of(Counter::Badauth), 0);
    }

    #[test]
    fn hosts_whose_clocks_differ_within_the_window_settle_in_strict_mode(
        clocks in vec(-25_000_000..25_000_000_i64, 3),
        skews in vec(0..=254_u8, 3),
        downs in vec((0..3_usize, 1..20_u64), 0..12),
    ) {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let mut segment = Segment::new(NAMES);
        for ((name, clock), advskew) in NAMES.iter().zip(clocks).zip(skews) {
            segment.step_clock(name, clock);
            segment.sysctl(name, Sysctl::Replay, 2);
            let line = format!("carp0 vhid 1 advskew {advskew} 192.0.2.100/24");
            segment.ifconfig(name, &line).unwrap();
        }
        for (host, seconds) in downs {
            segment.ifconfig(NAMES[host], "carp0 down").unwrap();
            segment.run(Duration::from_secs(seconds));
            segment.ifconfig(NAMES[host], "carp0 up").unwrap();
            segment.run(Duration::from_millis(seconds * 100));
        }
        // While several equal hosts are MASTER, they may seal equal counters.
        segment.run(Duration::from_secs(10));
        prop_assert_eq!(segment.masters("carp0").len(), 1);
        let refused = |segment: &Segment| {
            NAMES.map(|name| segment.status(name, "carp0").counters.of(Counter::Badauth))
        };
        let before = refused(&segment);
        segment.run(Duration::from_secs(30));
        prop_assert_eq!(segment.masters("carp0").len(), 1);
        prop_assert_eq!(refused(&segment), before, "a host refuses an advertisement");
    }
}
