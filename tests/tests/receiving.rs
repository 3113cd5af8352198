//! How a host hears: a MASTER at no cost for what it forwards, and everybody whatever happens.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carp_tests::{AT_ONCE, Capture, Carpd, Frame, MARGIN, Pair, master_down, wait_until};

/// Until a new MASTER's ear is proved: it is made, listens beside the tap for 1.5 s, and is probed
/// every second.
const PROVED: Duration = Duration::from_secs(4);

const INGRESS: &str = "
table netdev first {
    chain in {
        type filter hook ingress device eth0 priority -500; policy accept;
        meta l4proto 112 drop
    }
}
";

/// The devices that hear for eth0.
fn ears(carpd: &Carpd) -> Result<[String; 2]> {
    let link = carpd.host().run("cat /sys/class/net/eth0/ifindex")?;
    Ok(["carpear", "carpany"].map(|name| format!("{name}{}", link.trim())))
}

fn wait_until_free(carpd: &Carpd) -> Result<()> {
    wait_until("no packet socket is open on eth0", PROVED + MARGIN, || {
        Ok((!carpd.has_direct_socket("eth0")?).then_some(()))
    })
}

fn load(carpd: &Carpd, rules: &str) -> Result<()> {
    let file = carpd.host().file("rules", "nft");
    std::fs::write(&file, rules)?;
    let load = format!("nft -f {}", file.display());
    carpd.host().run(&load).map(drop)
}

/// B becomes the preferred one and takes over; gives for how long A was MASTER beside it.
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
fn a_master_hears_without_a_packet_socket_on_its_physical_interface() -> Result<()> {
    let pair = Pair::new()?;
    // In every hook but the first, and it hears nevertheless.
    load(
        &pair.a,
        "table inet firewall { chain early { type filter hook prerouting priority -300; \
         policy accept; meta l4proto 112 drop; }; chain input { type filter hook input \
         priority 0; policy accept; meta l4proto 112 drop; }; }",
    )?;
    pair.form_group("192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    wait_until_free(&pair.a)?;
    for ear in ears(&pair.a)? {
        ensure!(pair.a.has_direct_socket(&ear)?, "{ear}");
    }
    ensure!(
        pair.b.has_direct_socket("eth0")?,
        "a BACKUP keeps its own open"
    );

    let heard = pair.a.counter("carp0", "ipackets")?;
    pair.b.carpctl("carp0 state master")?;
    pair.b.wait_for_state("carp0", "BACKUP", AT_ONCE)?;
    pair.a.wait_for_more_than("carp0", "ipackets", heard)?;
    ensure!(pair.a.state("carp0")? == "MASTER" && !pair.a.has_direct_socket("eth0")?);

    let together = preempt(&pair)?;
    ensure!(together < MARGIN, "{together:?}");
    ensure!(pair.a.has_direct_socket("eth0")?, "A is BACKUP");
    wait_until_free(&pair.b)
}

#[test]
fn a_master_hears_a_host_that_has_no_virtual_mac_at_once() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    pair.b.carpctl("carp0 lladdr parent")?;
    wait_until_free(&pair.a)?;
    let together = preempt(&pair)?;
    ensure!(together < MARGIN, "{together:?}");
    Ok(())
}

#[test]
fn what_drops_advertisements_before_a_master_hears_them_makes_no_second_one() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    wait_until_free(&pair.a)?;
    load(&pair.a, INGRESS)?;
    let together = preempt(&pair)?;
    ensure!(together < master_down(1, 0), "{together:?}");
    pair.a
        .wait_for_log("at its ingress hook drops IP protocol 112")?;

    // As MASTER it hears all with it, until the rule is gone.
    pair.b.carpctl("carp0 down")?;
    pair.a.wait_for_state("carp0", "MASTER", AT_ONCE)?;
    let end = Instant::now() + PROVED;
    while Instant::now() < end {
        ensure!(pair.a.has_direct_socket("eth0")?);
        std::thread::sleep(Duration::from_millis(100));
    }
    pair.a.host().run("nft flush ruleset")?;
    // After a probe was not heard, the ear is not believed for ten seconds.
    let distrust = Duration::from_secs(10);
    wait_until("it is free again", distrust + PROVED + MARGIN, || {
        Ok((!pair.a.has_direct_socket("eth0")?).then_some(()))
    })
}

#[test]
fn somebody_removes_what_a_master_hears_with() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    let [ear, any] = ears(&pair.a)?;
    for (ear, command) in [
        (&ear, format!("ip link delete {ear}")),
        (&any, format!("ip link set {any} down")),
    ] {
        wait_until_free(&pair.a)?;
        pair.a.host().run(&command)?;
        wait_until("the packet socket is open again", AT_ONCE, || {
            Ok(pair.a.has_direct_socket("eth0")?.then_some(()))
        })?;
        // Made anew, or up, after five seconds.
        wait_until(
            "the device is up again",
            Duration::from_secs(5) + MARGIN,
            || {
                let shown = pair.a.host().run("ip -br link")?;
                let ear = shown.lines().find(|line| line.starts_with(ear));
                Ok(ear.filter(|line| line.contains("UP")).map(drop))
            },
        )?;
    }
    let together = preempt(&pair)?;
    ensure!(together < MARGIN, "{together:?}");
    Ok(())
}

#[test]
fn probes_are_never_on_the_wire_and_nothing_is_left_at_the_end() -> Result<()> {
    let mut pair = Pair::with_group("192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    let mut wire = Capture::sent_by(pair.a.host(), "eth0")?;
    wait_until_free(&pair.a)?;
    pair.a.carpctl("carp0 state backup")?;
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(1, 100))?;
    wait_until_free(&pair.b)?;
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
