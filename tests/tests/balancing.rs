//! The second example of carp(4): two virtual hosts share an address, and ARP spreads the clients
//! over their masters.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Capture, Carpd, Frame, Host, MARGIN, Pair, master_down, ping, wait_until};

const ADDRESS: &str = "192.168.1.10";
const VIRTUAL: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 10);

/// Time that Linux asks by unicast and then by broadcast: three times each, once a second.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(6);

/// Hosts A and B, and clients with the addresses 192.168.1.100 to 105.
struct Network {
    pair: Pair,
    clients: Vec<(Ipv4Addr, Host)>,
}

impl Network {
    fn new() -> Result<Self> {
        let pair = Pair::new()?;
        let mut clients = vec![(Ipv4Addr::new(192, 168, 1, 100), pair.client.clone())];
        for last in 101..=105 {
            let address = Ipv4Addr::new(192, 168, 1, last);
            let cable = ("lan", format!("{address}/24"));
            let host = pair
                .lab
                .host(&format!("client{last}"), &[(cable.0, &cable.1)])?;
            clients.push((address, host));
        }
        // Each virtual host ends on its preferred host, in whatever order they start.
        for carpd in [&pair.a, &pair.b] {
            carpd.carpctl("sysctl net.inet.carp.preempt=1")?;
        }
        Ok(Self { pair, clients })
    }

    /// Runs the example's commands; A is MASTER of vhid 1 and B of vhid 2.
    fn balanced() -> Result<Self> {
        let network = Self::new()?;
        let Pair { a, b, .. } = &network.pair;
        a.carpctl("carp0 create")?;
        a.carpctl("carp0 vhid 1 pass mekmitasdigoat 192.168.1.10/24")?;
        a.carpctl("carp1 create")?;
        a.carpctl("carp1 vhid 2 advskew 100 pass mekmitasdigoat 192.168.1.10/24")?;
        b.carpctl("carp0 create")?;
        b.carpctl("carp0 vhid 1 advskew 100 pass mekmitasdigoat 192.168.1.10/24")?;
        b.carpctl("carp1 create")?;
        b.carpctl("carp1 vhid 2 pass mekmitasdigoat 192.168.1.10/24")?;
        network.balance(true)?;
        masters(&[(a, "carp0"), (b, "carp1")])?;
        backups(&[(b, "carp0"), (a, "carp1")])?;
        Ok(network)
    }

    fn balance(&self, on: bool) -> Result<()> {
        let value = u8::from(on);
        for carpd in [&self.pair.a, &self.pair.b] {
            carpd.carpctl(&format!("sysctl net.inet.carp.arpbalance={value}"))?;
        }
        Ok(())
    }

    /// Asserts that each client, with an empty neighbour table, gets the virtual MAC of the vhid at
    /// its index, and an answer from there.
    fn each_finds_its_index(&self, address: &str, vhids: &[u8]) -> Result<()> {
        for (_, host) in &self.clients {
            host.run("ip neighbour flush all")?;
        }
        self.each_has_its_index(address, vhids)
    }

    /// As [`Network::each_finds_its_index`], with the neighbour entries that the clients have.
    fn each_has_its_index(&self, address: &str, vhids: &[u8]) -> Result<()> {
        for (own, host) in &self.clients {
            ping(host, address, 2).with_context(|| format!("from {own}"))?;
            assert_eq!(
                host.neighbour(address)?,
                Some(expected(*own, vhids)?),
                "{own}, asking for {address}"
            );
        }
        Ok(())
    }

    /// Makes every client confirm its entry by unicast, as it does now and then, until it has the
    /// MAC that `vhids` give.
    fn each_refreshes_to_its_index(&self, vhids: &[u8]) -> Result<()> {
        for (_, host) in &self.clients {
            host.run(&format!("ip neighbour change {ADDRESS} dev eth0 nud probe"))?;
        }
        for (own, host) in &self.clients {
            let mac = expected(*own, vhids)?;
            let what = format!("{own} has {mac} confirmed");
            wait_until(&what, REFRESH_TIMEOUT + MARGIN, || {
                let entry = host.run(&format!("ip neighbour show to {ADDRESS}"))?;
                Ok((entry.contains(&mac) && entry.contains("REACHABLE")).then_some(()))
            })?;
        }
        Ok(())
    }
}

/// Returns the virtual MAC of the vhid at a client's index: its address modulo their number.
fn expected(client: Ipv4Addr, vhids: &[u8]) -> Result<String> {
    let index = u32::from(client) % u32::try_from(vhids.len())?;
    let vhid = vhids.get(usize::try_from(index)?).context("no vhids")?;
    Ok(format!("00:00:5e:00:01:{vhid:02x}"))
}

