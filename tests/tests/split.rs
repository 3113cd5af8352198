//! Hosts that hear only part of each other, or advertise alike: one MASTER, and no flapping.

use std::time::Duration;

use anyhow::{Result, ensure};
use carp_tests::{Carpd, Lab, MARGIN, Pair, REACTION_TIMEOUT, master_down, wait_until};

const BOTH: &str = "192.168.1.1/24 inet6 2001:db8:1::1/64";

/// Time in which no state may change: several times what a backup waits.
const QUIET_PERIOD: Duration = Duration::from_secs(8);

/// Returns the transitions of a carp interface until now.
fn transitions(carpd: &Carpd) -> Result<u64> {
    carpd.counter("carp0", "ostates")
}

/// Asserts that for [`QUIET_PERIOD`] there is one MASTER and no state changes.
fn stay(a: &Carpd, b: &Carpd) -> Result<()> {
    let before = (transitions(a)?, transitions(b)?);
    let end = std::time::Instant::now() + QUIET_PERIOD;
    wait_until("the end of the quiet period", QUIET_PERIOD + MARGIN, || {
        Ok((std::time::Instant::now() >= end).then_some(()))
    })?;
    ensure!(
        before == (transitions(a)?, transitions(b)?),
        "a state changed:\n{}\n{}",
        a.log()?,
        b.log()?
    );
    one_master(a, b)
}

fn one_master(a: &Carpd, b: &Carpd) -> Result<()> {
    let states = [a.state("carp0")?, b.state("carp0")?];
    let masters = states.iter().filter(|state| *state == "MASTER").count();
    ensure!(masters == 1, "{states:?}");
    Ok(())
}

/// Makes two MASTERs of equal hosts, and waits until one is left: three intervals and one more, in
/// which IPv6 decides.
fn collide(pair: &Pair) -> Result<()> {
    let (a, b) = (&pair.a, &pair.b);
    wait_until("there is a MASTER", master_down(1, 0) + MARGIN, || {
        Ok(one_master(a, b).is_ok().then_some(()))
    })?;
    for carpd in [a, b] {
        carpd.carpctl("carp0 state master")?;
    }
    wait_until(
        "one MASTER is left",
        Duration::from_secs(4) + MARGIN,
        || Ok(one_master(a, b).is_ok().then_some(())),
    )
}

/// Makes the switch drop advertisements of a family, `ip` or `ip6`.
fn drop_family(lab: &Lab, family: &str) -> Result<()> {
    let header = if family == "ip" {
        "ip protocol 112"
    } else {
        "ip6 nexthdr 112"
    };
    lab.switch().run("nft add table bridge split")?;
    lab.switch()
        .run("nft add chain bridge split forward { type filter hook forward priority 0 ; }")?;
    lab.switch()
        .run(&format!("nft add rule bridge split forward {header} drop"))?;
    Ok(())
}

#[test]
fn backup_stays_while_one_family_of_its_master_is_dropped() -> Result<()> {
    for family in ["ip", "ip6"] {
        let pair = Pair::with_group(BOTH)?;
        drop_family(&pair.lab, family)?;
        stay(&pair.a, &pair.b)?;
        ensure!(pair.a.state("carp0")? == "MASTER", "{family}");
    }
    Ok(())
}

#[test]
fn equal_hosts_without_ipv4_between_them_have_one_master() -> Result<()> {
    let pair = Pair::new()?;
    drop_family(&pair.lab, "ip")?;
    for carpd in [&pair.a, &pair.b] {
        carpd.carpctl("carp0 create")?;
        carpd.carpctl(&format!("carp0 vhid 1 pass mekmitasdigoat {BOTH}"))?;
    }
    collide(&pair)?;
    stay(&pair.a, &pair.b)
}

#[test]
fn changed_settings_do_not_delay_a_takeover() -> Result<()> {
    let mut pair = Pair::with_group("192.168.1.1/24")?;
    pair.a.kill()?;
    pair.a.host().pull("eth0")?;
    let mut advskew = 100;
    wait_until("B is MASTER", master_down(1, 101) + MARGIN, || {
        advskew = 201 - advskew;
        pair.b.carpctl(&format!("carp0 advskew {advskew}"))?;
        Ok((pair.b.state("carp0")? == "MASTER").then_some(()))
    })
}

#[test]
fn suppressed_hosts_with_short_intervals_have_one_master() -> Result<()> {
    let pair = Pair::new()?;
    for (carpd, advskew) in [(&pair.a, 10), (&pair.b, 20)] {
        carpd.carpctl("carp0 create")?;
        carpd.carpctl(&format!(
            "carp0 vhid 1 advbase 0 advskew {advskew} pass mekmitasdigoat 192.168.1.1/24"
        ))?;
        // The physical interface of another carp interface has no carrier.
        carpd.carpctl("carp1 create")?;
        carpd.carpctl("carp1 vhid 2 pass mekmitasdigoat 192.168.2.1/24")?;
        carpd.host().pull("eth1")?;
    }
    for carpd in [&pair.a, &pair.b] {
        wait_until("preemption is suppressed", MARGIN, || {
            let sum = carpd.carpctl("sysctl -n net.inet.carp.suppress_preempt")?;
            Ok((sum == "1\n").then_some(()))
        })?;
    }
    wait_until("there is one MASTER", master_down(1, 240) + MARGIN, || {
        Ok(one_master(&pair.a, &pair.b).is_ok().then_some(()))
    })?;
    pair.client_reaches("192.168.1.1")?;
    stay(&pair.a, &pair.b)
}

#[test]
fn master_whose_queue_was_full_comes_back() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    for carpd in [&pair.a, &pair.b] {
        carpd.carpctl("sysctl net.inet.carp.preempt=1")?;
    }
    let a = pair.a.host();
    a.run("tc qdisc replace dev eth0 root bfifo limit 1")?;
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(1, 240))?;
    pair.a
        .wait_for_state("carp0", "BACKUP", master_down(1, 240))?;
    wait_until("A is suppressed", MARGIN, || {
        let sum = pair.a.carpctl("sysctl -n net.inet.carp.suppress_preempt")?;
        Ok((sum == "1\n").then_some(()))
    })?;
    a.run("tc qdisc delete dev eth0 root")?;
    // The suppression ends, and A preempts at B's next advertisement.
    let bound = master_down(1, 0) + Duration::from_secs(2);
    pair.a.wait_for_state("carp0", "MASTER", bound)?;
    pair.b.wait_for_state("carp0", "BACKUP", REACTION_TIMEOUT)?;
    wait_until("A is no longer suppressed", MARGIN, || {
        let sum = pair.a.carpctl("sysctl -n net.inet.carp.suppress_preempt")?;
        Ok((sum == "0\n").then_some(()))
    })?;
    stay(&pair.a, &pair.b)
}

#[test]
fn equal_hosts_without_own_addresses_have_one_master() -> Result<()> {
    let pair = Pair::new()?;
    for carpd in [&pair.a, &pair.b] {
        carpd.host().run("ip address flush dev eth0 scope global")?;
        carpd.carpctl("carp0 create")?;
        carpd.carpctl("carp0 carpdev eth0 vhid 1 pass mekmitasdigoat 192.168.1.1/24")?;
    }
    collide(&pair)?;
    stay(&pair.a, &pair.b)?;
    for carpd in [&pair.a, &pair.b] {
        let log = carpd.log()?;
        ensure!(!log.contains("network loop"), "{log}");
    }
    Ok(())
}
