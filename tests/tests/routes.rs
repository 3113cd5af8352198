//! Physical interfaces without an own address in the subnet of the virtual one: the MASTER reaches
//! its neighbours through the carp device.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{
    Carpd, Host, Lab, MARGIN, REACTION_TIMEOUT, VIRTUAL_MAC, master_down, ping, wait_until,
};

const GROUP: &str = "carpdev eth0 vhid 1 pass mekmitasdigoat \
                     10.99.1.1/16 inet6 2001:db8:99::1/64 inet6 fe80::99/64";
const ADDRESSES: [&str; 3] = ["10.99.1.1", "2001:db8:99::1", "fe80::99%eth0"];

/// Starts carpd on a host with these addresses, as MASTER of [`GROUP`], and a client.
fn master(lab: &Lab, own: &str) -> Result<(Carpd, Host)> {
    let client = lab.host("client", &[("lan", "10.99.0.9/16 2001:db8:99::9/64")])?;
    let carpd = Carpd::start(&lab.host("a", &[("lan", own)])?)?;
    carpd.carpctl("carp0 create")?;
    carpd.carpctl(&format!("carp0 {GROUP}"))?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    Ok((carpd, client))
}

fn reaches_all(client: &Host) -> Result<()> {
    for address in ADDRESSES {
        wait_until(&format!("{address} answers the client"), MARGIN, || {
            ping(client, address, 1).map(Some)
        })?;
    }
    Ok(())
}

/// Returns the routes through carp0.
fn routes(host: &Host) -> Result<String> {
    let v4 = host.run("ip -4 route show table main dev carp0")?;
    Ok(v4 + &host.run("ip -6 route show table main dev carp0")?)
}

#[test]
fn master_without_an_own_address_in_the_subnet_answers() -> Result<()> {
    for own in ["", "192.168.7.2/24"] {
        let lab = Lab::new()?;
        let (carpd, client) = master(&lab, own)?;
        reaches_all(&client)?;
        assert_eq!(client.neighbour("10.99.1.1")?.as_deref(), Some(VIRTUAL_MAC));
        // The host reaches the subnet itself, from the virtual address.
        ping(carpd.host(), "10.99.0.9", 1)?;
        ping(carpd.host(), "2001:db8:99::9", 1)?;

        carpd.carpctl("carp0 down")?;
        carpd.wait_for_state("carp0", "INIT", REACTION_TIMEOUT)?;
        wait_until("the routes go with the addresses", REACTION_TIMEOUT, || {
            // After the stop the device does not exist.
            let left = routes(carpd.host()).unwrap_or_default();
            Ok(left.is_empty().then_some(()))
        })?;
    }
    Ok(())
}

#[test]
fn own_address_takes_the_route_over_and_gives_it_back() -> Result<()> {
    let lab = Lab::new()?;
    let (carpd, client) = master(&lab, "")?;
    let a = carpd.host();
    reaches_all(&client)?;
    let before = routes(a)?;

    let way = || a.run("ip route get 10.99.0.9");
    ensure!(way()?.contains("dev carp0 src 10.99.1.1"), "{}", way()?);
    a.run("ip address add 10.99.0.2/16 dev eth0")?;
    ensure!(way()?.contains("dev eth0 src 10.99.0.2"), "{}", way()?);
    reaches_all(&client)?;
    ping(&client, "10.99.0.2", 1)?;
    a.run("ip address del 10.99.0.2/16 dev eth0")?;
    ensure!(way()?.contains("dev carp0 src 10.99.1.1"), "{}", way()?);
    reaches_all(&client)?;

    a.run("ip address flush dev carp0")?;
    let prefixes = |text: &str| -> Vec<String> {
        let words = text.lines().filter_map(|line| line.split(' ').next());
        words.map(ToOwned::to_owned).collect()
    };
    wait_until("the routes are back after a flush", MARGIN, || {
        let mut now = prefixes(&routes(a)?);
        let mut then = prefixes(&before);
        now.sort();
        then.sort();
        Ok((now == then).then_some(()))
    })?;
    reaches_all(&client)
}

