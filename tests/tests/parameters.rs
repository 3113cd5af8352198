//! The parameters of carp(4): those of an interface, on the wire, and the global ones.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Advertisement, Capture, Carpd, Frame, Lab, Pair, master_down};

/// Returns the time of each advertisement of a host, in microseconds, and its contents.
fn advertisements(frames: &[Frame]) -> Vec<(u64, Advertisement)> {
    let with_time = |frame: &Frame| Some((frame.time, frame.advertisement()?));
    frames.iter().filter_map(with_time).collect()
}

#[test]
fn vhid_and_address_are_required_and_sufficient() -> Result<()> {
    let lab = Lab::new()?;
    let carpd = Carpd::start(&lab.host("a", &[("lan", "192.168.1.2/24")])?)?;
    for [first, second] in [["vhid 1", "192.168.1.1/24"], ["192.168.1.1/24", "vhid 1"]] {
        carpd.carpctl("carp0 create")?;
        carpd.carpctl("carp0 up")?;
        assert_eq!(carpd.state("carp0")?, "INIT");
        carpd.carpctl(&format!("carp0 {first}"))?;
        assert_eq!(carpd.state("carp0")?, "INIT", "with {first} alone");
        carpd.carpctl(&format!("carp0 {second}"))?;
        carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
        carpd.carpctl("carp0 destroy")?;
    }
    Ok(())
}

#[test]
fn advbase_and_advskew_set_the_interval_and_are_advertised() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let carpd = Carpd::start(&host)?;
    carpd.carpctl("carp0 create vhid 1 192.168.1.1/24")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    for (advbase, advskew) in [(1_u8, 0_u8), (1, 128), (2, 64)] {
        carpd.carpctl(&format!("carp0 advbase {advbase} advskew {advskew}"))?;
        let mut sent = Capture::sent_by(&host, "eth0")?;
        carpd.wait_for_counter("carp0", "opackets", 4)?;
        let seen = advertisements(&sent.stop()?);
        for (_, advertisement) in &seen {
            assert_eq!(
                (advertisement.advbase, advertisement.advskew),
                (advbase, advskew)
            );
        }
        // A busy machine can send one late, and then the next one sooner: the mean counts.
        let [(first, _), .., (last, _)] = seen.as_slice() else {
            anyhow::bail!("two advertisements at least: {seen:?}");
        };
        let interval =
            Duration::from_secs(1) * advbase.into() + Duration::from_secs(1) * advskew.into() / 256;
        let mean = Duration::from_micros(last - first) / u32::try_from(seen.len() - 1)?;
        ensure!(
            mean > interval.mul_f64(0.95) && mean < interval + Duration::from_millis(200),
            "advbase {advbase} advskew {advskew}: {mean:?} between advertisements"
        );
    }
    Ok(())
}

#[test]
fn advertisements_with_another_password_are_refused() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    pair.b.carpctl("carp0 pass different")?;
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(1, 100))?;
    for carpd in [&pair.a, &pair.b] {
        carpd.wait_for_counter("carp0", "badauth", 2)?;
        assert_eq!(carpd.state("carp0")?, "MASTER");
    }
    pair.b.carpctl("carp0 pass mekmitasdigoat")?;
    pair.b
        .wait_for_state("carp0", "BACKUP", Duration::from_secs(1))
}

#[test]
fn global_parameters_have_defaults_and_the_count_is_read_only() -> Result<()> {
    let lab = Lab::new()?;
    let carpd = Carpd::start(&lab.host("a", &[("lan", "192.168.1.2/24")])?)?;
    for (name, default) in [
        ("allow", 1),
        ("preempt", 0),
        ("log", 1),
        ("arpbalance", 0),
        ("suppress_preempt", 0),
    ] {
        let name = format!("net.inet.carp.{name}");
        assert_eq!(
            carpd.carpctl(&format!("sysctl {name}"))?,
            format!("{name}: {default}\n")
        );
    }
    let refused = carpd.try_carpctl("sysctl net.inet.carp.suppress_preempt=1")?;
    assert_eq!(
        (refused.code, refused.stderr.as_str()),
        (
            1,
            "carpctl: oid 'net.inet.carp.suppress_preempt' is read only\n"
        )
    );
    Ok(())
}

#[test]
fn faster_host_takes_over_only_with_preempt() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    pair.b.carpctl("carp0 state master")?;
    pair.a.carpctl("carp0 advskew 50")?;
    // A would be faster, but hears B and lets it be.
    pair.a.carpctl("carp0 state backup")?;
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(1, 100))?;
    pair.a.wait_for_counter("carp0", "ipackets", 4)?;
    assert_eq!(pair.a.state("carp0")?, "BACKUP");

    pair.a.carpctl("sysctl net.inet.carp.preempt=1")?;
    pair.a
        .wait_for_state("carp0", "MASTER", Duration::from_millis(1391))?;
    pair.b
        .wait_for_state("carp0", "BACKUP", Duration::from_secs(1))?;
    let last = pair
        .a
        .interface("carp0")?
        .last_transition
        .context("a transition")?;
    assert_eq!(last.reason, "preempting-slower-master");
    Ok(())
}
