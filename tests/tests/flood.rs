//! A flood of bad advertisements on a running pair.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_proto::Mac;
use carp_proto::wire::frames;
use carp_tests::{
    AT_ONCE, Capture, Carpd, Frame, MARGIN, Pair, carp_frame, forged, master_down, wait_until,
};

/// A second, at each host. What is built for debugging takes ten times as long for each.
const RATE: u32 = if cfg!(debug_assertions) {
    10_000
} else {
    100_000
};

/// How much of what a machine sends to hosts without carpd it has to send while two carpd, their
/// kernels and whatever else it does take their part.
const SHARE: f64 = 0.3;

const SPAN: Duration = Duration::from_secs(30);

/// Of lines about bad packets: four for each of seven kinds, since each may come every ten seconds.
const MOST_LINES: usize = 28;

/// One of each kind.
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

/// Floods both hosts from the other ends of their cables, so that no processor is spent on the
/// switch; gives the lower of the two rates.
fn flood_both(pair: &Pair, frames: &[Vec<u8>], rate: u32, span: Duration) -> Result<f64> {
    let switch = pair.lab.switch();
    let floods = [&pair.a, &pair.b].map(|carpd| {
        let port = carpd.host().port("eth0");
        switch.flood(&port, frames, rate, span)
    });
    let [a, b] = floods.map(|flood| flood?.finish());
    Ok(a?.rate().min(b?.rate()))
}

#[test]
fn a_flood_of_bad_advertisements_changes_nothing() -> Result<()> {
    let pair = Pair::new()?;
    let both = [&pair.a, &pair.b];
    // Without a carp interface carpd does not listen.
    let anything = bad_frames(vec![0; 70]);
    let limit = flood_both(&pair, &anything, u32::MAX, Duration::from_secs(2))?;
    for carpd in both {
        // Only so is it known of each advertisement whether it was believed.
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

    // What it takes at all is taken in the first second.
    flood_both(&pair, &frames, RATE, Duration::from_secs(1))?;
    let of_both = |counter: &str| -> Result<Vec<u64>> {
        both.iter()
            .map(|carpd| carpd.counter("carp0", counter))
            .collect()
    };
    let (states, footprints) = (of_both("ostates")?, pair.footprints()?);
    let believed = |carpd: &Carpd| -> Result<u64> {
        let counters = carpd.interface("carp0")?.statistics;
        let of = |name: &str| counters.get(name).copied().context("a counter");
        Ok(of("ipackets")? - of("badauth")? - of("badver")?)
    };
    let mut third = Capture::received_by(&pair.client, "eth0")?;
    let (said, heard) = (pair.a.counter("carp0", "opackets")?, believed(&pair.b)?);

    let rate = flood_both(&pair, &frames, RATE, SPAN)?;
    println!(
        "{rate:.0} bad advertisements a second at each host for {SPAN:?}, {limit:.0} without carpd"
    );
    let least = (limit * SHARE).min(f64::from(RATE) * 0.99);
    ensure!(rate >= least, "less than {least:.0}");

    assert_eq!(of_both("ostates")?, states, "nobody changes state");
    // Whatever still waits in a queue is read by now, or was lost.
    wait_until(
        "B has heard all that A said",
        master_down(1, 0) + MARGIN,
        || {
            let heard = believed(&pair.b)? - heard;
            let said = pair.a.counter("carp0", "opackets")? - said;
            ensure!(heard + 1 >= said, "B has heard {heard} of {said}");
            Ok(Some(()))
        },
    )?;
    let of_a = |frame: &Frame| frame.advertisement().is_some().then_some(frame.time);
    let times: Vec<u64> = third.stop()?.iter().filter_map(of_a).collect();
    let longest = times.windows(2).map(|two| two[1] - two[0]).max();
    let longest = Duration::from_micros(longest.context("no advertisements")?);
    println!("a third host has waited for an advertisement for {longest:?} at most");
    ensure!(longest < Duration::from_secs(2), "one was missed");
    for (carpd, footprint) in both.into_iter().zip(footprints) {
        carpd.has_not_grown(footprint)?;
        let log = carpd.log()?;
        let lines = log.matches("bad packet").count();
        println!(
            "{footprint:?} -> {:?}, {lines} lines of log",
            carpd.footprint()?
        );
        ensure!(lines <= MOST_LINES, "{lines} lines:\n{log}");
        ensure!(log.contains("more held back)"), "{log}");
    }
    pair.client_reaches("192.168.1.1")
}

#[test]
fn under_a_flood_carpd_answers_follows_the_kernel_and_stops() -> Result<()> {
    let mut pair = Pair::with_group("192.168.1.1/24")?;
    let attackers = ["one", "two"].map(|name| pair.lab.host(name, &[("lan", "192.168.1.66/24")]));
    let frame = bad_frames(Vec::new()).swap_remove(0);
    let frames = vec![frame; 16];
    let before = pair.a.counter("carp0", "badauth")?;
    let mut floods = Vec::new();
    for attacker in attackers {
        floods.push(attacker?.flood("eth0", &frames, 10 * RATE, SPAN)?);
    }

    pair.a.carpctl("carp0 advskew 7")?;
    ensure!(
        pair.a.interface("carp0")?.effective_advskew == 7,
        "it is so at once"
    );
    pair.a.host().run("ip link set eth0 down")?;
    pair.a.wait_for_state("carp0", "INIT", AT_ONCE)?;
    pair.a.host().run("ip link set eth0 up")?;
    pair.a
        .wait_for_state("carp0", "MASTER", master_down(1, 7) + MARGIN)?;
    ensure!(pair.a.stop()?.success(), "it gives everything back");
    let devices = pair.a.host().run("ip -br link show")?;
    ensure!(!devices.contains("carp0"), "{devices}");
    let more = pair.b.counter("carp0", "badauth")?;
    ensure!(more > before, "it was flooded all the time");
    drop(floods);
    Ok(())
}