#[test]
fn own_wider_subnet_keeps_its_route() -> Result<()> {
    const OWN: [&str; 2] = ["10.99.0.2/16", "2001:db8:99::2/64"];
    let lab = Lab::new()?;
    let client = lab.host("client", &[("lan", "10.99.0.9/16 2001:db8:99::9/64")])?;
    let a = lab.host("a", &[("lan", &OWN.join(" "))])?;
    a.run("sysctl -qw net.ipv4.conf.eth0.rp_filter=1")?;
    let mut carpd = Carpd::start(&a)?;
    carpd.carpctl(
        "carp0 create carpdev eth0 vhid 1 pass mekmitasdigoat \
         10.99.0.201/24 10.99.0.202/24 inet6 2001:db8:99::201/80",
    )?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    let leaves_by = |device: &str| {
        wait_until(
            &format!("both ways are by {device}"),
            REACTION_TIMEOUT,
            || {
                let ways = ["10.99.0.9", "2001:db8:99::9"].map(|to| format!("ip route get {to}"));
                let device = format!("dev {device}");
                let all = ways.iter().try_fold(true, |all, way| {
                    a.run(way).map(|way| all && way.contains(&device))
                });
                Ok(all?.then_some(()))
            },
        )
    };
    let answers = |address: &str| {
        wait_until(&format!("{address} answers the client"), MARGIN, || {
            Ok(ping(&client, address, 1).ok())
        })
    };
    let all_answer = || -> Result<()> {
        leaves_by("eth0")?;
        for address in ["10.99.0.2", "2001:db8:99::2"] {
            answers(address)?;
        }
        for address in ["10.99.0.201", "10.99.0.202", "2001:db8:99::201"] {
            answers(address)?;
        }
        Ok(())
    };
    let own_ones_come = || -> Result<()> {
        for address in OWN {
            a.run(&format!("ip address replace {address} dev eth0 nodad"))?;
        }
        all_answer()
    };
    all_answer()?;

    a.run("ip address flush dev eth0")?;
    leaves_by("carp0")?;
    answers("10.99.0.201")?;
    answers("2001:db8:99::201")?;
    own_ones_come()?;

    a.run("ip address flush dev eth0")?;
    leaves_by("carp0")?;
    carpd.kill()?;
    carpd.restart()?;
    carpd.wait_for_state("carp0", "MASTER", Duration::ZERO)?;
    leaves_by("carp0")?;
    own_ones_come()?;

    // The kernel removes the own IPv6 address when the interface goes down.
    a.run("ip link set eth0 down")?;
    carpd.wait_for_state("carp0", "INIT", REACTION_TIMEOUT)?;
    a.run("ip link set eth0 up")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    own_ones_come()
}

#[test]
fn own_address_beside_a_virtual_one_keeps_its_route() -> Result<()> {
    let lab = Lab::new()?;
    let client = lab.host("client", &[("lan", "10.99.0.9/16 2001:db8:99::9/64")])?;
    let a = lab.host("a", &[("lan", "")])?;
    let mut carpd = Carpd::start(&a)?;
    carpd.carpctl(
        "carp0 create carpdev eth0 vhid 1 lladdr parent pass mekmitasdigoat \
         10.99.1.1/16 10.99.1.2/16 inet6 2001:db8:99::1/64",
    )?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    let answer = |addresses: &[&str]| -> Result<()> {
        for address in addresses {
            wait_until(&format!("{address} answers the client"), MARGIN, || {
                ping(&client, address, 1).map(Some)
            })?;
        }
        Ok(())
    };
    carpd.wait_for_log(
        "carp0: eth0 has no IPv4 address of its own: when this host becomes backup",
    )?;
    let virtual_ones = ["10.99.1.1", "10.99.1.2", "2001:db8:99::1"];
    answer(&virtual_ones)?;

    a.run("ip address add 10.99.0.2/16 dev eth0")?;
    a.run("ip address add 2001:db8:99::2/64 dev eth0 nodad")?;
    let way = a.run("ip route get 10.99.0.9")?;
    ensure!(way.contains("dev eth0 src 10.99.0.2"), "{way}");
    answer(&["10.99.0.2", "2001:db8:99::2"])?;
    answer(&virtual_ones)?;

    carpd.kill()?;
    carpd.restart()?;
    carpd.wait_for_state("carp0", "MASTER", Duration::ZERO)?;
    answer(&virtual_ones)?;
    // A removed address takes no other route with it.
    carpd.carpctl("carp0 -alias 10.99.1.1")?;
    carpd.carpctl("carp0 down")?;
    carpd.wait_for_state("carp0", "INIT", REACTION_TIMEOUT)?;
    wait_until("the own addresses alone are left", REACTION_TIMEOUT, || {
        let left = a.run("ip -o address show dev eth0 scope global")?;
        let routes = a.run("ip route show dev eth0")? + &a.run("ip -6 route show dev eth0")?;
        let own = left.contains("10.99.0.2/16") && left.contains("2001:db8:99::2/64");
        let alone = left.lines().count() == 2 && !routes.contains("11200000");
        Ok((own && alone).then_some(()))
    })?;
    answer(&["10.99.0.2", "2001:db8:99::2"])
}

