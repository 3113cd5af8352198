//! The lab that all other tests rely on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Capture, Carpd, Frame, Lab, Ping, WallClock, ping, wait_until};

#[test]
fn hosts_of_a_segment_reach_each_other_by_readable_addresses() -> Result<()> {
    let lab = Lab::new()?;
    let a = lab.host("a", &[("lan", "192.168.1.2/24 2001:db8:1::2/64")])?;
    let b = lab.host("b", &[("lan", "192.168.1.3/24 2001:db8:1::3/64")])?;
    ping(&a, "192.168.1.3", 3)?;
    ping(&a, "2001:db8:1::3", 3)?;
    assert_eq!(b.mac("eth0")?, "02:00:00:00:02:00");
    assert_eq!(
        a.neighbour("192.168.1.3")?.as_deref(),
        Some("02:00:00:00:02:00")
    );
    Ok(())
}

#[test]
fn pulled_cable_removes_the_carrier_and_ping_measures_it() -> Result<()> {
    let lab = Lab::new()?;
    let a = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let b = lab.host("b", &[("lan", "192.168.1.3/24")])?;
    let ping = Ping::start(&a, "192.168.1.3")?;
    b.pull("eth0")?;
    wait_until("eth0 has no carrier", Duration::from_secs(5), || {
        Ok(b.run("ip link show dev eth0")?
            .contains("NO-CARRIER")
            .then_some(()))
    })?;
    let pulled = SystemTime::now();
    b.plug("eth0")?;
    let answered = ping.wait_for_reply_after(pulled, Duration::from_secs(5))?;
    let outage = ping.outage_since(pulled)?;
    ensure!(outage >= answered.duration_since(pulled)?, "{outage:?}");
    Ok(())
}

#[test]
fn capture_shows_the_sender_of_each_frame() -> Result<()> {
    let lab = Lab::new()?;
    let a = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let b = lab.host("b", &[("lan", "192.168.1.3/24")])?;
    let mut sent = Capture::sent_by(&a, "eth0")?;
    let mut segment = Capture::on_segment(&lab, "lan")?;
    ping(&a, "192.168.1.3", 3)?;
    let sent = sent.stop()?;
    let question = sent.iter().find_map(Frame::arp).context("a asks for b")?;
    assert_eq!(
        (question.operation, question.sender_mac),
        (1, a.mac("eth0")?)
    );
    assert!(
        sent.iter()
            .all(|frame| frame.echo().is_none_or(|echo| echo.request))
    );
    assert_eq!(
        sent.iter().filter(|frame| frame.echo().is_some()).count(),
        3
    );
    let replies = |frame: &&Frame| frame.echo().is_some_and(|echo| !echo.request);
    assert_eq!(segment.stop()?.iter().filter(replies).count(), 3);
    assert_eq!(b.name(), "b");
    Ok(())
}

#[test]
fn dropped_lab_leaves_nothing_behind() -> Result<()> {
    let lab = Lab::new()?;
    let a = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let (id, directory) = (lab.id().to_owned(), lab.directory().to_owned());
    let mut sleeper = a.command("sleep");
    sleeper.arg("1000");
    let mut sleeper = a.spawn("sleep", sleeper)?;
    drop(lab);
    sleeper.wait_for_end(Duration::from_secs(5))?;
    let namespaces = std::process::Command::new("ip")
        .args(["netns", "list"])
        .output()?;
    assert!(!String::from_utf8(namespaces.stdout)?.contains(&id));
    assert!(!directory.exists());
    Ok(())
}

#[test]
fn leftovers_of_a_killed_run_are_removed() -> Result<()> {
    // No process has this id: it is above the kernel's largest (4194304).
    let leftover = "carp4194999-0-a";
    let add = std::process::Command::new("ip")
        .args(["netns", "add", leftover])
        .status()?;
    ensure!(add.success(), "ip netns add");
    carp_tests::sweep("carp4194999-")?;
    let namespaces = std::process::Command::new("ip")
        .args(["netns", "list"])
        .output()?;
    assert!(!String::from_utf8(namespaces.stdout)?.contains(leftover));
    Ok(())
}

#[test]
fn carpd_follows_the_steps_of_a_wall_clock_of_its_own() -> Result<()> {
    let lab = Lab::new()?;
    let a = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let clock = WallClock::new(&lab, "a")?;
    let carpd = Carpd::start_under(&a, &["--bus", "none"], clock.environment())?;
    carpd.carpctl("carp0 create vhid 1 192.168.1.1/24")?;
    for hours in [2, -2, 0] {
        clock.set_ahead(hours * 3_600_000)?;
        carpd.carpctl("carp0 down")?;
        carpd.carpctl("carp0 up")?;
        let last = carpd.interface("carp0")?.last_transition;
        let stamp = i64::try_from(last.context("a transition")?.time / 1_000_000)?;
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let ahead = stamp - now;
        ensure!((ahead - hours * 3_600).abs() < 60, "{ahead} s ahead");
    }
    Ok(())
}
