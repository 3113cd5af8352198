//! What a run found: a table for README.md, and what carpd cost.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::clients::Trouble;
use crate::faults::Bounds;

/// A process may grow by so much: buffers that reach their size, and the allocator's own.
const MEMORY: u64 = 8 * 1024;

/// And have so many more descriptors open, for clients that are just leaving, and for what a MASTER
/// hears with on each of two physical interfaces.
const DESCRIPTORS: u64 = 8;

/// A carpd that was just started still opens its sockets when all is well for clients.
const STARTING: Duration = Duration::from_secs(10);

/// What happened until now.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: BTreeMap<String, Row>,
    /// By process id.
    costs: BTreeMap<u32, Costs>,
}

/// What a process costs: memory in kB and descriptors.
#[derive(Debug)]
struct Costs {
    seen: Instant,
    settled: (u64, u64),
    last: (u64, u64),
}

#[derive(Debug, Default)]
struct Row {
    times: u32,
    trouble: Trouble,
    bounds: Bounds,
}

impl Report {
    /// A fault was survived.
    pub(crate) fn survived(&mut self, kind: &str, trouble: Trouble, bounds: Bounds) {
        let row = self.rows.entry(kind.to_owned()).or_default();
        row.times += 1;
        row.trouble = row.trouble.or(trouble);
        row.bounds = row.bounds.or(bounds);
    }

    /// How many.
    pub(crate) fn faults(&self) -> u32 {
        self.rows.values().map(|row| row.times).sum()
    }

    /// What the processes cost now, with nothing wrong.
    ///
    /// # Errors
    /// One grows.
    pub(crate) fn cost(&mut self, costs: Vec<(u32, u64, u64)>) -> Result<(), String> {
        for (process, memory, descriptors) in costs {
            let now = (memory, descriptors);
            let costs = self.costs.entry(process).or_insert(Costs {
                seen: Instant::now(),
                settled: now,
                last: now,
            });
            costs.last = now;
            if costs.seen.elapsed() < STARTING {
                costs.settled = now;
            }
            let settled = costs.settled;
            if memory > settled.0 + MEMORY || descriptors > settled.1 + DESCRIPTORS {
                return Err(format!(
                    "carpd (process {process}) grew from {} kB and {} descriptors to {memory} kB \
                     and {descriptors}",
                    settled.0, settled.1
                ));
            }
        }
        Ok(())
    }

    /// The table.
    pub(crate) fn table(&self) -> String {
        let mut table = String::from(
            "| fault | times | longest outage | bound | longest time of two answers | bound |\n\
             | --- | --- | --- | --- | --- | --- |\n",
        );
        for (
            kind,
            Row {
                times,
                trouble,
                bounds,
            },
        ) in &self.rows
        {
            // Writing to a string cannot fail.
            let _ = writeln!(
                table,
                "| {kind} | {times} | {} | {} | {} | {} |",
                seconds(trouble.outage),
                bound(bounds.outage),
                seconds(trouble.twice),
                bound(bounds.twice)
            );
        }
        table
    }

    /// How much the process that grew most grew, and the greatest there was.
    pub(crate) fn memory(&self) -> String {
        let grown = self
            .costs
            .values()
            .map(|costs| costs.last.0.saturating_sub(costs.settled.0));
        let greatest = self.costs.values().map(|costs| costs.last.0);
        let descriptors = self.costs.values().map(|costs| costs.last.1);
        format!(
            "carpd: {} kB at most, {} kB more than when it had settled at most, {} descriptors at most",
            greatest.max().unwrap_or_default(),
            grown.max().unwrap_or_default(),
            descriptors.max().unwrap_or_default()
        )
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn bound(time: Duration) -> String {
    match time {
        Duration::ZERO => "at once".to_owned(),
        Duration::MAX => "as long as it lasts".to_owned(),
        time => seconds(time),
    }
}