#[test]
fn flushed_routes_are_restored() -> Result<()> {
    let lab = Lab::new()?;
    let (carpd, client) = master(&lab, "")?;
    reaches_all(&client)?;
    let a = carpd.host();
    a.run("ip route flush dev carp0")?;
    a.run("ip -6 route flush dev carp0")?;
    reaches_all(&client)
}

#[test]
fn routes_of_a_killed_carpd_end_with_the_lease_or_resume() -> Result<()> {
    let lab = Lab::new()?;
    let (mut carpd, client) = master(&lab, "")?;
    reaches_all(&client)?;
    carpd.kill()?;
    carpd.restart()?;
    carpd.wait_for_state("carp0", "MASTER", Duration::ZERO)?;
    reaches_all(&client)?;

    carpd.kill()?;
    let lease = Duration::from_secs(4);
    wait_until("no route outlives its lease", lease + MARGIN, || {
        let v4 = carpd.host().run("ip -4 route show dev carp0")?;
        // The kernel keeps an expired IPv6 route for a while, without using it.
        let v6 = carpd.host().output("ip -6 route get 2001:db8:99::9")?;
        let v6 = String::from_utf8(v6.stdout).context("ip writes UTF-8")?;
        Ok((v4.is_empty() && !v6.contains("carp0")).then_some(()))
    })?;
    Ok(())
}

#[test]
fn log_names_addresses_and_guests_that_a_carp_interface_breaks() -> Result<()> {
    const SILENCED: &str =
        "eth0: ARP requests for 10.99.0.50 of another interface are not answered";
    let lab = Lab::new()?;
    let client = lab.host("client", &[("lan", "10.99.0.9/16")])?;
    let a = lab.host("a", &[("lan", "10.99.0.2/16")])?;
    a.run("ip address add 10.99.0.50/32 dev lo")?;
    a.run("ip address add 10.98.0.50/32 dev lo")?;
    a.run("ip link add guest0 link eth0 type macvlan mode bridge")?;
    ping(&client, "10.99.0.50", 1)?;
    let carpd = Carpd::start(&a)?;
    carpd.carpctl("carp0 create carpdev eth0 vhid 1 pass mekmitasdigoat 10.99.1.1/16")?;
    carpd.wait_for_log(SILENCED)?;
    carpd.wait_for_log("guest0: as a macvlan on eth0 it gets no replies from virtual addresses")?;
    a.run("ip address add 10.99.0.51/32 dev lo")?;
    a.run("ip link add guest1 link eth0 type macvtap mode bridge")?;
    carpd.wait_for_log("eth0: ARP requests for 10.99.0.51 of another interface")?;
    carpd.wait_for_log("guest1: as a macvlan on eth0 it gets no replies")?;
    let log = carpd.log()?;
    ensure!(log.matches(SILENCED).count() == 1, "{log}");
    ensure!(!log.contains("10.98.0.50"), "{log}");
    Ok(())
}

#[test]
fn log_names_a_rule_for_the_reverse_path() -> Result<()> {
    let lab = Lab::new()?;
    let a = lab.host("a", &[("lan", "2001:db8:99::2/64")])?;
    a.run("nft add table inet firewall")?;
    a.run("nft add chain inet firewall in { type filter hook prerouting priority -150 ; }")?;
    a.run(
        "nft add rule inet firewall in meta nfproto ipv6 fib saddr . mark . iif oif missing drop",
    )?;
    let carpd = Carpd::start(&a)?;
    carpd.carpctl("carp0 create carpdev eth0 vhid 1 pass mekmitasdigoat 2001:db8:99::1/64")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    carpd.wait_for_log("nft: a rule for the reverse path")
}

#[test]
fn macvlan_as_physical_interface_is_refused_with_the_reason() -> Result<()> {
    let lab = Lab::new()?;
    let a = lab.host("a", &[("lan", "")])?;
    a.run("ip link add container0 link eth0 type macvlan mode bridge")?;
    a.run("ip address add 10.99.0.2/16 dev container0")?;
    a.run("ip link set container0 up")?;
    let carpd = Carpd::start(&a)?;
    let answer = carpd
        .try_carpctl("carp0 create carpdev container0 vhid 1 pass mekmitasdigoat 10.99.1.1/16")?;
    let refusal = "container0 is itself a macvlan, on which a backup is deaf";
    ensure!(answer.stderr.contains(refusal), "{answer:?}");
    carpd.wait_for_log(refusal)?;
    carpd.wait_for_state("carp0", "INIT", REACTION_TIMEOUT)?;

    carpd.carpctl("carp0 lladdr parent")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))
}
