//! Network of most stories: hosts A and B of the first example in carp(4), and a client.

use std::time::Duration;

use anyhow::Result;

use crate::ping::ping;
use crate::{Carpd, Host, Lab, MARGIN, master_down, wait_until};

/// Virtual MAC address of vhid 1.
pub const VIRTUAL_MAC: &str = "00:00:5e:00:01:01";

/// Two hosts with carpd and a client on one segment (`lan`); A and B have a second segment (`dmz`).
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
    /// Host without carpd.
    pub client: Host,
    /// Dropped last, because it removes the hosts.
    pub lab: Lab,
}

impl Pair {
    /// Starts both carpd, without interfaces.
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

    /// Creates hosts A and B of the table, without carpd.
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

    /// Creates a pair with one group, vhid 1, of these addresses: A is MASTER, B is BACKUP.
    pub fn with_group(addresses: &str) -> Result<Self> {
        let pair = Self::new()?;
        pair.form_group(addresses)?;
        Ok(pair)
    }

    /// Creates a pair with both groups of the first example in carp(4): A is MASTER, B is BACKUP.
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

    /// Runs the first example of carp(4), with preemption set first on both hosts, and waits until
    /// both groups have settled.
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

    /// Makes the switch flood frames to MAC addresses of A and B, so that frames to the virtual MAC
    /// address reach both.
    pub fn flood(&self) -> Result<()> {
        for carpd in [&self.a, &self.b] {
            for interface in ["eth0", "eth1"] {
                carpd.host().set_port(interface, "learning off")?;
            }
        }
        Ok(())
    }

    /// Waits until carp0 is MASTER on A, and B is BACKUP because it hears A.
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

    /// Waits until the address answers the client, and fails unless it answers the next five
    /// requests.
    ///
    /// A new MASTER reports its state a moment before its kernel has the addresses.
    pub fn client_reaches(&self, address: &str) -> Result<()> {
        wait_until(&format!("{address} answers"), MARGIN, || {
            ping(&self.client, address, 1).map(Some)
        })?;
        ping(&self.client, address, 5)
    }
}
