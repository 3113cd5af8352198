//! The test bed: hosts A and B, a client, and a switch.

use std::time::Duration;

use anyhow::{Context as _, Result};
use carp_tests::{Host, Lab};

use crate::addresses::{Group, Place};
use crate::engine::Engine;
use crate::probe::{Probe, Target};

/// Hosts and cables, which are removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Testbed {
    pub(crate) a: Host,
    pub(crate) b: Host,
    pub(crate) client: Host,
    interfaces: u8,
    _lab: Lab,
}

impl Testbed {
    /// Makes a testbed whose hosts have this number of interfaces each.
    pub(crate) fn new(interfaces: u8) -> Result<Self> {
        let lab = Lab::new()?;
        let host = |name: &str, last: u8| {
            let cables: Vec<(String, String)> = (0..interfaces)
                .map(|number| (format!("lan{number}"), format!("10.{number}.0.{last}/16")))
                .collect();
            let cables: Vec<(&str, &str)> = cables
                .iter()
                .map(|(segment, address)| (segment.as_str(), address.as_str()))
                .collect();
            lab.host(name, &cables)
        };
        let (a, b, client) = (host("a", 20)?, host("b", 10)?, host("client", 100)?);
        // The kernel's default of 20 memberships is too small for 255 virtual routers.
        for each in [&a, &b] {
            each.run("sysctl -qw net.ipv4.igmp_max_memberships=10000")?;
        }
        Ok(Self {
            a,
            b,
            client,
            interfaces,
            _lab: lab,
        })
    }

    /// Returns one of the hosts.
    pub(crate) fn host(&self, place: Place) -> &Host {
        match place {
            Place::A => &self.a,
            Place::B => &self.b,
        }
    }

    /// Makes the switch drop all frames from and to A, as after a power failure of another machine.
    /// (If A's processes were killed instead, the kernel under test would remove their addresses.)
    pub(crate) fn cut(&self, place: Place) -> Result<()> {
        let host = self.host(place);
        for number in 0..self.interfaces {
            host.set_port(&format!("eth{number}"), "state 0")?;
        }
        Ok(())
    }

    /// Waits until every address answers at its MAC.
    pub(crate) fn wait_until_answered(
        &self,
        engine: Engine,
        place: Place,
        groups: &[Group],
        bound: Duration,
    ) -> Result<()> {
        let targets = targets(groups, engine, place);
        let probe = Probe::until_answered(&self.client, &targets)?;
        probe
            .finish(bound)
            .with_context(|| format!("{engine} on {place:?} does not answer for all addresses"))?;
        Ok(())
    }
}

/// Returns the MAC at which to ask for each address.
pub(crate) fn targets(groups: &[Group], engine: Engine, place: Place) -> Vec<Target> {
    groups
        .iter()
        .map(|group| Target {
            interface: group.interface,
            address: group.address(),
            mac: group.mac(engine, place),
        })
        .collect()
}
