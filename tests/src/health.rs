//! Recovery after a fault: states, suppression, descriptors and memory return to normal.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::{Carpd, MARGIN, Pair, master_down, wait_until};

/// Tolerated growth of carpd's memory in KiB: kept buffers and pages of the allocator.
pub const GROWTH: u64 = 4 << 10;

/// Descriptors that can be added: on each of two physical interfaces, a MASTER receives on two or
/// three sockets, a BACKUP on one.
const MASTER_DESCRIPTORS: usize = 4;

/// Resources in use by a carpd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Number of open descriptors.
    pub descriptors: usize,
    /// Resident memory in KiB.
    pub memory: u64,
}

impl Carpd {
    /// Returns the resources in use now.
    pub fn footprint(&self) -> Result<Footprint> {
        let process = format!("/proc/{}", self.id());
        let status = fs::read_to_string(format!("{process}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|rest| rest.split_whitespace().next());
        Ok(Footprint {
            descriptors: fs::read_dir(format!("{process}/fd"))?.count(),
            memory: resident.context("VmRSS")?.parse()?,
        })
    }

    /// Waits until it uses at most [`GROWTH`] KiB more than `before`, and no additional descriptors
    /// but those of a MASTER.
    pub fn has_not_grown(&self, before: Footprint) -> Result<()> {
        wait_until("carpd uses no more than before", MARGIN, || {
            let now = self.footprint()?;
            ensure!(
                now.descriptors <= before.descriptors + MASTER_DESCRIPTORS
                    && now.memory <= before.memory + GROWTH,
                "{}: {before:?} -> {now:?}",
                self.host().name()
            );
            Ok(Some(()))
        })
    }
}

impl Pair {
    /// Returns the resources of both in use now.
    pub fn footprints(&self) -> Result<[Footprint; 2]> {
        Ok([self.a.footprint()?, self.b.footprint()?])
    }

    /// Waits until the pair has recovered, for the time that a backup waits for its master plus
    /// [`MARGIN`]: one host is MASTER and the only one with `address`, the other is BACKUP,
    /// preemption is not suppressed, and neither carpd uses more resources than `before`.
    pub fn recovers(&self, address: &str, before: [Footprint; 2]) -> Result<()> {
        let pair = [&self.a, &self.b];
        wait_until("the pair is well", master_down(1, 100) + MARGIN, || {
            let [a, b] = [self.a.state("carp0")?, self.b.state("carp0")?];
            let holders: Vec<String> = pair
                .iter()
                .filter_map(|carpd| {
                    let is_holder = carpd.host().addresses().ok()?.contains(address);
                    is_holder.then(|| carpd.host().name().to_owned())
                })
                .collect();
            let master = match (a.as_str(), b.as_str()) {
                ("MASTER", "BACKUP") => "a",
                ("BACKUP", "MASTER") => "b",
                _ => "",
            };
            ensure!(
                holders == [master],
                "A is {a}, B is {b}, {address} is on {holders:?}"
            );
            for carpd in pair {
                let count = carpd.carpctl("sysctl -n net.inet.carp.suppress_preempt")?;
                ensure!(count == "0\n", "suppress_preempt is {count}");
            }
            Ok(Some(()))
        })
        .with_context(|| {
            let log = |carpd: &Carpd| carpd.log().unwrap_or_default();
            format!("A printed:\n{}B printed:\n{}", log(&self.a), log(&self.b))
        })?;
        for (carpd, before) in pair.into_iter().zip(before) {
            carpd.has_not_grown(before)?;
        }
        self.client_reaches(address)
    }

    /// As [`Pair::recovers`], with A as the MASTER.
    pub fn recovers_with_a(&self, address: &str, before: [Footprint; 2]) -> Result<()> {
        self.a
            .wait_for_state("carp0", "MASTER", master_down(1, 0))?;
        self.b.wait_for_state("carp0", "BACKUP", Duration::ZERO)?;
        self.recovers(address, before)
    }
}
