//! Requests that the kernel refuses: reported at once, counted, and retried until they work.

use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Carpd, Lab, REACTION_TIMEOUT, master_down, wait_until};

/// Number of times that an interface is created and destroyed; `CARP_CREATES=2000` is the long
/// check.
const CREATES: u32 = 400;

/// Longest pause between two attempts, with a margin.
const RETRY_TIMEOUT: Duration = Duration::from_secs(12);

/// Writes rc.conf with a line for each interface, and reloads it.
fn reload(carpd: &Carpd, interfaces: &[(&str, u8)]) -> Result<()> {
    let names: Vec<&str> = interfaces.iter().map(|(name, _)| *name).collect();
    let mut text = format!("cloned_interfaces=\"{}\"\n", names.join(" "));
    for (name, vhid) in interfaces {
        writeln!(
            text,
            "ifconfig_{name}=\"vhid {vhid} pass x 192.168.1.{vhid}/24\""
        )?;
    }
    fs::write(carpd.config("rc.conf"), text)?;
    carpd.carpctl("reload")?;
    for (name, _) in interfaces {
        ensure!(carpd.state(name)? != "INIT", "{name} after reload");
    }
    Ok(())
}

#[test]
fn reload_that_renames_or_swaps_leaves_nothing_in_init() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.200/24")])?;
    let mut carpd = Carpd::start_configured(&host, "", "")?;
    reload(&carpd, &[("carp0", 1), ("carp5", 5)])?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    reload(&carpd, &[("carp1", 1), ("carp5", 5)])?;
    carpd.wait_for_state("carp1", "MASTER", master_down(1, 0))?;
    reload(&carpd, &[("carp1", 5), ("carp5", 1)])?;
    for name in ["carp1", "carp5"] {
        carpd.wait_for_state(name, "MASTER", master_down(1, 0))?;
    }
    let log = carpd.log()?;
    ensure!(!log.contains("refused"), "{log}");
    carpd.check_alive()
}

#[test]
fn every_create_after_a_destroy_leaves_init() -> Result<()> {
    let creates = match std::env::var("CARP_CREATES") {
        Ok(number) => number.parse()?,
        Err(_) => CREATES,
    };
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.200/24")])?;
    let mut carpd = Carpd::start(&host)?;
    let done = AtomicU32::new(0);
    let cycle = |vhid: u32| -> Result<()> {
        while done.fetch_add(1, Ordering::Relaxed) < creates {
            // The next free name, which is seldom the one that the vhid had before.
            let name = carpd.carpctl(&format!("carp create vhid {vhid} 192.168.1.{vhid}/24"))?;
            let name = name.trim();
            ensure!(carpd.state(name)? != "INIT", "{name}");
            carpd.carpctl(&format!("{name} destroy"))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (1..=4)
            .map(|vhid| scope.spawn(move || cycle(vhid)))
            .collect();
        let mut outcomes = threads.into_iter().map(thread::ScopedJoinHandle::join);
        outcomes.try_for_each(|outcome| outcome.expect("no panic"))
    })?;
    let links = host.run("ip -o link")?;
    let is_left = |vhid: u32| links.contains(&format!(": carp{}@", vhid - 1));
    ensure!(!(1..=4).any(is_left), "a device is left behind: {links}");
    carpd.check_alive()
}

#[test]
fn refused_device_is_named_counted_and_retried() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let mut carpd = Carpd::start(&host)?;
    host.run("ip link add br0 type bridge")?;
    host.run("ip link set eth0 master br0")?;

    let outcome = carpd.try_carpctl("carp0 create vhid 1 192.168.1.1/24")?;
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let line = outcome.stderr.trim_end();
    let refused = line
        .strip_prefix("carpctl: carp0: ")
        .with_context(|| format!("{outcome:?}"))?;
    assert_eq!(
        refused,
        "the kernel refused the device: eth0 is a port of br0: use br0"
    );
    assert_eq!(carpd.state("carp0")?, "INIT", "the other changes stay");
    let shown = carpd.carpctl("carp0")?;
    ensure!(shown.contains(&format!("\treason: {refused}\n")), "{shown}");
    let causes = carpd.carpctl("suppress")?;
    ensure!(causes.contains(refused), "{causes}");
    carpd.wait_for_log(&format!("carp0: {refused}"))?;
    let suppressed = "sysctl -n net.inet.carp.suppress_preempt";
    assert_eq!(carpd.carpctl(suppressed)?.trim(), "1");
    // A command with another change has the same answer, and the log does not repeat it.
    let outcome = carpd.try_carpctl("carp0 advskew 5")?;
    assert_eq!((outcome.code, outcome.stderr.trim_end()), (1, line));

    host.run("ip link set eth0 nomaster")?;
    carpd.wait_for_state("carp0", "MASTER", RETRY_TIMEOUT + master_down(1, 5))?;
    wait_until("no suppression", REACTION_TIMEOUT, || {
        Ok((carpd.carpctl(suppressed)?.trim() == "0").then_some(()))
    })?;
    ensure!(!carpd.carpctl("carp0")?.contains("reason:"));
    let log = carpd.log()?;
    assert_eq!(
        log.matches("the kernel refused the device").count(),
        3,
        "{log}"
    );
    carpd.check_alive()
}

#[test]
fn interface_stays_on_the_carpdev_that_was_found_for_it() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24"), ("dmz", "10.0.0.2/24")])?;
    let mut carpd = Carpd::start(&host)?;
    carpd.carpctl("carp0 create vhid 1 192.168.1.1/24")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    host.run("ip addr flush dev eth0")?;
    host.run("ip addr add 192.168.1.2/24 dev eth0")?;
    // It moves to an interface with such an address, and not before.
    host.run("ip addr flush dev eth0")?;
    host.run("ip addr add 192.168.1.3/24 dev eth1")?;
    wait_until("on eth1", REACTION_TIMEOUT, || {
        Ok(carpd
            .carpctl("carp0")?
            .contains("carpdev: eth1")
            .then_some(()))
    })?;
    let log = carpd.log()?;
    ensure!(!log.contains("is gone"), "{log}");
    ensure!(!log.contains("no physical interface"), "{log}");
    carpd.check_alive()
}
