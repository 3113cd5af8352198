//! The first example of carp(4), unchanged but for the name of the command.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Result, ensure};
use carp_tests::{Capture, Frame, Pair, REACTION_TIMEOUT, VIRTUAL_MAC, ping, wait_until};

const VIRTUAL: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const VIRTUAL_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);

#[test]
fn first_example_makes_a_master_and_a_backup() -> Result<()> {
    let pair = Pair::with_manual_group()?;
    let shown = pair.a.carpctl("carp0")?;
    assert!(
        shown.contains("\tcarp: MASTER vhid 1 advbase 1 advskew 0\n"),
        "{shown}"
    );
    let shown = pair.b.carpctl("carp0")?;
    assert!(
        shown.contains("\tcarp: BACKUP vhid 1 advbase 1 advskew 100\n"),
        "{shown}"
    );

    pair.client_reaches("192.168.1.1")?;
    assert_eq!(
        pair.client.neighbour("192.168.1.1")?.as_deref(),
        Some(VIRTUAL_MAC)
    );

    let (on_a, on_b) = (pair.a.host().addresses()?, pair.b.host().addresses()?);
    for address in ["192.168.1.1/24", "192.168.2.1/24"] {
        assert!(on_a.contains(address), "A has {address}:\n{on_a}");
        assert!(!on_b.contains(address), "B has {address}:\n{on_b}");
    }
    Ok(())
}

#[test]
fn backup_never_answers_even_flooded_frames() -> Result<()> {
    let pair = Pair::new()?;
    pair.flood()?;
    for carpd in [&pair.a, &pair.b] {
        let forwarding = "net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1";
        carpd.host().run(&format!("sysctl -qw {forwarding}"))?;
    }
    pair.form_group("192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    let mut sent = Capture::sent_by(pair.b.host(), "eth0")?;
    let mut received = Capture::received_by(pair.b.host(), "eth0")?;

    pair.client.run("ip neighbour flush all")?;
    for address in ["192.168.1.1", "2001:db8:1::1"] {
        pair.client_reaches(address)?;
    }

    let received = received.stop()?;
    let flooded = |frame: &&Frame| frame.destination() == VIRTUAL_MAC && frame.echo().is_some();
    let tempted = received.iter().filter(flooded).count();
    ensure!(tempted >= 10, "the switch floods requests to B: {tempted}");
    let asked = |frame: &Frame| frame.arp().is_some_and(|arp| arp.target == VIRTUAL);
    assert!(
        received.iter().any(asked),
        "the client's ARP request reaches B"
    );
    for frame in sent.stop()? {
        ensure!(
            frame.source() != VIRTUAL_MAC,
            "B sends with the virtual MAC: {frame:?}"
        );
        ensure!(
            frame.echo().is_none(),
            "B takes part in the ping: {frame:?}"
        );
        ensure!(
            frame.arp().is_none_or(|arp| arp.sender != VIRTUAL),
            "B answers: {frame:?}"
        );
        let about = frame
            .neighbour_message()
            .filter(|message| message.kind == 136);
        ensure!(
            about.is_none_or(|message| message.target != VIRTUAL_V6),
            "B answers: {frame:?}"
        );
    }
    Ok(())
}

#[test]
fn only_a_master_uses_the_virtual_mac() -> Result<()> {
    let pair = Pair::new()?;
    let hosts = [pair.a.host(), pair.b.host()];
    let captures = hosts.map(|host| Capture::sent_by(host, "eth0"));
    pair.form_group("192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    pair.client_reaches("192.168.1.1")?;
    pair.client_reaches("2001:db8:1::1")?;
    pair.a.carpctl("carp0 down")?;
    pair.b.wait_for_state("carp0", "MASTER", REACTION_TIMEOUT)?;
    pair.client_reaches("192.168.1.1")?;
    pair.client_reaches("2001:db8:1::1")?;

    // Any other frame, such as a report that a multicast group is joined or left, would make the
    // switch send the address's traffic to a backup.
    for capture in captures {
        let frames = capture?.stop()?;
        let mut ours = frames.iter().filter(|frame| frame.source() == VIRTUAL_MAC);
        let first = ours.next().and_then(Frame::advertisement);
        ensure!(
            first.is_some(),
            "a MASTER's first frame is an advertisement"
        );
        let is_bow_out = |frame: &&Frame| {
            frame
                .advertisement()
                .is_some_and(|advertisement| advertisement.is_bow_out())
        };
        for frame in ours.skip_while(|frame| !is_bow_out(frame)) {
            ensure!(is_bow_out(&frame), "after the bow-out: {frame:02x?}");
        }
    }
    Ok(())
}

#[test]
fn flooded_packets_are_forwarded_once() -> Result<()> {
    let pair = Pair::new()?;
    pair.flood()?;
    let server = pair.lab.host("server", &[("dmz", "192.168.2.100/24")])?;
    for carpd in [&pair.a, &pair.b] {
        carpd.host().run("sysctl -qw net.ipv4.ip_forward=1")?;
    }
    pair.client.run("ip route add default via 192.168.1.1")?;
    server.run("ip route add default via 192.168.2.1")?;
    pair.form_manual_group()?;

    let mut at_server = Capture::received_by(&server, "eth0")?;
    let mut at_client = Capture::received_by(&pair.client, "eth0")?;
    let mut at_b = Capture::received_by(pair.b.host(), "eth0")?;
    ping(&pair.client, "192.168.2.100", 5)?;

    for (host, frames) in [("server", at_server.stop()?), ("client", at_client.stop()?)] {
        let mut numbers: Vec<_> = frames
            .iter()
            .filter_map(Frame::echo)
            .map(|echo| echo.number)
            .collect();
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(
            (count, numbers.len()),
            (5, 5),
            "each packet reaches the {host} once"
        );
    }
    let flooded = |frame: &&Frame| frame.destination() == VIRTUAL_MAC && frame.echo().is_some();
    assert_eq!(
        at_b.stop()?.iter().filter(flooded).count(),
        5,
        "B was tempted"
    );
    Ok(())
}

#[test]
fn master_never_asks_for_the_virtual_address_from_its_own_mac() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    let host = pair.a.host();
    let mac = host.mac("eth0")?;
    let mut sent = Capture::sent_by(host, "eth0")?;

    for source in ["192.168.1.1", "192.168.1.2"] {
        host.run("ip neighbour flush all")?;
        host.run(&format!("ping -n -c 1 -W 2 -I {source} 192.168.1.100"))?;
    }
    // The host confirms an old entry by unicast.
    host.run("ip neighbour change 192.168.1.100 dev eth0 nud probe")?;
    wait_until("the entry is confirmed", Duration::from_secs(5), || {
        Ok(host
            .run("ip neighbour show to 192.168.1.100")?
            .contains("REACHABLE")
            .then_some(()))
    })?;

    let frames = sent.stop()?;
    let requests = frames
        .iter()
        .filter_map(|frame| Some((frame, frame.arp()?)));
    let (mut asked, target) = (0, Ipv4Addr::new(192, 168, 1, 100));
    for (frame, arp) in requests {
        asked += u32::from(arp.operation == 1 && arp.target == target);
        let physical = arp.sender_mac == mac || frame.source() == mac;
        ensure!(
            !(physical && arp.sender == VIRTUAL),
            "{arp:?} from {}",
            frame.source()
        );
    }
    ensure!(asked >= 3, "A asked {asked} times for the client");
    Ok(())
}
