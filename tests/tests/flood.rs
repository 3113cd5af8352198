//! A flood of bad advertisements on a running pair.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_proto::Mac;
use carp_proto::wire::frames;
use carp_tests::{
    Capture, Carpd, Frame, MARGIN, Pair, REACTION_TIMEOUT, carp_frame, forged, master_down,
    wait_until,
};

/// Frames a second for each host. Programs built for debugging take ten times as long for each.
const RATE: u32 = if cfg!(debug_assertions) {
    10_000
} else {
    100_000
};

/// Flooded hosts, by index, with the part of the rate that has to be reached there. On one machine,
/// two hosts and two senders share the processors: both hosts together reach the full rate only in
/// sum, so each host is flooded alone as well.
const FLOODED: &[(&[usize], f64)] = if cfg!(debug_assertions) {
    &[(&[0, 1], 0.99)]
} else {
    &[(&[0, 1], 0.5), (&[0], 0.99), (&[1], 0.99)]
};

const FLOOD_TIME: Duration = Duration::from_secs(30);

/// Most lines about bad packets: four for each of seven kinds, one every ten seconds.
const MAX_LINES: usize = 28;

/// Returns one bad advertisement of each kind.
fn bad_frames(own: Vec<u8>) -> Vec<Vec<u8>> {
    let header = forged(1);
    let packet = |ttl, payload: &[u8]| carp_frame([192, 168, 1, 77].into(), ttl, payload);
    let vrrp = [
        0x21, 0x01, 0x64, 0x01, 0x00, 0x01, 0x39, 0x5e, 192, 168, 1, 50, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let mut damaged = header.emit();
    damaged[20] ^= 1;
    let mac = Mac([0, 0, 0x5e, 0, 1, 1]);
    vec![
        frames::advertisement(mac, [192, 168, 1, 77].into(), &header),
        packet(255, &header.emit()[..35]),
        packet(255, &vrrp),
        own,
        packet(254, &header.emit()),
        packet(255, &forged(99).emit()),
        packet(255, &damaged),
    ]
}

/// Floods hosts from the other ends of their cables, so that the switch takes no processor time;
/// returns the lowest of the rates.
fn flood(pair: &Pair, hosts: &[&Carpd], frames: &[Vec<u8>], span: Duration) -> Result<f64> {
    let switch = pair.lab.switch();
    let floods: Vec<_> = hosts
        .iter()
        .map(|carpd| switch.flood(&carpd.host().port("eth0"), frames, RATE, span))
        .collect();
    let rates: Vec<f64> = floods
        .into_iter()
        .map(|flood| Ok(flood?.finish()?.rate()))
        .collect::<Result<_>>()?;
    rates.into_iter().reduce(f64::min).context("no host")
}

/// Asserts that no host changes state, grows or misses an advertisement while `flooded` get
/// `frames` at this part of the rate at least.
fn survives(pair: &Pair, flooded: &[&Carpd], frames: &[Vec<u8>], part: f64) -> Result<()> {
    let both = [&pair.a, &pair.b];
    let of_both = |counter: &str| -> Result<Vec<u64>> {
        both.iter()
            .map(|carpd| carpd.counter("carp0", counter))
            .collect()
    };
    let lines = |carpd: &Carpd| -> Result<usize> { Ok(carpd.log()?.matches("bad packet").count()) };
    let before = [lines(&pair.a)?, lines(&pair.b)?];
    let (states, footprints) = (of_both("ostates")?, pair.footprints()?);
    let believed = |carpd: &Carpd| -> Result<u64> {
        let counters = carpd.interface("carp0")?.statistics;
        let of = |name: &str| counters.get(name).copied().context("a counter");
        Ok(of("ipackets")? - of("badauth")? - of("badver")?)
    };
    let mut third = Capture::received_by(&pair.client, "eth0")?;
    let (said, heard) = (pair.a.counter("carp0", "opackets")?, believed(&pair.b)?);

    let rate = flood(pair, flooded, frames, FLOOD_TIME)?;
    let names: Vec<&str> = flooded.iter().map(|carpd| carpd.host().name()).collect();
    let names = names.join(" and ");
    println!("{rate:.0} bad advertisements a second at {names} for {FLOOD_TIME:?}");
    let least = f64::from(RATE) * part;
    ensure!(rate >= least, "less than {least:.0}");

    assert_eq!(of_both("ostates")?, states, "no host changes state");
    // The queues are read or have overflowed by now.
    wait_until(
        "B has accepted all that A sent",
        master_down(1, 0) + MARGIN,
        || {
            let heard = believed(&pair.b)? - heard;
            let said = pair.a.counter("carp0", "opackets")? - said;
            ensure!(heard + 1 >= said, "B has accepted {heard} of {said}");
            Ok(Some(()))
        },
    )?;
    let of_a = |frame: &Frame| frame.advertisement().is_some().then_some(frame.time);
    let times: Vec<u64> = third.stop()?.iter().filter_map(of_a).collect();
    let pairs = times.iter().zip(times.iter().skip(1));
    let longest = pairs.map(|(one, next)| next - one).max();
    let longest = Duration::from_micros(longest.context("no advertisements")?);
    println!("a third host has waited for an advertisement for {longest:?} at most");
    ensure!(
        longest < Duration::from_secs(2),
        "an advertisement was missed"
    );
    for ((carpd, footprint), before) in both.into_iter().zip(footprints).zip(before) {
        carpd.has_not_grown(footprint)?;
        carpd.wait_for_log("more held back)")?;
        let log = carpd.log()?;
        let lines = lines(carpd)? - before;
        println!(
            "{footprint:?} -> {:?}, {lines} lines of log",
            carpd.footprint()?
        );
        ensure!(lines <= MAX_LINES, "{lines} lines:\n{log}");
    }
    pair.client_reaches("192.168.1.1")
}

#[test]
fn flood_of_bad_advertisements_changes_nothing() -> Result<()> {
    let pair = Pair::new()?;
    let both = [&pair.a, &pair.b];
    for carpd in both {
        // In this mode, B's counters show whether it accepted each advertisement.
        carpd.carpctl("sysctl net.inet.carp.replay=2")?;
        carpd.carpctl("sysctl net.inet.carp.log=2")?;
    }
    pair.form_group("192.168.1.1/24")?;
    let mut sent = Capture::sent_by(pair.a.host(), "eth0")?;
    let own = wait_until("A advertises", MARGIN + Duration::from_secs(1), || {
        let frames = sent.frames()?;
        Ok(frames
            .into_iter()
            .find(|frame| frame.advertisement().is_some()))
    })?;
    sent.stop()?;
    let frames = bad_frames(own.bytes);

    // A first second of flood, in which memory grows to its size for the rest.
    flood(&pair, &both, &frames, Duration::from_secs(1))?;
    for (hosts, part) in FLOODED {
        let flooded: Vec<&Carpd> = hosts.iter().map(|host| both[*host]).collect();
        survives(&pair, &flooded, &frames, *part)?;
    }
    Ok(())
}

#[test]
fn carpd_answers_follows_the_kernel_and_stops_during_a_flood() -> Result<()> {
    let mut pair = Pair::with_group("192.168.1.1/24")?;
    let attackers = ["one", "two"].map(|name| pair.lab.host(name, &[("lan", "192.168.1.66/24")]));
    let frame = bad_frames(Vec::new()).swap_remove(0);
    let frames = vec![frame; 16];
    let before = pair.a.counter("carp0", "badauth")?;
    let mut floods = Vec::new();
    for attacker in attackers {
        floods.push(attacker?.flood("eth0", &frames, 10 * RATE, FLOOD_TIME)?);
    }

    pair.a.carpctl("carp0 advskew 7")?;
    ensure!(
        pair.a.interface("carp0")?.effective_advskew == 7,
        "the change takes effect at once"
    );
    pair.a.host().run("ip link set eth0 down")?;
    pair.a.wait_for_state("carp0", "INIT", REACTION_TIMEOUT)?;
    pair.a.host().run("ip link set eth0 up")?;
    pair.a
        .wait_for_state("carp0", "MASTER", master_down(1, 7) + MARGIN)?;
    ensure!(pair.a.stop()?.success(), "carpd stops cleanly");
    let devices = pair.a.host().run("ip -br link show")?;
    ensure!(!devices.contains("carp0"), "{devices}");
    let more = pair.b.counter("carp0", "badauth")?;
    ensure!(more > before, "the flood went on");
    drop(floods);
    Ok(())
}
