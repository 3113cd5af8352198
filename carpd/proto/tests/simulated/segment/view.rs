//! Observations of a test on a segment.

use std::net::IpAddr;
use std::time::Duration;

use carp_proto::wire::carp::Header;
use carp_proto::{Engine, Instant, Notice, Now, StateName, Status, Unit};

use super::Segment;
use super::host::Host;

impl Segment {
    /// Transitions since the last call, one line each.
    pub(crate) fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    pub(crate) fn now(&self, host: usize) -> Now {
        self.hosts[host].now(self.now)
    }

    /// Time since the start of the simulation.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now.since(Instant::ZERO)
    }

    pub(crate) fn engine(&self, name: &str) -> &Engine {
        self.hosts[self.index(name)].engine.as_ref().unwrap()
    }

    pub(crate) fn status(&self, name: &str, unit: &str) -> Status {
        let unit: Unit = unit.parse().unwrap();
        self.engine(name)
            .status(unit, self.now(self.index(name)))
            .unwrap()
    }

    /// Hosts that are MASTER of the unit.
    pub(crate) fn masters(&self, unit: &str) -> Vec<&'static str> {
        let unit: Unit = unit.parse().unwrap();
        let master = |host: &&Host| host.state(unit) == Some(StateName::Master);
        self.hosts
            .iter()
            .filter(master)
            .map(|host| host.name)
            .collect()
    }

    /// Hosts whose kernel has `address`.
    pub(crate) fn holders(&self, address: &str) -> Vec<&'static str> {
        let address: IpAddr = address.parse().unwrap();
        let holds = |host: &&Host| {
            let of_bsd = host.bsd.iter().any(|bsd| bsd.holds(address));
            of_bsd || host.kernel.addresses(self.now).any(|each| each == address)
        };
        self.hosts
            .iter()
            .filter(holds)
            .map(|host| host.name)
            .collect()
    }

    /// Addresses that the kernel of a host has for a unit; `None` while host or kernel have work to do.
    pub(crate) fn held(&self, name: &str, unit: &str) -> Option<Vec<IpAddr>> {
        let host = &self.hosts[self.index(name)];
        let behind = host.deadline().is_some_and(|deadline| deadline <= self.now);
        let idle = !host.frozen && !behind && !host.is_busy(self.now);
        idle.then(|| {
            host.kernel
                .addresses_of(unit.parse().unwrap(), self.now)
                .to_vec()
        })
    }

    /// Last advertisement that a host heard, and its time.
    pub(crate) fn heard(&self, name: &str) -> Option<(Instant, Header)> {
        self.hosts[self.index(name)].heard
    }

    /// Time of the last change of state of a host.
    pub(crate) fn changed(&self, name: &str) -> Instant {
        self.hosts[self.index(name)].changed
    }

    /// Notices of a host since the last call.
    pub(crate) fn notices(&mut self, name: &str) -> Vec<Notice> {
        let host = self.index(name);
        std::mem::take(&mut self.hosts[host].notices)
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.hosts.iter().map(|host| host.name).collect()
    }

    pub(crate) fn index(&self, name: &str) -> usize {
        self.hosts
            .iter()
            .position(|host| host.name == name)
            .unwrap()
    }
}
