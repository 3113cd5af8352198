//! Replay of recorded advertisements by a host on the segment, in each mode of
//! `net.inet.carp.replay`, as carp(4) describes it.

use std::net::IpAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use carp_proto::Mac;
use carp_proto::wire::carp::Header;
use carp_proto::wire::frames;
use carp_tests::{
    Capture, Carpd, Frame, Host, MARGIN, Pair, REACTION_TIMEOUT, master_down, wait_until,
};

const ADDRESS: &str = "192.168.1.1";

/// Offset of the CARP header in an IPv4 advertisement.
const HEADER: usize = 14 + 20;

/// A MAC and an address that no host of the pair has.
const ELSEWHERE: (Mac, IpAddr) = (
    Mac([2, 0, 0, 0, 0, 0x77]),
    IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 77)),
);

/// A pair in one replay mode, and an attacker on the segment.
struct Site {
    pair: Pair,
    attacker: Host,
}

impl Site {
    fn new(mode: u8) -> Result<Self> {
        let pair = Pair::new()?;
        for carpd in [&pair.a, &pair.b] {
            carpd.carpctl(&format!("sysctl net.inet.carp.replay={mode}"))?;
        }
        pair.form_group("192.168.1.1/24")?;
        let attacker = pair.lab.host("attacker", &[("lan", "192.168.1.66/24")])?;
        Ok(Self { pair, attacker })
    }

    fn send(&self, frames: &[Vec<u8>]) -> Result<()> {
        self.attacker.inject("eth0", frames)
    }

    /// Returns A's next advertisements.
    fn record(&self, count: usize) -> Result<Vec<Frame>> {
        let mut sent = Capture::sent_by(self.pair.a.host(), "eth0")?;
        let bound = Duration::from_secs(2) * u32::try_from(count)? + MARGIN;
        wait_until("A advertises", bound, || {
            Ok((advertisements(sent.frames()?).len() >= count).then_some(()))
        })?;
        Ok(advertisements(sent.stop()?))
    }

    /// Ends A and its host.
    fn kill_a(&mut self) -> Result<()> {
        self.pair.a.host().pull("eth0")?;
        self.pair.a.kill()
    }
}

fn advertisements(frames: Vec<Frame>) -> Vec<Frame> {
    let mut frames = frames;
    frames.retain(|frame| frame.advertisement().is_some());
    frames
}

fn header(frame: &Frame) -> Result<Header> {
    let bytes = frame.bytes.get(HEADER..).context("a frame cut short")?;
    Header::parse(bytes).map_err(|error| anyhow::anyhow!("{error:?}"))
}

/// Returns the advertisement with rewritten fields and a correct checksum, from its own source or,
/// if `elsewhere`, from another one.
fn forged(frame: &Frame, elsewhere: bool, rewrite: impl FnOnce(&mut Header)) -> Result<Vec<u8>> {
    let mut header = header(frame)?;
    rewrite(&mut header);
    let source = frame.advertisement().context("an advertisement")?.source;
    let (mac, source) = if elsewhere {
        ELSEWHERE
    } else {
        (Mac([0, 0, 0x5e, 0, 1, 1]), source)
    };
    Ok(frames::advertisement(mac, source, &header))
}

fn fast(header: &mut Header) {
    (header.advbase, header.advskew) = (0, 1);
}

fn slow(header: &mut Header) {
    (header.advbase, header.advskew, header.demotion) = (200, 254, 255);
}

fn bow_out(header: &mut Header) {
    (header.advbase, header.advskew) = (255, 255);
}

/// Returns every variant of the recorded advertisements: those that would make a MASTER yield, a
/// BACKUP take over, or keep a dead master alive.
fn everything(recorded: &[Frame]) -> Result<Vec<Vec<u8>>> {
    let mut frames = Vec::new();
    for frame in recorded {
        frames.push(frame.bytes.clone());
        for elsewhere in [false, true] {
            frames.push(forged(frame, elsewhere, |_| ())?);
            frames.push(forged(frame, elsewhere, fast)?);
            frames.push(forged(frame, elsewhere, slow)?);
            frames.push(forged(frame, elsewhere, bow_out)?);
        }
    }
    Ok(frames)
}

fn transitions(carpd: &Carpd) -> Result<u64> {
    carpd.counter("carp0", "ostates")
}

#[test]
fn replay_mode_2_refuses_every_recorded_advertisement() -> Result<()> {
    let mut site = Site::new(2)?;
    let recorded = site.record(4)?;
    let frames = everything(&recorded)?;
    let pair = &mut site.pair;
    // B accepted the original advertisements once.
    let states = [transitions(&pair.a)?, transitions(&pair.b)?];
    let refused = pair.b.counter("carp0", "badauth")?;
    let attacker = site.attacker.clone();
    attacker.inject("eth0", &frames)?;
    wait_until("B has refused all of them", MARGIN, || {
        let now = pair.b.counter("carp0", "badauth")?;
        Ok((now >= refused + frames.len() as u64).then_some(()))
    })?;
    pair.b
        .wait_for_log("its counter is not greater than the last one accepted")?;
    pair.a.wait_for_log("bad packet")?;
    pair.b.wait_for_counter("carp0", "ipackets", 2)?;
    assert_eq!([transitions(&pair.a)?, transitions(&pair.b)?], states);
    pair.client_reaches(ADDRESS)?;

    // No recording keeps a dead master alive or drives out the new one.
    site.kill_a()?;
    let b = &site.pair.b;
    let end = Instant::now() + master_down(1, 100) + MARGIN;
    while b.state("carp0")? != "MASTER" {
        ensure!(Instant::now() < end, "B does not take over");
        site.send(&frames)?;
    }
    let before = b.counter("carp0", "opackets")?;
    wait_until("B continues to advertise", master_down(1, 100), || {
        site.send(&frames)?;
        Ok((b.counter("carp0", "opackets")? >= before + 2).then_some(()))
    })?;
    assert_eq!(b.state("carp0")?, "MASTER");
    assert_eq!(transitions(b)?, states[1] + 1);
    // The attacker's frames have moved the virtual MAC to its switch port until B sends again.
    b.wait_for_counter("carp0", "opackets", 1)?;
    site.pair.client_reaches(ADDRESS)
}

