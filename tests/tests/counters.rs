//! Every counter of `netstat -s -p carp`, moved from the wire, as carpctl shows it.
//!
//! `badif` cannot be moved from the wire: carpd receives nothing on a physical interface without
//! a carp interface. The protocol's own tests move it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is wrong here fails the test that meets it"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_proto::wire::carp::Header;
use carp_proto::wire::frames;
use carp_proto::{Digests, Key, Mac};
use carp_tests::{Carpd, Lab, MARGIN, carp_frame, forged, master_down, wait_until};

const PEER: &str = "192.168.1.9";
const PEER6: &str = "fe80::9";

/// Counters of other things than received packets.
const OF_OURS: [&str; 5] = ["opackets", "opackets6", "onomem", "ostates", "preempt"];

/// carpd with one virtual host that is BACKUP.
struct Site {
    carpd: Carpd,
    lab: Lab,
}

impl Site {
    /// Starts a BACKUP that waits for a minute before it takes over.
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let host = lab.host("a", &[("lan", "192.168.1.2/24 2001:db8:1::2/64")])?;
        let carpd = Carpd::start(&host)?;
        carpd.carpctl("carp0 create")?;
        carpd
            .carpctl("carp0 vhid 1 advbase 20 pass secret 192.168.1.1/24 inet6 2001:db8:1::1/64")?;
        let site = Self { carpd, lab };
        wait_until("the change to BACKUP is counted", MARGIN, || {
            let [_, total] = site.counters()?;
            Ok((total["ostates"] == 1).then_some(()))
        })?;
        Ok(site)
    }

    /// Returns the counters of carp0 and the totals.
    fn counters(&self) -> Result<[BTreeMap<String, u64>; 2]> {
        let read = |line| Ok::<_, anyhow::Error>(serde_json::from_str(&self.carpd.carpctl(line)?)?);
        Ok([read("netstat -I carp0 --json")?, read("netstat --json")?])
    }

    /// Sends `frame` to carpd's host from the other end of its cable: a switch might drop malformed
    /// frames.
    fn receives(&self, frame: &[u8]) -> Result<()> {
        let port = self.carpd.host().port("eth0");
        self.lab.switch().inject(&port, &[frame.to_vec()])
    }

    /// Sends `frame`, and asserts that these counters of carp0 and these totals rise by one, and no
    /// other counter of received packets.
    fn moves(&self, frame: &[u8], of_carp0: &[&str], in_total: &[&str]) -> Result<()> {
        let before = self.counters()?;
        self.receives(frame)?;
        wait_until(
            &format!("{of_carp0:?} and {in_total:?} rise"),
            MARGIN,
            || {
                let after = self.counters()?;
                let rose = |which: usize| -> Vec<String> {
                    let (before, after) = (&before[which], &after[which]);
                    let mut rose: Vec<String> = after
                        .iter()
                        .filter(|(name, _)| !OF_OURS.contains(&name.as_str()))
                        .filter(|(name, value)| **value != before[*name])
                        .map(|(name, value)| format!("{name} {}", value - before[name]))
                        .collect();
                    rose.sort();
                    rose
                };
                let expected = |names: &[&str]| {
                    let mut names: Vec<String> =
                        names.iter().map(|name| format!("{name} 1")).collect();
                    names.sort();
                    names
                };
                let found = [rose(0), rose(1)];
                ensure!(
                    found == [expected(of_carp0), expected(in_total)],
                    "{found:?} rose"
                );
                Ok(Some(()))
            },
        )
    }
}

/// Returns the header of an advertisement that carp0 accepts.
fn header(counter: u64) -> Header {
    let addresses = ["192.168.1.1", "2001:db8:1::1"].map(|text| text.parse().unwrap());
    let key = Key::password(b"secret").unwrap();
    let digests = Digests::new(&key, 1_u64.try_into().unwrap(), &addresses);
    Header {
        counter,
        digest: digests.digest(counter),
        ..forged(1)
    }
}

fn advertisement(source: &str, header: &Header) -> Vec<u8> {
    let mac = Mac([0x00, 0x00, 0x5e, 0x00, 0x01, 0x01]);
    frames::advertisement(mac, source.parse().unwrap(), header)
}

fn packet(ttl: u8, payload: &[u8]) -> Vec<u8> {
    carp_frame(PEER.parse().unwrap(), ttl, payload)
}

