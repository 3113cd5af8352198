//! What must be as before once the world is as before: states, suppression, descriptors, memory.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::{Carpd, MARGIN, Pair, master_down, wait_until};

/// What a carpd may have grown by: buffers that are kept, and an allocator's pages.
pub const GROWTH: u64 = 4 << 10;

/// Descriptors that come and go: a MASTER hears through two sockets, and at times a third, on each
/// of two physical interfaces, and anybody else through one.
const HEARING: usize = 4;

/// What a carpd uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Open ones.
    pub descriptors: usize,
    /// Resident, in KiB.
    pub memory: u64,
}

impl Carpd {
    /// What it uses now.
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

    /// Waits until it uses at most [`GROWTH`] KiB more than `before`, and no more descriptors than
    /// come and go.
    pub fn has_not_grown(&self, before: Footprint) -> Result<()> {
        wait_until("carpd uses no more than before", MARGIN, || {
            let now = self.footprint()?;
            ensure!(
                now.descriptors <= before.descriptors + HEARING
                    && now.memory <= before.memory + GROWTH,
                "{}: {before:?} -> {now:?}",
                self.host().name()
            );
            Ok(Some(()))
        })
    }
}

impl Pair {
    /// What both use now.
    pub fn footprints(&self) -> Result<[Footprint; 2]> {
        Ok([self.a.footprint()?, self.b.footprint()?])
    }

    /// Within the time a backup waits for its master, and what the machine adds: one of the two is
    /// MASTER and alone has `address`, the other is BACKUP, nothing is suppressed, and neither has
    /// grown since `before`.
    pub fn recovers(&self, address: &str, before: [Footprint; 2]) -> Result<()> {
        let pair = [&self.a, &self.b];
        wait_until("the pair is well", master_down(1, 100) + MARGIN, || {
            let [a, b] = [self.a.state("carp0")?, self.b.state("carp0")?];
            let holders: Vec<String> = pair
                .iter()
                .filter_map(|carpd| {
                    let held = carpd.host().addresses().ok()?.contains(address);
                    held.then(|| carpd.host().name().to_owned())
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

    /// As [`Pair::recovers`], and A is the MASTER.
    pub fn recovers_with_a(&self, address: &str, before: [Footprint; 2]) -> Result<()> {
        self.a
            .wait_for_state("carp0", "MASTER", master_down(1, 0))?;
        self.b.wait_for_state("carp0", "BACKUP", Duration::ZERO)?;
        self.recovers(address, before)
    }
}
