//! An interface of which the tap and the ear are simulated, and the clock.

use core::time::Duration;
use std::collections::BTreeSet;

use carp_proto::{Family, Instant};

use super::super::pairing::Side;
use super::{Ears, Order, Phase, Why};

const TICK: Duration = Duration::from_millis(100);

/// From its source MAC to its payload an advertisement.
fn advertisement(last_of_mac: u8, mark: u8) -> Vec<u8> {
    let mut frame = vec![0x01, 0x00, 0x5e, 0, 0, 0x12, 0, 0, 0x5e, 0, 1, last_of_mac];
    frame.extend([0x08, 0x00, 0x45, 0x10, 0, 56, 0, 0, 0x40, 0, 255, 112, 0, 0]);
    frame.extend([192, 0, 2, 9, 224, 0, 0, 18, 0x21, 1, 100, 7]);
    frame.extend([mark; 32]);
    frame
}

fn unicast(mark: u8) -> Vec<u8> {
    let mut frame = advertisement(1, mark);
    frame[0] = 2;
    frame[6] = 2;
    frame
}

struct Host {
    ears: Ears,
    now: Instant,
    /// What is between the wire and the ear.
    dropped: BTreeSet<Family>,
    /// Whether the kernel thread is busy with something else.
    busy: bool,
    explained: Vec<Why>,
    listens: Vec<bool>,
    handed_on: usize,
}

impl Host {
    fn new() -> Self {
        Self {
            ears: Ears::new(),
            now: Instant::from_micros(50_000_000),
            dropped: BTreeSet::new(),
            busy: false,
            explained: Vec::new(),
            listens: Vec::new(),
            handed_on: 0,
        }
    }

    fn master_of(families: &[Family]) -> Self {
        let mut host = Self::new();
        host.want(families);
        host
    }

    fn want(&mut self, families: &[Family]) {
        self.ears.want(families.iter().copied().collect(), self.now);
    }

    fn families(&self) -> Vec<Family> {
        self.ears.wanted.iter().copied().collect()
    }

    fn tick(&mut self) {
        self.now = self.now + TICK;
        self.read();
        if self.ears.deadline().is_some_and(|due| due <= self.now) {
            for order in self.ears.tick(self.now) {
                match order {
                    Order::Listen(true) => {
                        self.listens.push(true);
                        self.ears.ear_is_there(self.now);
                    }
                    Order::Listen(false) => self.listens.push(false),
                    Order::Probe(number) if !self.busy => {
                        self.ears.probe_sent(number, self.now);
                        for family in self.families() {
                            if !self.dropped.contains(&family) {
                                self.ears.probe_heard(number, family);
                            }
                        }
                    }
                    Order::Probe(_) => {}
                    Order::Explain(why) => self.explained.push(why),
                }
            }
        }
        self.read();
    }