#[test]
fn every_receive_counter_moves_from_the_wire() -> Result<()> {
    let site = Site::new()?;
    let good = header(1);

    site.moves(&advertisement(PEER, &good), &["ipackets"], &["ipackets"])?;
    site.moves(&advertisement(PEER6, &good), &["ipackets6"], &["ipackets6"])?;
    site.moves(
        &packet(254, &header(2).emit()),
        &[],
        &["ipackets", "badttl"],
    )?;
    let mut cut = packet(255, &header(2).emit());
    cut.pop();
    site.moves(&cut, &[], &["ipackets", "hdrops"])?;
    let short = &header(2).emit()[..35];
    site.moves(&packet(255, short), &[], &["ipackets", "badlen"])?;
    let mut flipped = header(2).emit();
    flipped[20] ^= 1;
    site.moves(&packet(255, &flipped), &[], &["ipackets", "badsum"])?;
    let other = Header {
        vhid: 99,
        ..header(2)
    };
    site.moves(&advertisement(PEER, &other), &[], &["ipackets", "badvhid"])?;
    let old = Header {
        version: 1,
        ..header(2)
    };
    let badver = ["ipackets", "badver"];
    site.moves(&advertisement(PEER, &old), &badver, &badver)?;

    // Our password, but fewer addresses: carpd checks for that only when it logs, as it does now.
    let key = Key::password(b"secret")?;
    let fewer = Digests::new(&key, 1_u64.try_into()?, &["192.168.1.1".parse()?]);
    let fewer = Header {
        digest: fewer.digest(2),
        ..header(2)
    };
    let badaddrs = ["ipackets", "badauth", "badaddrs"];
    site.moves(&advertisement(PEER, &fewer), &badaddrs, &badaddrs)?;
    let badauth = ["ipackets", "badauth"];
    site.moves(&advertisement(PEER, &forged(1)), &badauth, &badauth)?;

    let text = site.carpd.carpctl("netstat -I carp0")?;
    for line in [
        "carp0:\n",
        "\t4 packets received (IPv4)\n",
        "\t1 packet received (IPv6)\n",
        "\t\t1 discarded packet with a bad version\n",
        "\t\t2 discarded for bad authentication\n",
        "\t\t1 discarded because of a bad address list\n",
    ] {
        ensure!(text.contains(line), "{line:?} is not in\n{text}");
    }
    site.carpd.wait_for_state("carp0", "BACKUP", Duration::ZERO)
}

#[test]
fn advertisements_are_ignored_while_allow_is_0() -> Result<()> {
    let site = Site::new()?;
    site.carpd.carpctl("carp0 advbase 1")?;
    site.carpd.carpctl("sysctl net.inet.carp.allow=0")?;
    // An advertisement that would keep it BACKUP, and every kind of bad one.
    for counter in 1..=4 {
        let before = site.counters()?;
        site.moves(&advertisement(PEER, &header(counter)), &[], &["ipackets"])?;
        site.moves(&packet(254, &[0; 7]), &[], &["ipackets"])?;
        let after = site.counters()?;
        assert_eq!(before[0]["ipackets"], after[0]["ipackets"]);
    }
    let carpd = &site.carpd;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    ensure!(!carpd.log()?.contains("bad packet"), "{}", carpd.log()?);

    // Once it hears them again, it yields: 1 s is less than 1 s and 100/256.
    carpd.carpctl("carp0 advskew 100")?;
    carpd.carpctl("sysctl net.inet.carp.allow=1")?;
    site.receives(&advertisement(PEER, &header(9)))?;
    carpd.wait_for_state("carp0", "BACKUP", Duration::ZERO)
}

#[test]
fn sends_transitions_and_preemptions_are_counted() -> Result<()> {
    let site = Site::new()?;
    let carpd = &site.carpd;
    carpd.carpctl("sysctl net.inet.carp.preempt=1")?;
    let states = carpd.counter("carp0", "ostates")?;
    let slower = Header {
        advbase: 30,
        ..header(1)
    };
    site.receives(&advertisement(PEER, &slower))?;
    carpd.wait_for_state("carp0", "MASTER", Duration::ZERO)?;
    assert_eq!(carpd.counter("carp0", "preempt")?, 1);
    assert_eq!(carpd.counter("carp0", "ostates")?, states + 1);
    assert!(carpd.counter("carp0", "opackets")? >= 1);
    assert!(carpd.counter("carp0", "opackets6")? >= 1);
    wait_until("the sums follow", MARGIN, || {
        let text = carpd.carpctl("netstat")?;
        let counted = text.contains("\t1 preemption of a slower master\n");
        ensure!(counted, "{text}");
        Ok(Some(()))
    })
}

#[test]
fn failed_sends_are_counted_and_suppress_preemption() -> Result<()> {
    let site = Site::new()?;
    let carpd = &site.carpd;
    carpd.carpctl("carp0 advbase 1")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    // A queue without room: ENOBUFS.
    let host = carpd.host();
    host.run("tc qdisc replace dev eth0 root pfifo limit 0")?;
    wait_until("sending fails", Duration::from_secs(8) + MARGIN, || {
        let failed = carpd.counter("carp0", "onomem")?;
        let suppressed = carpd.carpctl("sysctl -n net.inet.carp.suppress_preempt")?;
        Ok((failed >= 3 && suppressed == "1\n").then_some(()))
    })?;
    carpd.wait_for_log("WARN carp0: advertisements cannot be sent\n")?;
    host.run("tc qdisc delete dev eth0 root")?;
    wait_until("sending works", Duration::from_secs(5) + MARGIN, || {
        let suppressed = carpd.carpctl("sysctl -n net.inet.carp.suppress_preempt")?;
        Ok((suppressed == "0\n").then_some(()))
    })?;
    carpd.wait_for_log("INFO carp0: advertisements are sent again\n")?;
    let text = carpd.carpctl("netstat")?;
    let line = text.lines().find(|line| line.contains("memory error"));
    let line = line.context("a line for onomem")?;
    ensure!(!line.trim_start().starts_with("0 "), "{line}");
    Ok(())
}
