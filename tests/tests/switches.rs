//! Switches that do not flood all frames.

use std::time::Duration;

use anyhow::{Result, ensure};
use carp_tests::{Pair, REACTION_TIMEOUT, VIRTUAL_MAC, wait_until};

#[test]
fn snooping_switch_forwards_advertisements_and_solicitations() -> Result<()> {
    let pair = Pair::new()?;
    let snooping = "mcast_snooping 1 mcast_querier 1 mcast_startup_query_interval 50 \
                    mcast_query_response_interval 50 mcast_mld_version 2";
    let switch = pair.lab.switch();
    // Its queries need an address of its own.
    switch.run("sysctl -qw net.ipv6.conf.lan.disable_ipv6=0 net.ipv6.conf.lan.accept_dad=0")?;
    switch.run("ip address add 192.168.1.254/24 dev lan")?;
    switch.run("ip address add fe80::fe/64 dev lan nodad")?;
    switch.run(&format!("ip link set lan type bridge {snooping}"))?;
    pair.form_group("192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    wait_until(
        "the switch knows the listeners of ff02::12",
        Duration::from_secs(10),
        || {
            let groups = switch.run("bridge mdb show dev lan")?;
            let listens = |port: &str| {
                groups
                    .lines()
                    .any(|line| line.contains(port) && line.contains("grp ff02::12"))
            };
            Ok((listens("a-eth0") && listens("b-eth0")).then_some(()))
        },
    )?;
    pair.b.wait_for_counter("carp0", "ipackets", 4)?;
    pair.b.wait_for_counter("carp0", "ipackets6", 4)?;
    assert_eq!(pair.b.state("carp0")?, "BACKUP");

    for handover in 0..2 {
        if handover == 1 {
            pair.a.carpctl("carp0 down")?;
            pair.b.wait_for_state("carp0", "MASTER", REACTION_TIMEOUT)?;
        }
        pair.client.run("ip neighbour flush all")?;
        for address in ["192.168.1.1", "2001:db8:1::1"] {
            pair.client_reaches(address)?;
            let mac = pair.client.neighbour(address)?;
            ensure!(
                mac.as_deref() == Some(VIRTUAL_MAC),
                "{address} is at {mac:?}"
            );
        }
    }
    Ok(())
}
