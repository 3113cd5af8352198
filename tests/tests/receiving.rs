//! Receiving: a MASTER hears at no cost for forwarded packets, and every host hears in any case.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carp_tests::{Capture, Carpd, Frame, MARGIN, Pair, REACTION_TIMEOUT, master_down, wait_until};

/// Time until the helper devices of a new MASTER have proved that they receive: they are made,
/// listen beside the direct socket for 1.5 s, and get a probe every second.
const PROVING_TIME: Duration = Duration::from_secs(4);

const INGRESS: &str = "
table netdev first {
    chain in {
        type filter hook ingress device eth0 priority -500; policy accept;
        meta l4proto 112 drop
    }
}
";

/// Returns the helper devices of eth0.
fn helper_devices(carpd: &Carpd) -> Result<[String; 2]> {
    let link = carpd.host().run("cat /sys/class/net/eth0/ifindex")?;
    Ok(["carpear", "carpany"].map(|name| format!("{name}{}", link.trim())))
}

fn wait_until_bypassed(carpd: &Carpd) -> Result<()> {
    wait_until(
        "no packet socket is open on eth0",
        PROVING_TIME + MARGIN,
        || Ok((!carpd.has_direct_socket("eth0")?).then_some(())),
    )
}

fn load(carpd: &Carpd, rules: &str) -> Result<()> {
    let file = carpd.host().file("rules", "nft");
    std::fs::write(&file, rules)?;
    let load = format!("nft -f {}", file.display());
    carpd.host().run(&load).map(drop)
}

/// Makes B the preferred host, and returns how long A was MASTER beside it.
fn preempt(pair: &Pair) -> Result<Duration> {
    pair.b.carpctl("sysctl net.inet.carp.preempt=1")?;
    pair.a.carpctl("carp0 advskew 200")?;
    pair.b.carpctl("carp0 advskew 0")?;
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(1, 200))?;
    let since = Instant::now();
    pair.a
        .wait_for_state("carp0", "BACKUP", master_down(1, 200))?;
    Ok(since.elapsed())
}

#[test]
fn master_hears_without_a_packet_socket_on_its_interface() -> Result<()> {
    let pair = Pair::new()?;
    // Rules in every hook but ingress, and it hears nevertheless.
    load(
        &pair.a,
        "table inet firewall { chain early { type filter hook prerouting priority -300; \
         policy accept; meta l4proto 112 drop; }; chain input { type filter hook input \
         priority 0; policy accept; meta l4proto 112 drop; }; }",
    )?;
    pair.form_group("192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    wait_until_bypassed(&pair.a)?;
    for device in helper_devices(&pair.a)? {
        ensure!(pair.a.has_direct_socket(&device)?, "{device}");
    }
    ensure!(
        pair.b.has_direct_socket("eth0")?,
        "a BACKUP keeps its own open"
    );

    let heard = pair.a.counter("carp0", "ipackets")?;
    pair.b.carpctl("carp0 state master")?;
    pair.b.wait_for_state("carp0", "BACKUP", REACTION_TIMEOUT)?;
    pair.a.wait_for_more_than("carp0", "ipackets", heard)?;
    ensure!(pair.a.state("carp0")? == "MASTER" && !pair.a.has_direct_socket("eth0")?);

    let together = preempt(&pair)?;
    ensure!(together < MARGIN, "{together:?}");
    ensure!(pair.a.has_direct_socket("eth0")?, "A is BACKUP");
    wait_until_bypassed(&pair.b)
}

#[test]
fn master_hears_a_host_without_a_virtual_mac_at_once() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    pair.b.carpctl("carp0 lladdr parent")?;
    wait_until_bypassed(&pair.a)?;
    let together = preempt(&pair)?;
    ensure!(together < MARGIN, "{together:?}");
    Ok(())
}

#[test]
fn ingress_rule_at_a_master_makes_no_second_master() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    wait_until_bypassed(&pair.a)?;
    load(&pair.a, INGRESS)?;
    let together = preempt(&pair)?;
    ensure!(together < master_down(1, 0), "{together:?}");
    pair.a
        .wait_for_log("at its ingress hook drops IP protocol 112")?;

    // As MASTER it keeps the direct socket open until the rule is gone.
    pair.b.carpctl("carp0 down")?;
    pair.a.wait_for_state("carp0", "MASTER", REACTION_TIMEOUT)?;
    let end = Instant::now() + PROVING_TIME;
    while Instant::now() < end {
        ensure!(pair.a.has_direct_socket("eth0")?);
        std::thread::sleep(Duration::from_millis(100));
    }
    pair.a.host().run("nft flush ruleset")?;
    // After a lost probe carpd does not rely on the helper devices for ten seconds.
    let distrust = Duration::from_secs(10);
    wait_until(
        "A uses the helper devices again",
        distrust + PROVING_TIME + MARGIN,
        || Ok((!pair.a.has_direct_socket("eth0")?).then_some(())),
    )
}

#[test]
fn removed_helper_devices_make_no_second_master() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    let [source, vepa] = helper_devices(&pair.a)?;
    for (device, command) in [
        (&source, format!("ip link delete {source}")),
        (&vepa, format!("ip link set {vepa} down")),
    ] {
        wait_until_bypassed(&pair.a)?;
        pair.a.host().run(&command)?;
        wait_until("the packet socket is open again", REACTION_TIMEOUT, || {
            Ok(pair.a.has_direct_socket("eth0")?.then_some(()))
        })?;
        // The device is made again, or set up, after five seconds.
        wait_until(
            "the device is up again",
            Duration::from_secs(5) + MARGIN,
            || {
                let shown = pair.a.host().run("ip -br link")?;
                let shown = shown.lines().find(|line| line.starts_with(device));
                Ok(shown.filter(|line| line.contains("UP")).map(drop))
            },
        )?;
    }
    let together = preempt(&pair)?;
    ensure!(together < MARGIN, "{together:?}");
    Ok(())
}

#[test]
fn probes_stay_off_the_wire_and_leave_nothing_behind() -> Result<()> {
    let mut pair = Pair::with_group("192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    let mut wire = Capture::sent_by(pair.a.host(), "eth0")?;
    wait_until_bypassed(&pair.a)?;
    pair.a.carpctl("carp0 state backup")?;
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(1, 100))?;
    wait_until_bypassed(&pair.b)?;
    pair.a.stop()?;
    let links = pair.a.host().run("ip -br link")?;
    ensure!(!links.contains("carp"), "{links}");
    let frames = wire.stop()?;
    let carp: Vec<&Frame> = frames
        .iter()
        .filter(|frame| frame.advertisement().is_some())
        .collect();
    ensure!(!carp.is_empty());
    let probe = frames
        .iter()
        .find(|frame| frame.source().starts_with("02:63:61:72"));
    ensure!(probe.is_none(), "{probe:?}");
    let vhids = carp.iter().filter_map(|frame| frame.advertisement());
    for advertisement in vhids {
        ensure!(advertisement.vhid == 1);
    }
    Ok(())
}