    /// Both sockets until they are empty.
    fn read(&mut self) {
        for side in [Side::Tap, Side::Ear] {
            if self.ears.opens(side) {
                self.ears.is_empty(side, self.now);
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.tick();
        }
    }

    /// A frame on the wire, heard by whoever can.
    fn comes(&mut self, frame: &[u8], by_ear: bool) {
        for (side, hears) in [(Side::Tap, true), (Side::Ear, by_ear)] {
            if hears && self.ears.opens(side) && self.ears.hears(side, frame, self.now) {
                self.handed_on += 1;
            }
        }
    }

    fn is_free(&self) -> bool {
        !self.ears.opens(Side::Tap)
    }

    /// How long it takes until the tap is shut; `None` if that takes too long.
    fn until_free(&mut self) -> Option<Duration> {
        let begin = self.now;
        while self.now < begin + Duration::from_secs(1000) {
            if self.is_free() {
                return Some(self.now.since(begin));
            }
            self.tick();
        }
        None
    }
}

const V4: &[Family] = &[Family::V4];
const BOTH: &[Family] = &Family::ALL;

#[test]
fn a_backup_hears_with_its_tap_alone() {
    let mut host = Host::new();
    host.pass(Duration::from_secs(100));
    assert!(host.ears.opens(Side::Tap) && !host.ears.opens(Side::Ear));
    assert_eq!(host.ears.deadline(), None);
    assert!(host.listens.is_empty());
}

#[test]
fn a_master_hears_with_its_ear_as_soon_as_that_is_proved() {
    let mut host = Host::master_of(BOTH);
    assert!(host.until_free().unwrap() < Duration::from_secs(3));
    assert!(host.ears.opens(Side::Ear));
    for mark in 0..100 {
        host.comes(&advertisement(1, mark), true);
        host.tick();
    }
    assert_eq!(host.handed_on, 100);
    assert_eq!(host.explained, []);

    // At most every twentieth second the tap is open, too.
    let mut taxed = 0;
    for _ in 0..6000 {
        host.tick();
        taxed += usize::from(!host.is_free());
    }
    assert!((50..400).contains(&taxed), "{taxed}");
}

#[test]
fn who_becomes_backup_opens_the_tap_at_once_and_shuts_the_ear_when_it_is_empty() {
    let mut host = Host::master_of(V4);
    host.until_free().unwrap();
    host.want(&[]);
    assert!(host.ears.opens(Side::Tap) && host.ears.opens(Side::Ear));
    // Between the two it was heard by both, and before by the ear.
    assert!(host.ears.hears(Side::Tap, &advertisement(1, 2), host.now));
    assert!(host.ears.hears(Side::Ear, &advertisement(1, 1), host.now));
    assert!(!host.ears.hears(Side::Ear, &advertisement(1, 2), host.now));
    host.tick();
    assert!(!host.ears.opens(Side::Ear));
    assert_eq!(host.listens, [true, false]);
    host.pass(Duration::from_secs(5));
    assert_eq!(host.ears.deadline(), None);
}

#[test]
fn one_family_proves_nothing_for_the_other() {
    let mut host = Host::master_of(V4);
    host.dropped = [Family::V6].into();
    host.until_free().unwrap();
    host.want(BOTH);
    assert!(!host.is_free(), "at once");
    assert_eq!(host.until_free(), None);
    assert_eq!(host.explained, [Why::NoAnswer], "once");
    host.dropped.clear();
    assert!(host.until_free().unwrap() < Duration::from_secs(15));
}

#[test]
fn an_ear_that_becomes_deaf_is_noticed_in_two_seconds() {
    let mut host = Host::master_of(V4);
    host.until_free().unwrap();
    for pause in 0..20 {
        host.pass(TICK * pause);
        host.until_free().unwrap();
        host.dropped = V4.iter().copied().collect();
        let begin = host.now;
        while host.is_free() {
            host.tick();
        }
        assert!(host.now.since(begin) <= Duration::from_secs(2));
        host.dropped.clear();
    }
}

#[test]
fn nothing_is_believed_that_was_not_probed() {
    let mut host = Host::master_of(V4);
    host.busy = true;
    assert_eq!(host.until_free(), None);
    host.busy = false;
    host.until_free().unwrap();
    host.busy = true;
    host.pass(Duration::from_secs(5));
    assert!(!host.is_free());
    assert_eq!(host.explained, [], "the kernel thread had no time");
}

#[test]
fn an_advertisement_that_the_ear_misses_keeps_the_tap_open() {
    let mut host = Host::master_of(V4);
    host.pass(Duration::from_secs(1));
    host.comes(&advertisement(1, 1), false);
    assert!(host.until_free().unwrap() > Duration::from_secs(600));
    assert_eq!(host.explained, [Why::Missed]);
    assert_eq!(host.handed_on, 1);
}

#[test]
fn a_peer_that_advertises_to_this_host_alone_keeps_the_tap_open() {
    let mut host = Host::master_of(V4);
    host.pass(Duration::from_secs(1));
    for mark in 0..200 {
        host.comes(&unicast(mark), false);
        host.pass(Duration::from_secs(1));
        assert!(!host.is_free());
    }
    assert_eq!((host.handed_on, host.explained.len()), (200, 1));
    assert_eq!(host.explained, [Why::Unicast]);

    // One that comes later is heard within half a minute.
    let mut host = Host::master_of(V4);
    host.until_free().unwrap();
    host.pass(Duration::from_secs(1));
    while host.handed_on == 0 {
        assert!(host.now < Instant::from_micros(90_000_000));
        host.comes(&unicast(1), false);
        host.pass(Duration::from_secs(1));
    }
}

#[test]
fn what_else_only_the_tap_hears_says_nothing() {
    let mut host = Host::master_of(V4);
    host.pass(Duration::from_secs(1));
    let mut fragment = advertisement(1, 1);
    fragment[20] = 0x20;
    host.comes(&fragment, false);
    let mut vrrp = unicast(1);
    vrrp[34 + 3] = 1;
    host.comes(&vrrp, false);
    assert!(host.until_free().unwrap() < Duration::from_secs(5));
    assert_eq!(host.explained, []);
}

#[test]
fn what_the_tap_had_before_there_was_an_ear_says_nothing() {
    let mut host = Host::master_of(V4);
    while host.ears.phase == Phase::Tap {
        host.now = host.now + TICK;
        for order in host.ears.tick(host.now) {
            assert_eq!(order, Order::Listen(true));
            host.ears.ear_is_there(host.now);
        }
    }
    host.comes(&advertisement(1, 1), false);
    host.pass(Duration::from_secs(2));
    assert!(host.until_free().unwrap() < Duration::from_secs(5));
    assert_eq!(host.explained, []);
}

#[test]
fn an_ear_that_is_gone_is_asked_for_again() {
    let mut host = Host::master_of(V4);
    host.until_free().unwrap();
    host.ears.ear_is_gone(host.now);
    assert!(host.ears.opens(Side::Tap) && !host.ears.opens(Side::Ear));
    assert!(host.until_free().unwrap() < Duration::from_secs(10));
    assert_eq!(host.listens, [true, true]);
}

#[test]
fn more_than_can_be_compared_is_left_to_the_tap() {
    let mut host = Host::master_of(V4);
    host.pass(Duration::from_secs(1));
    for number in 0..40_000_u32 {
        let [_, _, high, low] = number.to_be_bytes();
        let mut frame = advertisement(1, high);
        frame.push(low);
        host.comes(&frame, false);
    }
    assert_eq!(host.handed_on, 40_000);
    assert!(host.ears.opens(Side::Tap) && !host.ears.opens(Side::Ear));
    assert!(host.until_free().unwrap() > Duration::from_secs(10));
}
