//! IPv6, several addresses at once, and hosts with different addresses.

use anyhow::{Context as _, Result, ensure};
use carp_tests::{
    Capture, Family, Frame, MARGIN, Pair, Ping, REACTION_TIMEOUT, VIRTUAL_MAC, master_down,
    wait_until,
};

const V6: &str = "2001:db8:1::1";

#[test]
fn ipv6_group_has_one_master_and_moves_when_it_dies() -> Result<()> {
    let mut pair = Pair::with_group("inet6 2001:db8:1::1/64")?;
    pair.client_reaches(V6)?;
    assert_eq!(pair.client.neighbour(V6)?.as_deref(), Some(VIRTUAL_MAC));
    assert!(pair.a.host().addresses()?.contains("2001:db8:1::1/64"));
    assert!(!pair.b.host().addresses()?.contains("2001:db8:1::1/64"));

    let bound = master_down(1, 100);
    let a = &mut pair.a;
    let ping = Ping::start(&pair.client, V6)?;
    let outage = ping.outage_of(
        || {
            a.kill()?;
            a.host().pull("eth0")
        },
        || pair.b.wait_for_state("carp0", "MASTER", bound),
    )?;
    println!("the client was without answers for {outage:.2?}, at most {bound:.2?} by protocol");
    ensure!(outage <= bound + MARGIN, "{outage:?}");
    assert_eq!(pair.client.neighbour(V6)?.as_deref(), Some(VIRTUAL_MAC));
    Ok(())
}

#[test]
fn ipv6_address_answers_at_once_and_is_announced_with_override() -> Result<()> {
    let pair = Pair::with_group("inet6 2001:db8:1::1/64")?;
    let mut sent = Capture::sent_by(pair.b.host(), "eth0")?;
    let ping = Ping::start(&pair.client, V6)?;
    let outage = ping.outage_of(
        || pair.a.carpctl("carp0 down").map(drop),
        || pair.b.wait_for_state("carp0", "MASTER", REACTION_TIMEOUT),
    )?;
    println!("the client was without answers for {outage:.2?}");
    ensure!(
        outage < REACTION_TIMEOUT,
        "duplicate address detection would take a second: {outage:?}"
    );
    let addresses = pair.b.host().addresses()?;
    ensure!(!addresses.contains("tentative"), "{addresses}");

    let frames = sent.stop()?;
    let announced = frames
        .iter()
        .find_map(|frame| {
            let message = frame.neighbour_message()?;
            (message.kind == 136 && message.target.to_string() == V6).then_some((frame, message))
        })
        .context("B announces the address")?;
    let (frame, message) = announced;
    assert!(message.overrides, "{message:?}");
    assert_eq!(frame.source(), VIRTUAL_MAC);
    assert_eq!(frame.destination(), "33:33:00:00:00:01");
    assert_eq!(message.lladdr.as_deref(), Some(VIRTUAL_MAC));
    Ok(())
}

#[test]
fn three_ipv4_and_two_ipv6_addresses_move_together() -> Result<()> {
    let addresses = "192.168.1.1/24 192.168.1.10/32 192.168.1.11/32 \
                     inet6 2001:db8:1::1/64 inet6 2001:db8:1::11/64";
    let all = [
        "192.168.1.1",
        "192.168.1.10",
        "192.168.1.11",
        V6,
        "2001:db8:1::11",
    ];
    let pair = Pair::with_group(addresses)?;
    let mut segment = Capture::on_segment(&pair.lab, "lan")?;
    for address in all {
        pair.client_reaches(address)?;
        assert_eq!(
            pair.client.neighbour(address)?.as_deref(),
            Some(VIRTUAL_MAC),
            "{address}"
        );
    }

    pair.a.carpctl("carp0 down")?;
    pair.b.wait_for_state("carp0", "MASTER", REACTION_TIMEOUT)?;
    for address in all {
        pair.client_reaches(address)?;
        assert_eq!(
            pair.client.neighbour(address)?.as_deref(),
            Some(VIRTUAL_MAC),
            "{address}"
        );
        let on_b = pair.b.host().addresses()?;
        assert!(
            on_b.contains(&format!(" {address}/")),
            "{address} on B:\n{on_b}"
        );
    }
    let on_a = pair.a.host().addresses()?;
    assert!(
        all.iter()
            .all(|address| !on_a.contains(&format!(" {address}/"))),
        "{on_a}"
    );

    let advertisements: Vec<_> = segment
        .stop()?
        .iter()
        .filter_map(Frame::advertisement)
        .collect();
    for family in [Family::V4, Family::V6] {
        let of_family = |bow_out: bool| {
            advertisements.iter().filter(move |advertisement| {
                advertisement.family == family && advertisement.is_bow_out() == bow_out
            })
        };
        assert!(
            of_family(false).next().is_some(),
            "an advertisement of {family:?}"
        );
        assert!(of_family(true).next().is_some(), "a bow-out of {family:?}");
        assert!(of_family(false).all(|advertisement| advertisement.ttl == 255));
    }
    Ok(())
}

#[test]
fn different_address_lists_count_badauth_and_are_logged() -> Result<()> {
    let mut pair = Pair::new()?;
    pair.a.carpctl("carp0 create")?;
    pair.a
        .carpctl("carp0 vhid 1 pass mekmitasdigoat 192.168.1.1/24 192.168.1.10/24")?;
    pair.b.carpctl("carp0 create")?;
    pair.b
        .carpctl("carp0 vhid 1 advskew 100 pass mekmitasdigoat 192.168.1.1/24")?;
    // Neither accepts the other's advertisements: both become MASTER.
    for carpd in [&pair.a, &pair.b] {
        carpd.wait_for_state("carp0", "MASTER", master_down(1, 100))?;
    }
    for carpd in [&mut pair.a, &mut pair.b] {
        carpd.wait_for_counter("carp0", "badauth", 2)?;
        assert_eq!(carpd.state("carp0")?, "MASTER");
        wait_until("the log says so", MARGIN, || {
            let log = carpd.log()?;
            let said = log.lines().any(|line| {
                line.contains("carp0") && line.contains("address") && line.contains("ours")
            });
            Ok(said.then_some(()))
        })?;
    }
    Ok(())
}

#[test]
fn ipv6_that_appears_late_or_returns_joins_the_group() -> Result<()> {
    let pair = Pair::new()?;
    let a = pair.a.host();
    let joined = || {
        wait_until("A is in ff02::12", MARGIN, || {
            let groups = a.run("ip maddress show dev eth0")?;
            Ok(groups
                .lines()
                .any(|line| line.contains("ff02::12"))
                .then_some(()))
        })
    };
    a.run("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1")?;
    pair.form_group("192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    a.run("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0")?;
    joined()?;
    // Below 1280 bytes there is no IPv6, and its memberships end.
    a.run("ip link set eth0 mtu 1000")?;
    let groups = a.run("ip maddress show dev eth0")?;
    ensure!(!groups.contains("ff02::12"), "{groups}");
    a.run("ip link set eth0 mtu 1500")?;
    joined()?;
    for line in ["ip link set eth0 down", "ip link set eth0 up"] {
        a.run(line)?;
    }
    joined()
}
