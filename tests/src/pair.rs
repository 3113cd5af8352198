//! The network of most stories: hosts A and B of carp(4)'s first example, and a client.

use std::time::Duration;

use anyhow::Result;

use crate::ping::ping;
use crate::{Carpd, Host, Lab, MARGIN, master_down, wait_until};

/// The MAC of vhid 1.
pub const VIRTUAL_MAC: &str = "00:00:5e:00:01:01";

/// Two hosts with carpd and a client, on one segment (`lan`); A and B have a second one (`dmz`).
///
/// | host | eth0 on `lan` | eth1 on `dmz` |
/// | --- | --- | --- |
/// | A | 192.168.1.2/24, 2001:db8:1::2/64 | 192.168.2.2/24 |
/// | B | 192.168.1.3/24, 2001:db8:1::3/64 | 192.168.2.3/24 |
/// | client | 192.168.1.100/24, 2001:db8:1::100/64 | |
#[derive(Debug)]
pub struct Pair {
    /// carpd on host A.
    pub a: Carpd,
    /// carpd on host B.
    pub b: Carpd,
    /// A host without carpd.
    pub client: Host,
    /// Dropped last: it removes the hosts.
    pub lab: Lab,
}

impl Pair {
    /// Both carpd run and have no interfaces yet.
    pub fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let [a, b] = Self::hosts(&lab)?;
        let client = lab.host("client", &[("lan", "192.168.1.100/24 2001:db8:1::100/64")])?;
        Ok(Self {
            a: Carpd::start(&a)?,
            b: Carpd::start(&b)?,
            client,
            lab,
        })
    }

    /// Hosts A and B of the table, still without carpd.
    pub fn hosts(lab: &Lab) -> Result<[Host; 2]> {
        Ok([
            lab.host(
                "a",
                &[
                    ("lan", "192.168.1.2/24 2001:db8:1::2/64"),
                    ("dmz", "192.168.2.2/24"),
                ],
            )?,
            lab.host(
                "b",
                &[
                    ("lan", "192.168.1.3/24 2001:db8:1::3/64"),
                    ("dmz", "192.168.2.3/24"),
                ],
            )?,
        ])
    }

    /// A pair with one group, vhid 1, of these addresses: A is MASTER, B is BACKUP.
    pub fn with_group(addresses: &str) -> Result<Self> {
        let pair = Self::new()?;
        pair.form_group(addresses)?;
        Ok(pair)
    }

    /// A pair with both groups of carp(4)'s first example: A is MASTER, B is BACKUP.
    pub fn with_manual_group() -> Result<Self> {
        let pair = Self::new()?;
        pair.form_manual_group()?;
        Ok(pair)
    }

    /// Forms one group, vhid 1, of these addresses, and waits until it has settled.
    pub fn form_group(&self, addresses: &str) -> Result<()> {
        for (carpd, skew) in [(&self.a, ""), (&self.b, "advskew 100")] {
            carpd.carpctl("carp0 create")?;
            carpd.carpctl(&format!(
                "carp0 vhid 1 {skew} pass mekmitasdigoat {addresses}"
            ))?;
        }
        self.wait_until_settled()
    }

    /// Types in carp(4)'s first example, its preemption on both hosts first, and waits until both
    /// groups have settled.
    pub fn form_manual_group(&self) -> Result<()> {
        for carpd in [&self.a, &self.b] {
            carpd.carpctl("sysctl net.inet.carp.preempt=1")?;
        }
        self.a.carpctl("carp0 create")?;
        self.a
            .carpctl("carp0 vhid 1 pass mekmitasdigoat 192.168.1.1/24")?;
        self.a.carpctl("carp1 create")?;
        self.a
            .carpctl("carp1 vhid 2 pass mekmitasdigoat 192.168.2.1/24")?;
        self.b.carpctl("carp0 create")?;
        self.b
            .carpctl("carp0 vhid 1 advskew 100 pass mekmitasdigoat 192.168.1.1/24")?;
        self.b.carpctl("carp1 create")?;
        self.b
            .carpctl("carp1 vhid 2 advskew 100 pass mekmitasdigoat 192.168.2.1/24")?;
        self.wait_until_settled()?;
        self.a
            .wait_for_state("carp1", "MASTER", master_down(1, 0))?;
        self.b.wait_for_state("carp1", "BACKUP", Duration::ZERO)
    }

    /// Makes the switch never learn where A's and B's MACs are: what is sent to the virtual MAC
    /// reaches both.
    pub fn flood(&self) -> Result<()> {
        for carpd in [&self.a, &self.b] {
            for interface in ["eth0", "eth1"] {
                carpd.host().set_port(interface, "learning off")?;
            }
        }
        Ok(())
    }

    /// Waits until carp0 is MASTER on A, and BACKUP on B because it hears A.
    pub fn wait_until_settled(&self) -> Result<()> {
        self.a
            .wait_for_state("carp0", "MASTER", master_down(1, 0))?;
        wait_until("B hears A", Duration::from_secs(1) + MARGIN, || {
            let counters = self.b.interface("carp0")?.statistics;
            let heard = ["ipackets", "ipackets6"]
                .into_iter()
                .filter_map(|name| counters.get(name));
            Ok((heard.sum::<u64>() > 0).then_some(()))
        })?;
        self.b.wait_for_state("carp0", "BACKUP", Duration::ZERO)
    }

    /// The address answers the client, and from then on each of five requests.
    ///
    /// A new MASTER says so a moment before its kernel has the addresses.
    pub fn client_reaches(&self, address: &str) -> Result<()> {
        wait_until(&format!("{address} answers"), MARGIN, || {
            ping(&self.client, address, 1).map(Some)
        })?;
        ping(&self.client, address, 5)
    }
}
