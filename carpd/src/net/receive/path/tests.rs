//! A receive path with simulated sockets, helper devices and clock.

use core::time::Duration;
use std::collections::BTreeSet;

use carp_proto::{Family, Instant};

use super::super::pairing::Source;
use super::{DirectReason, Phase, ReceivePath, Step};

const TICK: Duration = Duration::from_millis(100);

/// Returns a frame with the source MAC, length and header of an advertisement.
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
    path: ReceivePath,
    now: Instant,
    /// Families that do not reach the helper devices.
    dropped: BTreeSet<Family>,
    /// Set while the kernel thread sends no probe.
    is_busy: bool,
    explained: Vec<DirectReason>,
    /// Requests for the helper devices.
    requested: Vec<bool>,
    handed_on: usize,
}

impl Host {
    fn new() -> Self {
        Self {
            path: ReceivePath::new(),
            now: Instant::from_micros(50_000_000),
            dropped: BTreeSet::new(),
            is_busy: false,
            explained: Vec::new(),
            requested: Vec::new(),
            handed_on: 0,
        }
    }

    fn master_of(families: &[Family]) -> Self {
        let mut host = Self::new();
        host.use_families(families);
        host
    }

    fn use_families(&mut self, families: &[Family]) {
        self.path
            .use_families(families.iter().copied().collect(), self.now);
    }

    fn families(&self) -> Vec<Family> {
        self.path.families.iter().copied().collect()
    }

    fn tick(&mut self) {
        self.now = self.now + TICK;
        self.read();
        if self.path.deadline().is_some_and(|due| due <= self.now) {
            for step in self.path.tick(self.now) {
                match step {
                    Step::UseHelpers(true) => {
                        self.requested.push(true);
                        self.path.helpers_are_up(self.now);
                    }
                    Step::UseHelpers(false) => self.requested.push(false),
                    Step::Probe(number) if !self.is_busy => {
                        self.path.probe_sent(number, self.now);
                        for family in self.families() {
                            if !self.dropped.contains(&family) {
                                self.path.probe_received(number, family);
                            }
                        }
                    }
                    Step::Probe(_) => {}
                    Step::Explain(reason) => self.explained.push(reason),
                }
            }
        }
        self.read();
    }