/// Waits until these are MASTER and have their addresses, which come a moment later.
fn masters(interfaces: &[(&Carpd, &str)]) -> Result<()> {
    interfaces.iter().try_for_each(|(carpd, name)| {
        carpd.wait_for_state(name, "MASTER", master_down(1, 100))?;
        let host = carpd.host();
        wait_until(
            &format!("{name} on {} has addresses", host.name()),
            MARGIN,
            || {
                let shown = host.run(&format!("ip -o address show dev {name}"))?;
                Ok(shown.contains(" inet ").then_some(()))
            },
        )
    })
}

fn backups(interfaces: &[(&Carpd, &str)]) -> Result<()> {
    interfaces
        .iter()
        .try_for_each(|(carpd, name)| carpd.wait_for_state(name, "BACKUP", Duration::from_secs(1)))
}

/// Returns the clients whose requests a host answered, each with the virtual MAC in the answer. A
/// client can ask twice if an answer was late.
fn answers(frames: &[Frame]) -> BTreeSet<(Ipv4Addr, String)> {
    let replies = frames.iter().filter_map(Frame::arp);
    replies
        .filter(|arp| arp.operation == 2 && arp.sender == VIRTUAL && arp.target != VIRTUAL)
        .map(|arp| (arp.target, arp.sender_mac))
        .collect()
}

/// Returns clients, by the last byte of their addresses, with one virtual MAC.
fn with_mac(clients: &[u8], vhid: u8) -> BTreeSet<(Ipv4Addr, String)> {
    clients
        .iter()
        .map(|&last| {
            (
                Ipv4Addr::new(192, 168, 1, last),
                format!("00:00:5e:00:01:{vhid:02x}"),
            )
        })
        .collect()
}

#[test]
fn second_example_spreads_the_clients_over_both_hosts() -> Result<()> {
    let network = Network::balanced()?;
    let Pair { a, b, .. } = &network.pair;
    let mut by_a = Capture::sent_by(a.host(), "eth0")?;
    let mut by_b = Capture::sent_by(b.host(), "eth0")?;
    network.each_finds_its_index(ADDRESS, &[1, 2])?;

    // Each host answered exactly the requests of its own clients.
    assert_eq!(answers(&by_a.stop()?), with_mac(&[100, 102, 104], 1));
    assert_eq!(answers(&by_b.stop()?), with_mac(&[101, 103, 105], 2));
    Ok(())
}

#[test]
fn neighbour_entries_refreshed_by_unicast_follow_the_same_rule() -> Result<()> {
    let network = Network::balanced()?;
    network.each_finds_its_index(ADDRESS, &[1, 2])?;
    let mut seen = Capture::received_by(network.pair.b.host(), "eth0")?;
    network.each_refreshes_to_its_index(&[1, 2])?;
    let to_virtual_mac = |frame: &&Frame| {
        frame.destination() == "00:00:5e:00:01:02"
            && frame.arp().is_some_and(|arp| arp.operation == 1)
    };
    let asked = seen.stop()?.iter().filter(to_virtual_mac).count();
    ensure!(asked >= 3, "B was asked {asked} times by unicast");
    network.each_has_its_index(ADDRESS, &[1, 2])
}

#[test]
fn remaining_host_answers_for_both_macs_when_one_dies() -> Result<()> {
    let mut network = Network::balanced()?;
    network.each_finds_its_index(ADDRESS, &[1, 2])?;
    let mut by_b = Capture::sent_by(network.pair.b.host(), "eth0")?;
    let dead = &mut network.pair.a;
    dead.kill()?;
    dead.host().pull("eth0")?;
    masters(&[(&network.pair.b, "carp0"), (&network.pair.b, "carp1")])?;

    // The clients' entries are still valid: no announcement has changed them.
    network.each_has_its_index(ADDRESS, &[1, 2])?;
    network.each_refreshes_to_its_index(&[1, 2])?;
    network.each_finds_its_index(ADDRESS, &[1, 2])?;
    let moving = |frame: &&Frame| {
        frame
            .arp()
            .is_some_and(|arp| arp.sender == VIRTUAL && arp.target == VIRTUAL)
    };
    ensure!(
        !by_b.stop()?.iter().any(|frame| moving(&frame)),
        "an announcement would move all clients to one MAC"
    );

    Ok(())
}