#[test]
fn replay_mode_2_accepts_a_delayed_advertisement_once() -> Result<()> {
    let mut site = Site::new(2)?;
    let b = site.pair.b.host().clone();
    // The switch sends nothing to B for a moment.
    b.set_port("eth0", "state 0")?;
    let held_back = site.record(1)?;
    site.kill_a()?;
    b.set_port("eth0", "state 3")?;
    let last = held_back.last().context("an advertisement")?;
    let b = &site.pair.b;
    let refused = b.counter("carp0", "badauth")?;
    // B accepts the first one. None that follows delays the takeover any further.
    let delivered = Instant::now();
    site.send(std::slice::from_ref(&last.bytes))?;
    assert_eq!(b.state("carp0")?, "BACKUP");
    let bound = master_down(1, 100) + MARGIN;
    wait_until("B takes over", bound, || {
        site.send(std::slice::from_ref(&last.bytes))?;
        Ok((b.state("carp0")? == "MASTER").then_some(()))
    })?;
    let waited = delivered.elapsed();
    ensure!(
        waited >= master_down(1, 100),
        "B took over after {waited:?}"
    );
    ensure!(b.counter("carp0", "badauth")? > refused, "none was refused");
    Ok(())
}

/// Asserts that a recording, sent at the master's pace, keeps the master alive.
fn a_dead_master_lives_on(mode: u8) -> Result<()> {
    let mut site = Site::new(mode)?;
    let recorded = site.record(2)?;
    let last = recorded.last().context("an advertisement")?.bytes.clone();
    site.kill_a()?;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(7) {
        // The test needs this pace.
        sleep(Duration::from_millis(800));
        site.send(std::slice::from_ref(&last))?;
        assert_eq!(site.pair.b.state("carp0")?, "BACKUP");
    }
    let b = &site.pair.b;
    b.wait_for_state("carp0", "MASTER", master_down(1, 100))
}

#[test]
fn recordings_keep_a_dead_master_alive_in_replay_mode_0() -> Result<()> {
    a_dead_master_lives_on(0)
}

#[test]
fn paced_recordings_keep_a_dead_master_alive_in_replay_mode_1() -> Result<()> {
    a_dead_master_lives_on(1)
}

#[test]
fn forged_advskew_makes_a_master_yield_in_replay_modes_0_and_1() -> Result<()> {
    let site = Site::new(0)?;
    for mode in [0, 1] {
        let pair = &site.pair;
        for carpd in [&pair.a, &pair.b] {
            carpd.carpctl(&format!("sysctl net.inet.carp.replay={mode}"))?;
            carpd.carpctl("sysctl net.inet.carp.preempt=1")?;
        }
        pair.a
            .wait_for_state("carp0", "MASTER", master_down(1, 100))?;
        let recorded = site.record(1)?;
        let last = recorded.last().context("an advertisement")?;
        site.send(&[forged(last, true, fast)?])?;
        pair.a.wait_for_state("carp0", "BACKUP", Duration::ZERO)?;
        let transition = pair.a.interface("carp0")?.last_transition;
        let transition = transition.context("a transition")?;
        assert_eq!(transition.reason, "more-frequent-advertisement");
    }
    Ok(())
}

#[test]
fn repetition_is_refused_in_replay_mode_1_and_not_in_mode_0() -> Result<()> {
    let site = Site::new(1)?;
    for (mode, refused) in [(1, true), (0, false)] {
        for carpd in [&site.pair.a, &site.pair.b] {
            carpd.carpctl(&format!("sysctl net.inet.carp.replay={mode}"))?;
        }
        let recorded = site.record(3)?;
        let first = recorded.first().context("an advertisement")?;
        // B has heard A once more, so the recorded advertisement is older than the last one
        // accepted.
        site.pair.b.wait_for_counter("carp0", "ipackets", 1)?;
        let before = site.pair.b.counter("carp0", "badauth")?;
        site.send(std::slice::from_ref(&first.bytes))?;
        site.pair.b.wait_for_counter("carp0", "ipackets", 1)?;
        let after = site.pair.b.counter("carp0", "badauth")?;
        assert_eq!(after > before, refused, "mode {mode}");
    }
    let log = "repeats an advertisement heard before (a network loop?)";
    site.pair.b.wait_for_log(log)?;
    site.pair
        .b
        .wait_for_state("carp0", "BACKUP", REACTION_TIMEOUT)
}
