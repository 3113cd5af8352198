//! The scenarios of FreeBSD's regression tests (tests/sys/netinet/carp.sh: `basic_v4`, `basic_v6`)
//! and of the faults behind them.

use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{
    Advertisement, Capture, Carpd, Frame, Host, Lab, MARGIN, Pair, VIRTUAL_MAC, master_down, ping,
    wait_until,
};

/// Two hosts that differ only in their own address, and a third host.
struct Equals {
    two: Carpd,
    three: Carpd,
    one: Host,
    _lab: Lab,
}

impl Equals {
    fn new(own: [&str; 3], address: &str) -> Result<Self> {
        let lab = Lab::new()?;
        let one = lab.host("one", &[("lan", own[0])])?;
        let two = Carpd::start(&lab.host("two", &[("lan", own[1])])?)?;
        let three = Carpd::start(&lab.host("three", &[("lan", own[2])])?)?;
        for carpd in [&two, &three] {
            carpd.carpctl("carp0 create")?;
            carpd.carpctl(&format!("carp0 vhid 1 {address}"))?;
        }
        Ok(Self {
            two,
            three,
            one,
            _lab: lab,
        })
    }

    /// Asserts that one host is MASTER and the other is not, for three advertisements.
    fn exactly_one_is_master(&self, counter: &str) -> Result<()> {
        let states =
            || Ok::<_, anyhow::Error>([self.two.state("carp0")?, self.three.state("carp0")?]);
        let settled = wait_until("one of two is MASTER", master_down(1, 0) + MARGIN, || {
            let states = states()?;
            Ok(
                (states.contains(&"MASTER".into()) && states.contains(&"BACKUP".into()))
                    .then_some(states),
            )
        })?;
        let backup = if settled[0] == "BACKUP" {
            &self.two
        } else {
            &self.three
        };
        backup.wait_for_counter("carp0", counter, 3)?;
        assert_eq!(states()?, settled);
        Ok(())
    }
}

#[test]
fn equal_hosts_have_one_master_over_ipv4() -> Result<()> {
    let own = ["192.0.2.4/29", "192.0.2.2/29", "192.0.2.3/29"];
    let hosts = Equals::new(own, "192.0.2.1/29")?;
    hosts.exactly_one_is_master("ipackets")?;
    ping(&hosts.one, "192.0.2.1", 3)
}

#[test]
fn equal_hosts_have_one_master_over_ipv6() -> Result<()> {
    let own = ["2001:db8::4/64", "2001:db8::1:2/64", "2001:db8::1:3/64"];
    let hosts = Equals::new(own, "inet6 2001:db8::1/64")?;
    hosts.exactly_one_is_master("ipackets6")?;
    ping(&hosts.one, "2001:db8::1", 3)
}

/// PR 259528: a sum of demotions below zero was sent as 255, and there were two masters.
#[test]
fn negative_sums_of_demotion_never_wrap() -> Result<()> {
    let pair = Pair::with_manual_group()?;
    let mut segment = Capture::on_segment(&pair.lab, "dmz")?;
    let refused = pair
        .a
        .try_carpctl("sysctl net.inet.carp.suppress_preempt=-1")?;
    assert_ne!(refused.code, 0, "{refused:?}");

    // Causes that come and go several times, overlapping, leave nothing.
    for _ in 0..3 {
        pair.a.host().pull("eth0")?;
        let held = pair
            .a
            .try_carpctl("suppress --who test --why demotion -- true")?;
        assert_eq!(held.code, 0, "{held:?}");
        pair.a.wait_for_state("carp0", "INIT", Duration::ZERO)?;
        pair.a.host().plug("eth0")?;
        pair.a
            .wait_for_state("carp0", "MASTER", master_down(1, 100))?;
    }
    wait_until("nothing is suppressed", MARGIN, || {
        let sum = pair.a.carpctl("sysctl -n net.inet.carp.suppress_preempt")?;
        Ok((sum == "0\n").then_some(()))
    })?;
    for interface in ["carp0", "carp1"] {
        pair.a
            .wait_for_state(interface, "MASTER", master_down(1, 100))?;
        pair.b
            .wait_for_state(interface, "BACKUP", master_down(1, 100))?;
        assert_eq!(pair.a.interface(interface)?.demotion, 0);
    }
    let advertisements: Vec<_> = segment
        .stop()?
        .iter()
        .filter_map(Frame::advertisement)
        .collect();
    ensure!(!advertisements.is_empty(), "nothing was captured");
    for advertisement in advertisements {
        ensure!(
            advertisement.demotion <= 2,
            "at most the cable and the holder: {advertisement:?}"
        );
    }
    Ok(())
}