    /// Reads from both sources until no frame is left.
    fn read(&mut self) {
        for source in [Source::Direct, Source::Helpers] {
            if self.path.uses(source) {
                self.path.drained(source, self.now);
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.tick();
        }
    }

    /// Sends a frame to both sources, or to the direct socket alone.
    fn arrive(&mut self, frame: &[u8], at_helpers: bool) {
        for (source, receives) in [(Source::Direct, true), (Source::Helpers, at_helpers)] {
            if receives && self.path.uses(source) && self.path.is_new(source, frame, self.now) {
                self.handed_on += 1;
            }
        }
    }

    fn is_free(&self) -> bool {
        !self.path.uses(Source::Direct)
    }

    /// Returns the time until the direct socket closes; `None` if that takes too long.
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
fn backup_uses_the_direct_socket_alone() {
    let mut host = Host::new();
    host.pass(Duration::from_secs(100));
    assert!(host.path.uses(Source::Direct) && !host.path.uses(Source::Helpers));
    assert_eq!(host.path.deadline(), None);
    assert!(host.requested.is_empty());
}

#[test]
fn master_uses_helpers_alone_once_they_are_proved() {
    let mut host = Host::master_of(BOTH);
    assert!(host.until_free().unwrap() < Duration::from_secs(3));
    assert!(host.path.uses(Source::Helpers));
    for mark in 0..100 {
        host.arrive(&advertisement(1, mark), true);
        host.tick();
    }
    assert_eq!(host.handed_on, 100);
    assert_eq!(host.explained, []);

    // The direct socket is open for at most one second in fifteen.
    let mut taxed = 0;
    for _ in 0..6000 {
        host.tick();
        taxed += usize::from(!host.is_free());
    }
    assert!((50..400).contains(&taxed), "{taxed}");
}

#[test]
fn new_backup_opens_the_direct_socket_and_drains_the_helpers() {
    let mut host = Host::master_of(V4);
    host.until_free().unwrap();
    host.use_families(&[]);
    assert!(host.path.uses(Source::Direct) && host.path.uses(Source::Helpers));
    // Both have received the frame with mark 2, and the helper devices another one before.
    assert!(
        host.path
            .is_new(Source::Direct, &advertisement(1, 2), host.now)
    );
    assert!(
        host.path
            .is_new(Source::Helpers, &advertisement(1, 1), host.now)
    );
    assert!(
        !host
            .path
            .is_new(Source::Helpers, &advertisement(1, 2), host.now)
    );
    host.tick();
    assert!(!host.path.uses(Source::Helpers));
    assert_eq!(host.requested, [true, false]);
    host.pass(Duration::from_secs(5));
    assert_eq!(host.path.deadline(), None);
}

#[test]
fn probe_of_one_family_proves_nothing_for_the_other() {
    let mut host = Host::master_of(V4);
    host.dropped = [Family::V6].into();
    host.until_free().unwrap();
    host.use_families(BOTH);
    assert!(!host.is_free(), "at once");
    assert_eq!(host.until_free(), None);
    assert_eq!(host.explained, [DirectReason::ProbeLost], "once");
    host.dropped.clear();
    assert!(host.until_free().unwrap() < Duration::from_secs(15));
}

#[test]
fn helpers_that_receive_nothing_are_noticed_in_two_seconds() {
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
fn helpers_are_not_relied_on_without_a_probe() {
    let mut host = Host::master_of(V4);
    host.is_busy = true;
    assert_eq!(host.until_free(), None);
    host.is_busy = false;
    host.until_free().unwrap();
    host.is_busy = true;
    host.pass(Duration::from_secs(5));
    assert!(!host.is_free());
    assert_eq!(host.explained, [], "the kernel thread had no time");
}

#[test]
fn lost_advertisement_keeps_the_direct_socket_open() {
    let mut host = Host::master_of(V4);
    host.pass(Duration::from_secs(1));
    host.arrive(&advertisement(1, 1), false);
    assert!(host.until_free().unwrap() > Duration::from_secs(600));
    assert_eq!(host.explained, [DirectReason::AdvertisementLost]);
    assert_eq!(host.handed_on, 1);
}

#[test]
fn unicast_peer_keeps_the_direct_socket_open() {
    let mut host = Host::master_of(V4);
    host.pass(Duration::from_secs(1));
    for mark in 0..200 {
        host.arrive(&unicast(mark), false);
        host.pass(Duration::from_secs(1));
        assert!(!host.is_free());
    }
    assert_eq!((host.handed_on, host.explained.len()), (200, 1));
    assert_eq!(host.explained, [DirectReason::UnicastPeer]);

    // If such a peer starts later, it is received within half a minute.
    let mut host = Host::master_of(V4);
    host.until_free().unwrap();
    host.pass(Duration::from_secs(1));
    while host.handed_on == 0 {
        assert!(host.now < Instant::from_micros(90_000_000));
        host.arrive(&unicast(1), false);
        host.pass(Duration::from_secs(1));
    }
}

#[test]
fn frame_that_helpers_never_receive_proves_no_loss() {
    let mut host = Host::master_of(V4);
    host.pass(Duration::from_secs(1));
    let mut fragment = advertisement(1, 1);
    fragment[20] = 0x20;
    host.arrive(&fragment, false);
    let mut vrrp = unicast(1);
    vrrp[34 + 3] = 1;
    host.arrive(&vrrp, false);
    assert!(host.until_free().unwrap() < Duration::from_secs(5));
    assert_eq!(host.explained, []);
}

#[test]
fn frame_from_before_the_helpers_were_up_proves_no_loss() {
    let mut host = Host::master_of(V4);
    while host.path.phase == Phase::Direct {
        host.now = host.now + TICK;
        for step in host.path.tick(host.now) {
            assert_eq!(step, Step::UseHelpers(true));
            host.path.helpers_are_up(host.now);
        }
    }
    host.arrive(&advertisement(1, 1), false);
    host.pass(Duration::from_secs(2));
    assert!(host.until_free().unwrap() < Duration::from_secs(5));
    assert_eq!(host.explained, []);
}

#[test]
fn lost_helpers_are_requested_again() {
    let mut host = Host::master_of(V4);
    host.until_free().unwrap();
    host.path.helpers_are_lost(host.now);
    assert!(host.path.uses(Source::Direct) && !host.path.uses(Source::Helpers));
    assert!(host.until_free().unwrap() < Duration::from_secs(10));
    assert_eq!(host.requested, [true, true]);
}

#[test]
fn flood_is_left_to_the_direct_socket() {
    let mut host = Host::master_of(V4);
    host.pass(Duration::from_secs(1));
    for number in 0..40_000_u32 {
        let [_, _, high, low] = number.to_be_bytes();
        let mut frame = advertisement(1, high);
        frame.push(low);
        host.arrive(&frame, false);
    }
    assert_eq!(host.handed_on, 40_000);
    assert!(host.path.uses(Source::Direct) && !host.path.uses(Source::Helpers));
    assert!(host.until_free().unwrap() > Duration::from_secs(10));
}
