//! Changes of links, addresses and buses under a running pair; afterwards everything is as before.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use carp_tests::{
    Bus, Capture, Carpd, Frame, Host, Lab, MARGIN, Pair, REACTION_TIMEOUT, VIRTUAL_MAC,
    master_down, wait_until,
};
use rustix::process::Signal;

const ADDRESS: &str = "192.168.1.1";

/// Makes a pair in which A is MASTER whenever it can be.
fn preempting_pair(addresses: &str) -> Result<Pair> {
    let pair = Pair::new()?;
    for carpd in [&pair.a, &pair.b] {
        carpd.carpctl("sysctl net.inet.carp.preempt=1")?;
    }
    pair.form_group(addresses)?;
    Ok(pair)
}

fn index(host: &Host, interface: &str) -> Result<String> {
    host.run(&format!("cat /sys/class/net/{interface}/ifindex"))
}

#[test]
fn replaced_interface_is_found_by_its_name() -> Result<()> {
    let pair = preempting_pair("192.168.1.1/24")?;
    let before = pair.footprints()?;
    let a = pair.a.host();
    let old = index(a, "eth0")?;
    a.run("ip link delete eth0")?;
    pair.a.wait_for_state("carp0", "INIT", Duration::ZERO)?;
    assert_eq!(
        pair.a.carpctl("sysctl -n net.inet.carp.suppress_preempt")?,
        "1\n"
    );
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(1, 100))?;
    pair.client_reaches(ADDRESS)?;
    pair.lab.replace_cable(a, "lan")?;
    a.run("ip address add 192.168.1.2/24 dev eth0")?;
    ensure!(index(a, "eth0")? != old);
    pair.recovers_with_a(ADDRESS, before)
}

#[test]
fn renamed_interface_is_followed_unless_selected_by_name() -> Result<()> {
    let pair = preempting_pair("192.168.1.1/24")?;
    let before = pair.footprints()?;
    let a = pair.a.host();
    // Found by subnet: the name does not matter.
    let states = pair.a.counter("carp0", "ostates")?;
    a.run("ip link set eth0 name lan0")?;
    wait_until("the new name is shown", MARGIN, || {
        Ok(pair.a.carpctl("carp0")?.contains("lan0").then_some(()))
    })?;
    assert_eq!(pair.a.counter("carp0", "ostates")?, states);
    // carpd still follows the interface's settings.
    a.run("sysctl -qw net.ipv4.conf.lan0.forwarding=1")?;
    wait_until(
        "carp0 forwards as lan0 does",
        REACTION_TIMEOUT + MARGIN,
        || {
            let value = a.run("sysctl -n net.ipv4.conf.carp0.forwarding")?;
            Ok((value == "1\n").then_some(()))
        },
    )?;
    // Selected by name: it is missing until it has that name again.
    pair.a.carpctl("carp0 carpdev lan0")?;
    a.run("ip link set lan0 name eth0")?;
    pair.a.wait_for_state("carp0", "INIT", Duration::ZERO)?;
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(1, 100))?;
    a.run("ip link set eth0 name lan0")?;
    pair.recovers_with_a(ADDRESS, before)
}