#[test]
fn failed_host_gets_its_clients_back_when_it_returns() -> Result<()> {
    let network = Network::balanced()?;
    let Pair { a, b, .. } = &network.pair;
    network.each_finds_its_index(ADDRESS, &[1, 2])?;
    a.host().pull("eth0")?;
    masters(&[(b, "carp0"), (b, "carp1")])?;
    network.each_has_its_index(ADDRESS, &[1, 2])?;
    a.host().plug("eth0")?;
    masters(&[(a, "carp0")])?;
    backups(&[(b, "carp0"), (a, "carp1")])?;

    let mut by_a = Capture::sent_by(a.host(), "eth0")?;
    network.each_finds_its_index(ADDRESS, &[1, 2])?;
    assert_eq!(answers(&by_a.stop()?), with_mac(&[100, 102, 104], 1));
    Ok(())
}

#[test]
fn balancing_is_switched_on_and_off_at_run_time() -> Result<()> {
    let mut network = Network::balanced()?;
    // One host alone: with two and without balancing, both would answer, as on BSD.
    network.pair.b.stop()?;
    masters(&[(&network.pair.a, "carp1")])?;
    network
        .pair
        .a
        .carpctl("sysctl net.inet.carp.arpbalance=0")?;
    network.each_finds_its_index(ADDRESS, &[1])?;

    network
        .pair
        .a
        .carpctl("sysctl net.inet.carp.arpbalance=1")?;
    network.each_refreshes_to_its_index(&[1, 2])?;
    network.each_finds_its_index(ADDRESS, &[1, 2])?;

    network
        .pair
        .a
        .carpctl("sysctl net.inet.carp.arpbalance=0")?;
    network.each_refreshes_to_its_index(&[1])?;
    network.each_finds_its_index(ADDRESS, &[1])
}

#[test]
fn address_of_a_single_group_is_not_balanced() -> Result<()> {
    let network = Network::balanced()?;
    let Pair { a, b, .. } = &network.pair;
    // The same line on both hosts, or their digests differ.
    for carpd in [a, b] {
        carpd.carpctl("carp0 inet 192.168.1.11/24")?;
        carpd.carpctl("carp1 inet 192.168.1.12/24")?;
    }
    masters(&[(a, "carp0"), (b, "carp1")])?;
    backups(&[(b, "carp0"), (a, "carp1")])?;
    network.each_finds_its_index(ADDRESS, &[1, 2])?;
    network.each_finds_its_index("192.168.1.11", &[1])?;
    network.each_finds_its_index("192.168.1.12", &[2])?;

    // The address belongs to one group only, so another host announces it after a takeover.
    let mut by_b = Capture::sent_by(b.host(), "eth0")?;
    a.carpctl("carp0 down")?;
    masters(&[(b, "carp0")])?;
    network.each_finds_its_index("192.168.1.11", &[1])?;
    let announced: Vec<Ipv4Addr> = by_b
        .stop()?
        .iter()
        .filter_map(Frame::arp)
        .filter(|arp| arp.sender == arp.target)
        .map(|arp| arp.sender)
        .collect();
    ensure!(
        !announced.is_empty()
            && announced
                .iter()
                .all(|address| *address == Ipv4Addr::new(192, 168, 1, 11)),
        "B announces {announced:?}"
    );
    Ok(())
}

#[test]
fn three_groups_share_the_clients_among_three() -> Result<()> {
    let network = Network::balanced()?;
    let Pair { a, b, .. } = &network.pair;
    for (carpd, skew) in [(a, "advskew 100"), (b, "")] {
        carpd.carpctl(&format!(
            "carp2 create vhid 7 {skew} pass mekmitasdigoat 192.168.1.10/24"
        ))?;
    }
    masters(&[(a, "carp0"), (b, "carp1"), (b, "carp2")])?;
    backups(&[(b, "carp0"), (a, "carp1"), (a, "carp2")])?;
    let mut by_a = Capture::sent_by(a.host(), "eth0")?;
    let mut by_b = Capture::sent_by(b.host(), "eth0")?;
    network.each_finds_its_index(ADDRESS, &[1, 2, 7])?;
    assert_eq!(answers(&by_a.stop()?), with_mac(&[101, 104], 1));
    let by_b = answers(&by_b.stop()?);
    assert_eq!(by_b, &with_mac(&[102, 105], 2) | &with_mac(&[100, 103], 7));

    // A group counts on every host where it is configured, even if it is down there.
    b.carpctl("carp2 down")?;
    masters(&[(a, "carp2")])?;
    let mut by_a = Capture::sent_by(a.host(), "eth0")?;
    let mut by_b = Capture::sent_by(b.host(), "eth0")?;
    network.each_finds_its_index(ADDRESS, &[1, 2, 7])?;
    let by_a = answers(&by_a.stop()?);
    assert_eq!(by_a, &with_mac(&[101, 104], 1) | &with_mac(&[100, 103], 7));
    assert_eq!(answers(&by_b.stop()?), with_mac(&[102, 105], 2));

    // Two groups are left and share the indices.
    for carpd in [a, b] {
        carpd.carpctl("carp1 destroy")?;
    }
    network.each_finds_its_index(ADDRESS, &[1, 7])
}