#[test]
fn neighbour_messages_come_from_the_virtual_mac() -> Result<()> {
    let pair = Pair::with_group("inet6 2001:db8:1::1/64")?;
    let virtual_address: Ipv6Addr = "2001:db8:1::1".parse()?;
    let mut sent = Capture::sent_by(pair.a.host(), "eth0")?;

    pair.client.run("ip neighbour flush all")?;
    pair.client_reaches("2001:db8:1::1")?;
    pair.a.host().run("ip neighbour flush all")?;
    pair.a
        .host()
        .run("ping -n -c 1 -W 2 -I 2001:db8:1::1 2001:db8:1::100")?;

    let frames = sent.stop()?;
    let mut answers = 0;
    for frame in &frames {
        let Some(message) = frame.neighbour_message() else {
            continue;
        };
        let advertises = message.kind == 136 && message.target == virtual_address;
        answers += u32::from(advertises);
        if advertises || message.source == virtual_address {
            assert_eq!(frame.source(), VIRTUAL_MAC, "{message:?}");
            if message.lladdr.is_some() {
                assert_eq!(message.lladdr.as_deref(), Some(VIRTUAL_MAC), "{message:?}");
            }
        }
    }
    ensure!(answers > 0, "A answers the client's solicitation");
    Ok(())
}

#[test]
fn state_can_be_forced_to_backup_and_then_to_master() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    pair.a.carpctl("carp0 state backup")?;
    pair.a.wait_for_state("carp0", "BACKUP", Duration::ZERO)?;
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(1, 100))?;
    pair.client_reaches("192.168.1.1")?;

    pair.a.carpctl("carp0 state master")?;
    pair.a.wait_for_state("carp0", "MASTER", Duration::ZERO)?;
    pair.b
        .wait_for_state("carp0", "BACKUP", Duration::from_secs(1))?;
    pair.client_reaches("192.168.1.1")
}

#[test]
fn first_advertisement_comes_from_the_virtual_mac() -> Result<()> {
    let pair = Pair::new()?;
    let mut sent = Capture::sent_by(pair.a.host(), "eth0")?;
    pair.a.carpctl("carp0 create")?;
    pair.a
        .carpctl("carp0 vhid 1 192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    pair.a
        .wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    let firsts = wait_until("advertisements of both families", MARGIN, || {
        let frames = sent.frames()?;
        let first = |v4: bool| {
            frames.iter().find(|frame| {
                let source = frame
                    .advertisement()
                    .map(|advertisement| advertisement.source);
                source.is_some_and(|source| source.is_ipv4() == v4)
            })
        };
        Ok(first(true).cloned().zip(first(false).cloned()))
    })?;
    let destination = |frame: &Frame| frame.destination();
    assert_eq!(firsts.0.source(), VIRTUAL_MAC);
    assert_eq!(firsts.1.source(), VIRTUAL_MAC);
    assert_eq!(destination(&firsts.0), "01:00:5e:00:00:12");
    assert_eq!(destination(&firsts.1), "33:33:00:00:00:12");
    let first: Advertisement = firsts.0.advertisement().context("an advertisement")?;
    assert_eq!(
        (first.vhid, first.advbase, first.advskew, first.ttl),
        (1, 1, 0, 255)
    );
    sent.stop().map(drop)
}