#[test]
fn new_mac_or_mtu_changes_no_state() -> Result<()> {
    let pair = preempting_pair("192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    let before = pair.footprints()?;
    let a = pair.a.host();
    let transitions = || -> Result<Vec<u64>> {
        let pair = [&pair.a, &pair.b].into_iter();
        pair.map(|carpd| carpd.counter("carp0", "ostates"))
            .collect()
    };
    let states = transitions()?;
    let mtu_is = |wanted: &str| {
        wait_until(&format!("carp0 has an MTU of {wanted}"), MARGIN, || {
            let link = a.run("ip -o link show dev carp0")?;
            Ok(link.contains(&format!("mtu {wanted} ")).then_some(()))
        })
    };
    a.run("ip link set eth0 address 02:00:00:00:00:77")?;
    assert_eq!(a.mac("eth0")?, "02:00:00:00:00:77");
    assert_eq!(a.mac("carp0")?, VIRTUAL_MAC);
    pair.client_reaches(ADDRESS)?;
    for mtu in ["9000", "1280", "1500"] {
        a.run(&format!("ip link set eth0 mtu {mtu}"))?;
        mtu_is(mtu)?;
        pair.client_reaches(ADDRESS)?;
        pair.client_reaches("2001:db8:1::1")?;
    }
    assert_eq!(transitions()?, states);
    pair.recovers_with_a(ADDRESS, before)
}

#[test]
fn mtu_below_1280_ends_ipv6_only_while_it_lasts() -> Result<()> {
    let pair = preempting_pair("192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    let before = pair.footprints()?;
    let mut sent = Capture::sent_by(pair.b.host(), "eth0")?;
    for (carpd, address) in [(&pair.b, "2001:db8:1::3/64"), (&pair.a, "2001:db8:1::2/64")] {
        let host = carpd.host();
        // With IPv6 the host gets a link-local address again, from which it asks for the client. It
        // skips the check for duplicates, which takes up to two seconds.
        host.run("sysctl -qw net.ipv6.conf.default.accept_dad=0")?;
        host.run("ip link set eth0 mtu 1000")?;
        pair.client_reaches(ADDRESS)?;
        host.run("ip link set eth0 mtu 1500")?;
        host.run(&format!("ip address add {address} dev eth0 nodad"))?;
        wait_until(
            "carp0 has IPv6 again, and nothing by itself",
            MARGIN,
            || {
                let generated = host.run("sysctl -n net.ipv6.conf.carp0.addr_gen_mode")?;
                let own = host.run("ip -6 -o address show dev carp0 scope link")?;
                ensure!(generated == "1\n" && own.is_empty(), "{generated}{own}");
                Ok(Some(()))
            },
        )?;
    }
    pair.recovers_with_a(ADDRESS, before)?;
    pair.client_reaches("2001:db8:1::1")?;
    // A backup that sends from the virtual MAC diverts the master's traffic.
    let from_virtual_mac = |frame: &&Frame| frame.source() == VIRTUAL_MAC;
    assert_eq!(sent.stop()?.iter().filter(from_virtual_mac).count(), 0);
    Ok(())
}

#[test]
fn two_hundred_link_flaps_end_where_they_began() -> Result<()> {
    let pair = preempting_pair("192.168.1.1/24")?;
    let mut before = None;
    // The first round shows how much memory the second may use.
    for flaps in [20, 200] {
        let port = pair.a.host().port("eth0");
        let mut lines = String::new();
        for _ in 0..flaps {
            writeln!(lines, "link set {port} down\nlink set {port} up")?;
        }
        let start = std::time::Instant::now();
        pair.lab.switch().batch(&lines)?;
        println!("{flaps} flaps in {:.1?}", start.elapsed());
        let used = if let Some(used) = before {
            used
        } else {
            pair.a
                .wait_for_state("carp0", "MASTER", master_down(1, 100))?;
            pair.footprints()?
        };
        pair.recovers_with_a(ADDRESS, used)?;
        before = Some(used);
    }
    Ok(())
}

#[test]
fn lost_netlink_messages_cause_a_full_read() -> Result<()> {
    let mut pair = preempting_pair("192.168.1.1/24")?;
    let before = pair.footprints()?;
    let a = pair.a.host().clone();
    a.run("ip link add veth0 type veth peer name veth1")?;
    // The largest storm allowed: 8 MiB of changes that carpd does not read.
    let mut storm = String::new();
    for _ in 0..15_000 {
        storm.push_str("address add 10.9.9.9/32 dev veth0\n");
        storm.push_str("address delete 10.9.9.9/32 dev veth0\n");
    }
    pair.a.signal(Signal::STOP)?;
    a.batch(&storm)?;
    // Lost with the rest.
    a.run("ip link set eth0 down")?;
    a.run("ip link delete carp0")?;
    a.run("ip link set eth1 name dmz0")?;
    pair.a.signal(Signal::CONT)?;
    pair.a.wait_for_state("carp0", "INIT", Duration::ZERO)?;
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(1, 100))?;
    a.run("ip link set eth0 up")?;
    pair.recovers_with_a(ADDRESS, before)?;
    pair.a
        .carpctl("carp1 create vhid 2 carpdev dmz0 192.168.2.1/24")?;
    pair.a.wait_for_state("carp1", "MASTER", master_down(1, 0))
}

#[test]
fn interface_whose_name_is_not_utf_8_does_not_flood_the_log() -> Result<()> {
    let pair = preempting_pair("192.168.1.1/24")?;
    let a = pair.a.host();
    let name = OsStr::from_bytes(b"veth\xff\xfe");
    let ip = |words: &[&str]| -> Result<()> {
        let mut command = a.command("ip");
        for word in words {
            command.arg(if *word == "NAME" {
                name
            } else {
                OsStr::new(word)
            });
        }
        ensure!(command.status()?.success(), "ip {words:?}");
        Ok(())
    };
    ip(&[
        "link", "add", "NAME", "type", "veth", "peer", "name", "veth1",
    ])?;
    for state in ["up", "down", "up", "down", "up"] {
        ip(&["link", "set", "NAME", state])?;
    }
    // carpd has read all of these once it has read the change behind them.
    a.run("ip link set eth0 mtu 1400")?;
    wait_until("carpd has read the new MTU", MARGIN, || {
        let shown = pair.a.carpctl("carp0")?;
        Ok(shown.contains("mtu 1400").then_some(()))
    })?;
    let log = pair.a.log()?;
    ensure!(log.lines().all(|line| line.len() < 300), "{log}");
    ensure!(!log.contains("decode"), "{log}");
    Ok(())
}

#[test]
fn carpd_returns_to_a_restarted_bus() -> Result<()> {
    let lab = Lab::new()?;
    let mut bus = Bus::start(&lab)?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let carpd = Carpd::start_on(&host, bus.address())?;
    carpd.carpctl("carp0 create vhid 1 192.168.1.1/24")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    let shown = |bus: &Bus| -> Result<String> {
        let mut busctl = host.command("busctl");
        busctl.env("DBUS_SYSTEM_BUS_ADDRESS", bus.address()).args([
            "--system",
            "get-property",
            "org.carpd1",
            "/org/carpd1",
            "org.carpd1.Manager",
            "Version",
        ]);
        let output = busctl.output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    wait_until("it is on the bus", MARGIN, || shown(&bus).map(Some))?;
    let before = carpd.footprint()?;
    let sent = carpd.counter("carp0", "opackets")?;
    for _ in 0..3 {
        bus.restart()?;
        // Its pauses grow to two and four seconds.
        let bound = Duration::from_secs(4) + MARGIN;
        wait_until("it is on the bus again", bound, || shown(&bus).map(Some))?;
    }
    carpd.has_not_grown(before)?;
    assert_eq!(carpd.counter("carp0", "ostates")?, 2);
    ensure!(carpd.counter("carp0", "opackets")? > sent);
    Ok(())
}