#[test]
fn traffic_through_a_router_is_not_balanced() -> Result<()> {
    let network = Network::balanced()?;
    let Pair { a, b, lab, .. } = &network.pair;
    let router = lab.host(
        "router",
        &[("lan", "192.168.1.201/24"), ("far", "10.1.0.1/24")],
    )?;
    router.run("sysctl -qw net.ipv4.ip_forward=1")?;
    for carpd in [a, b] {
        carpd
            .host()
            .run("ip route add 10.1.0.0/24 via 192.168.1.201")?;
    }
    let mut by_a = Capture::sent_by(a.host(), "eth0")?;
    let mut by_b = Capture::sent_by(b.host(), "eth0")?;
    for last in 100..104 {
        let host = lab.host(
            &format!("far{last}"),
            &[("far", &format!("10.1.0.{last}/24"))],
        )?;
        host.run("ip route add default via 10.1.0.1")?;
        ping(&host, ADDRESS, 2)?;
    }
    // B gets all of it: the router asks from its own address, which is odd.
    let replies = |frames: &[Frame]| frames.iter().filter_map(Frame::echo).count();
    assert_eq!((replies(&by_a.stop()?), replies(&by_b.stop()?)), (0, 8));
    assert_eq!(
        router.neighbour(ADDRESS)?.as_deref(),
        Some("00:00:5e:00:01:02")
    );
    Ok(())
}

#[test]
fn balancing_on_both_sides_of_routers_makes_routing_asymmetric() -> Result<()> {
    let network = Network::balanced()?;
    let Pair { a, b, lab, .. } = &network.pair;
    for (carpd, [first, second]) in [(a, ["", "advskew 100"]), (b, ["advskew 100", ""])] {
        carpd.host().run("sysctl -qw net.ipv4.ip_forward=1")?;
        carpd.carpctl(&format!(
            "carp2 create vhid 3 {first} pass x 192.168.2.10/24"
        ))?;
        carpd.carpctl(&format!(
            "carp3 create vhid 4 {second} pass x 192.168.2.10/24"
        ))?;
    }
    masters(&[(a, "carp2"), (b, "carp3")])?;
    backups(&[(b, "carp2"), (a, "carp3")])?;
    let server = lab.host("server", &[("dmz", "192.168.2.100/24")])?;
    server.run("ip route add 192.168.1.0/24 via 192.168.2.10")?;
    let [(_, even), (_, odd), ..] = network.clients.as_slice() else {
        anyhow::bail!("two clients at least");
    };
    for client in [even, odd] {
        client.run("ip route add 192.168.2.0/24 via 192.168.1.10")?;
    }

    // The odd client's requests pass through B, the even server's replies through A.
    let mut by_a = Capture::sent_by(a.host(), "eth0")?;
    let mut by_b = Capture::sent_by(b.host(), "eth1")?;
    ping(odd, "192.168.2.100", 3)?;
    let echoes = |frames: &[Frame], request| {
        frames
            .iter()
            .filter_map(Frame::echo)
            .filter(|echo| echo.request == request)
            .count()
    };
    assert_eq!(echoes(&by_b.stop()?, true), 3);
    assert_eq!(echoes(&by_a.stop()?, false), 3);

    // A has no state for them.
    for carpd in [a, b] {
        for line in [
            "nft add table ip guard",
            "nft add chain ip guard forward { type filter hook forward priority 0 ; policy drop ; }",
            "nft add rule ip guard forward ct state established accept",
            "nft add rule ip guard forward ip saddr 192.168.1.0/24 accept",
        ] {
            carpd.host().run(line)?;
        }
    }
    ping(even, "192.168.2.100", 3)?;
    let lost = odd.output("ping -n -i 0.1 -W 1 -c 3 192.168.2.100")?;
    let lost = String::from_utf8(lost.stdout)?;
    ensure!(lost.contains("3 packets transmitted, 0 received"), "{lost}");
    Ok(())
}
