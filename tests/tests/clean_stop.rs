//! A clean stop restores the host to its state before carpd.

use std::fs;

use anyhow::{Result, ensure};
use carp_tests::{Carpd, Host, Lab, MARGIN, master_down, wait_until};

/// Returns links, addresses, routes, memberships and every setting of the interfaces.
fn network_state(host: &Host) -> Result<String> {
    let mut state = String::new();
    for line in [
        "ip -d -o link show",
        "ip -o address show",
        "ip route show table all",
        "ip -6 route show table all",
        "ip maddress show",
        "sysctl -a -r ^net[.]ipv[46][.](conf|neigh|ip_forward|igmp)",
    ] {
        state.push_str(&host.run(line)?);
    }
    Ok(state)
}

fn files(carpd: &Carpd) -> Result<Vec<String>> {
    let directory = carpd.run_directory();
    if !directory.exists() {
        return Ok(Vec::new());
    }
    fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

#[test]
fn clean_stop_leaves_nothing_behind() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host(
        "a",
        &[
            ("lan", "192.168.1.2/24 2001:db8:1::2/64"),
            ("dmz", "192.168.2.2/24"),
        ],
    )?;
    // Values other than the defaults have to come back too.
    host.run("sysctl -qw net.ipv4.conf.eth0.arp_announce=1 net.ipv4.conf.eth1.arp_ignore=2")?;
    let before = network_state(&host)?;

    let mut carpd = Carpd::start(&host)?;
    carpd.carpctl("carp0 create")?;
    carpd.carpctl("carp0 vhid 1 192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    carpd.carpctl("carp1 create")?;
    carpd.carpctl("carp1 vhid 2 192.168.2.1/24")?;
    for interface in ["carp0", "carp1"] {
        carpd.wait_for_state(interface, "MASTER", master_down(1, 0))?;
    }
    ensure!(
        network_state(&host)? != before,
        "carpd has changed the host"
    );
    ensure!(
        host.run("sysctl -n net.ipv4.conf.eth0.arp_announce")?
            .trim()
            == "2"
    );

    let status = carpd.stop()?;
    ensure!(status.success(), "{status}");
    assert_eq!(files(&carpd)?, Vec::<String>::new());
    same_soon(&host, &before)
}

#[test]
fn destroying_the_last_interface_leaves_nothing_behind() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24 2001:db8:1::2/64")])?;
    let before = network_state(&host)?;
    let mut carpd = Carpd::start(&host)?;
    carpd.carpctl("carp0 create")?;
    carpd.carpctl("carp0 vhid 1 192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    carpd.carpctl("carp0 destroy")?;
    same_soon(&host, &before)?;
    carpd.check_alive()
}

/// Waits for the host to be as before: the kernel removes a device shortly after it has agreed to.
fn same_soon(host: &Host, before: &str) -> Result<()> {
    let same = wait_until("the host is as before", MARGIN, || {
        Ok((network_state(host)? == before).then_some(()))
    });
    if same.is_err() {
        assert_eq!(
            before.lines().collect::<Vec<_>>(),
            network_state(host)?.lines().collect::<Vec<_>>()
        );
    }
    same
}
