//! Daemons that hang, die and return, and interfaces that come and go under them.

use std::time::Duration;

use anyhow::{Result, ensure};
use carp_tests::{MARGIN, Pair, Ping, REACTION_TIMEOUT, VIRTUAL_MAC, master_down, wait_until};
use rustix::process::Signal;

const ADDRESS: &str = "192.168.1.1";

/// Waits until one host is MASTER, the other BACKUP, and the address is on one host only.
fn one_master(pair: &Pair) -> Result<()> {
    wait_until(
        "one MASTER and one BACKUP",
        master_down(1, 100) + MARGIN,
        || {
            let mut states = [pair.a.state("carp0")?, pair.b.state("carp0")?];
            states.sort_unstable();
            ensure!(states == ["BACKUP", "MASTER"], "{states:?}");
            let holders = [&pair.a, &pair.b].map(|carpd| carpd.host().addresses());
            let [on_a, on_b] = holders.map(|text| text.is_ok_and(|text| text.contains(ADDRESS)));
            ensure!(on_a != on_b, "the address is on A: {on_a}, on B: {on_b}");
            Ok(Some(()))
        },
    )
}

#[test]
fn hung_master_loses_its_address_and_yields_when_it_wakes() -> Result<()> {
    let mut pair = Pair::with_group("192.168.1.1/24")?;
    let bound = master_down(1, 100);
    let ping = Ping::start(&pair.client, ADDRESS)?;
    let host = pair.a.host().clone();
    let a = &mut pair.a;
    let outage = ping.outage_of(
        || a.signal(Signal::STOP),
        || {
            pair.b.wait_for_state("carp0", "MASTER", bound)?;
            // The kernel removes the address by itself within the lease.
            wait_until("A's kernel drops the address", MARGIN, || {
                Ok((!host.addresses()?.contains(ADDRESS)).then_some(()))
            })
        },
    )?;
    println!("the client was without answers for {outage:.2?}");
    ensure!(outage <= bound + MARGIN, "{outage:?}");
    pair.a.signal(Signal::CONT)?;
    one_master(&pair)?;
    pair.client_reaches(ADDRESS)
}

#[test]
fn returning_carpd_finds_its_devices_and_removes_them_at_the_end() -> Result<()> {
    let mut pair = Pair::new()?;
    let sysctls = "sysctl net.ipv4.conf.eth0.arp_ignore net.ipv4.conf.eth0.arp_announce";
    let before = pair.a.host().run(sysctls)?;
    pair.form_group("192.168.1.1/24")?;
    ensure!(
        pair.a.host().run(sysctls)? != before,
        "carpd has changed them"
    );
    pair.a.kill()?;
    pair.a.restart()?;
    wait_until(
        "B is MASTER alone, or A has resumed",
        master_down(1, 100) + MARGIN,
        || pair.client_reaches(ADDRESS).map(Some),
    )?;
    ensure!(pair.a.stop()?.success(), "{}", pair.a.log()?);
    assert_eq!(pair.a.host().run(sysctls)?, before);
    let links = pair.a.host().run("ip -o link show")?;
    ensure!(!links.contains("carp0"), "{links}");
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(1, 100))?;
    pair.client_reaches(ADDRESS)
}

#[test]
fn physical_interface_set_down_and_up_is_followed() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    pair.a.host().run("ip link set eth0 down")?;
    pair.a.wait_for_state("carp0", "INIT", Duration::ZERO)?;
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(1, 100))?;
    pair.a.host().run("ip link set eth0 up")?;
    one_master(&pair)?;
    pair.client_reaches(ADDRESS)
}

#[test]
fn physical_interface_stays_until_another_one_has_the_subnet() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    let host = pair.a.host();
    let is_on = |interface: &str| {
        wait_until(&format!("carp0 is on {interface}"), MARGIN, || {
            let shown = pair.a.carpctl("carp0")?;
            let line = format!("carpdev: {interface}\n");
            Ok(shown.contains(&line).then_some(()))
        })
    };
    // As a network manager does for a moment.
    host.run("ip address delete 192.168.1.2/24 dev eth0")?;
    pair.client_reaches(ADDRESS)?;
    assert_eq!(pair.a.state("carp0")?, "MASTER");
    is_on("eth0")?;
    host.run("ip address add 192.168.1.2/24 dev eth1")?;
    is_on("eth1")?;
    host.run("ip address delete 192.168.1.2/24 dev eth1")?;
    host.run("ip address add 192.168.1.2/24 dev eth0")?;
    is_on("eth0")?;
    one_master(&pair)
}

#[test]
fn group_waits_for_its_interface_and_survives_its_replacement() -> Result<()> {
    let lab = carp_tests::Lab::new()?;
    let host = lab.host("a", &[("lan", "")])?;
    let carpd = carp_tests::Carpd::start(&host)?;
    carpd.carpctl_warns("carp0 create vhid 1 192.168.1.1/24")?;
    assert_eq!(carpd.state("carp0")?, "INIT");
    for _ in 0..2 {
        host.run("ip address add 192.168.1.2/24 dev eth0")?;
        carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
        ensure!(host.addresses()?.contains("192.168.1.1/24"));
        host.run("ip link delete eth0")?;
        carpd.wait_for_state("carp0", "INIT", Duration::ZERO)?;
        lab.replace_cable(&host, "lan")?;
    }
    Ok(())
}

#[test]
fn missing_carrier_at_the_start_is_waited_for() -> Result<()> {
    let pair = Pair::new()?;
    pair.a.host().pull("eth0")?;
    pair.a.carpctl_warns("carp0 create vhid 1 192.168.1.1/24")?;
    assert_eq!(pair.a.state("carp0")?, "INIT");
    pair.a.host().plug("eth0")?;
    pair.a
        .wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    pair.client_reaches(ADDRESS)
}

/// Damages the MASTER's device; the client must reach the address again.
fn mended_after(sabotage: &str) -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    pair.a.host().run(sabotage)?;
    wait_until(
        "the client is answered again",
        master_down(1, 100) + MARGIN,
        || pair.client_reaches(ADDRESS).map(Some),
    )?;
    one_master(&pair)?;
    assert_eq!(
        pair.client.neighbour(ADDRESS)?.as_deref(),
        Some(VIRTUAL_MAC)
    );
    pair.a.carpctl("carp0 down")?;
    pair.b.wait_for_state("carp0", "MASTER", REACTION_TIMEOUT)
}

#[test]
fn flushed_addresses_are_restored() -> Result<()> {
    mended_after("ip address flush dev carp0")
}

#[test]
fn device_that_is_set_down_is_no_black_hole() -> Result<()> {
    mended_after("ip link set carp0 down")
}

#[test]
fn device_that_is_deleted_is_no_black_hole() -> Result<()> {
    mended_after("ip link delete carp0")
}
