//! Takeovers by the backup, and how long a client waits for them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{
    Advertisement, Capture, Frame, MARGIN, Pair, Ping, REACTION_TIMEOUT, VIRTUAL_MAC, master_down,
    wait_until,
};

const ADDRESS: &str = "192.168.1.1";

/// Pings the address during `event`, waits until B is MASTER, and returns the outage.
fn outage(pair: &Pair, bound: Duration, event: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let ping = Ping::start(&pair.client, ADDRESS)?;
    let outage = ping.outage_of(event, || pair.b.wait_for_state("carp0", "MASTER", bound))?;
    println!("the client was without answers for {outage:.2?}");
    assert_eq!(
        pair.client.neighbour(ADDRESS)?.as_deref(),
        Some(VIRTUAL_MAC)
    );
    Ok(outage)
}

/// As [`outage`], for an event in which A sends a bow-out.
fn bowing_out(pair: &Pair, event: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut sent = Capture::sent_by(pair.a.host(), "eth0")?;
    let outage = outage(pair, REACTION_TIMEOUT, event)?;
    ensure!(
        outage < REACTION_TIMEOUT,
        "the client was without answers for {outage:?}"
    );
    let frames = sent.stop()?;
    let last = frames.iter().filter_map(Frame::advertisement).next_back();
    ensure!(
        last.context("an advertisement")?.is_bow_out(),
        "A's last advertisement is a bow-out"
    );
    let addresses = pair.a.host().addresses()?;
    ensure!(
        !addresses.contains(ADDRESS),
        "A still has the address:\n{addresses}"
    );
    Ok(())
}

#[test]
fn backup_answers_after_the_master_down_time_when_a_host_dies() -> Result<()> {
    let mut pair = Pair::with_group("192.168.1.1/24")?;
    let bound = master_down(1, 100);
    let a = &mut pair.a;
    let ping = Ping::start(&pair.client, ADDRESS)?;
    let outage = ping.outage_of(
        || {
            a.kill()?;
            a.host().pull("eth0")
        },
        || pair.b.wait_for_state("carp0", "MASTER", bound),
    )?;
    println!("the client was without answers for {outage:.2?}, at most {bound:.2?} by protocol");
    ensure!(outage <= bound + MARGIN, "{outage:?}");
    assert_eq!(
        pair.client.neighbour(ADDRESS)?.as_deref(),
        Some(VIRTUAL_MAC)
    );
    Ok(())
}

#[test]
fn killed_carpd_leaves_no_second_address_behind() -> Result<()> {
    let mut pair = Pair::with_group("192.168.1.1/24")?;
    pair.a.kill()?;
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(1, 100))?;
    wait_until("A's kernel drops the address", MARGIN, || {
        Ok((!pair.a.host().addresses()?.contains(ADDRESS)).then_some(()))
    })?;
    pair.client_reaches(ADDRESS)
}

#[test]
fn down_hands_over_at_once() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    bowing_out(&pair, || pair.a.carpctl("carp0 down").map(drop))?;
    assert_eq!(pair.a.state("carp0")?, "INIT");
    Ok(())
}

#[test]
fn destroy_hands_over_at_once() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    bowing_out(&pair, || pair.a.carpctl("carp0 destroy").map(drop))?;
    assert_eq!(pair.a.carpctl("-l")?.trim(), "");
    Ok(())
}

#[test]
fn clean_stop_hands_over_at_once() -> Result<()> {
    let mut pair = Pair::with_group("192.168.1.1/24")?;
    let mut sent = Capture::sent_by(pair.a.host(), "eth0")?;
    let a = &mut pair.a;
    let ping = Ping::start(&pair.client, ADDRESS)?;
    let outage = ping.outage_of(
        || {
            let status = a.stop()?;
            ensure!(status.success(), "carpd ended with {status}");
            Ok(())
        },
        || pair.b.wait_for_state("carp0", "MASTER", REACTION_TIMEOUT),
    )?;
    println!("the client was without answers for {outage:.2?}");
    ensure!(outage < REACTION_TIMEOUT, "{outage:?}");
    let advertisements: Vec<_> = sent
        .stop()?
        .iter()
        .filter_map(Frame::advertisement)
        .collect();
    ensure!(
        advertisements.last().is_some_and(Advertisement::is_bow_out),
        "{advertisements:?}"
    );
    Ok(())
}

#[test]
fn dead_cable_moves_all_groups_with_preempt_and_they_return() -> Result<()> {
    let pair = Pair::with_manual_group()?;
    pair.a.host().pull("eth0")?;
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(1, 100))?;
    pair.b
        .wait_for_state("carp1", "MASTER", master_down(1, 100))?;
    pair.a.wait_for_state("carp0", "INIT", Duration::ZERO)?;
    pair.a
        .wait_for_state("carp1", "BACKUP", Duration::from_secs(1))?;
    assert_eq!(pair.a.interface("carp1")?.effective_advskew, 240);
    assert_eq!(
        pair.a.carpctl("sysctl -n net.inet.carp.suppress_preempt")?,
        "1\n"
    );

    pair.a.host().plug("eth0")?;
    for interface in ["carp0", "carp1"] {
        pair.a
            .wait_for_state(interface, "MASTER", master_down(1, 100))?;
        pair.b
            .wait_for_state(interface, "BACKUP", Duration::from_secs(1))?;
    }
    assert_eq!(
        pair.a.carpctl("sysctl -n net.inet.carp.suppress_preempt")?,
        "0\n"
    );
    pair.client_reaches(ADDRESS)
}
