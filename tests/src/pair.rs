//! The network of most stories: hosts A and B of carp(4)'s first example, and a client.

use std::time::Duration;

use anyhow::Result;

use crate::ping::ping;
use crate::{Carpd, Host, Lab, master_down};

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
        for (carpd, skew) in [(&pair.a, ""), (&pair.b, "advskew 100")] {
            carpd.carpctl("carp0 create")?;
            carpd.carpctl(&format!(
                "carp0 vhid 1 {skew} pass mekmitasdigoat {addresses}"
            ))?;
        }
        pair.wait_until_settled()?;
        Ok(pair)
    }

    /// carp(4)'s first example, with the addresses in it, and its preemption on both hosts.
    pub fn with_manual_group() -> Result<Self> {
        let pair = Self::new()?;
        for carpd in [&pair.a, &pair.b] {
            carpd.carpctl("sysctl net.inet.carp.preempt=1")?;
        }
        pair.a.carpctl("carp0 create")?;
        pair.a
            .carpctl("carp0 vhid 1 pass mekmitasdigoat 192.168.1.1/24")?;
        pair.a.carpctl("carp1 create")?;
        pair.a
            .carpctl("carp1 vhid 2 pass mekmitasdigoat 192.168.2.1/24")?;
        pair.b.carpctl("carp0 create")?;
        pair.b
            .carpctl("carp0 vhid 1 advskew 100 pass mekmitasdigoat 192.168.1.1/24")?;
        pair.b.carpctl("carp1 create")?;
        pair.b
            .carpctl("carp1 vhid 2 advskew 100 pass mekmitasdigoat 192.168.2.1/24")?;
        pair.wait_until_settled()?;
        for (carpd, state) in [(&pair.a, "MASTER"), (&pair.b, "BACKUP")] {
            carpd.wait_for_state("carp1", state, master_down(1, 0))?;
        }
        Ok(pair)
    }

    /// Waits until carp0 is MASTER on A, and BACKUP on B because it hears A.
    pub fn wait_until_settled(&self) -> Result<()> {
        self.a
            .wait_for_state("carp0", "MASTER", master_down(1, 0))?;
        self.b
            .wait_for_counter("carp0", "ipackets", 1)
            .or_else(|_| self.b.wait_for_counter("carp0", "ipackets6", 1))?;
        self.b.wait_for_state("carp0", "BACKUP", Duration::ZERO)
    }

    /// The client asks the address five times and gets five answers.
    pub fn client_reaches(&self, address: &str) -> Result<()> {
        ping(&self.client, address, 5)
    }
}
