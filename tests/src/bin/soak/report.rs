//! The result of a run: a table of faults, and the resources that carpd used.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::clients::Symptoms;
use crate::faults::Bounds;

/// Growth that a process may have, in kB: buffers that reach their size, and the allocator's own.
const MAX_GROWTH: u64 = 8 * 1024;

/// Additional descriptors that a process may have: clients that are just leaving, and a MASTER's
/// sockets on the helper devices of two physical interfaces.
const MAX_DESCRIPTORS: u64 = 8;

/// A carpd that has just started may still open sockets when all is well for clients.
const START_TIME: Duration = Duration::from_secs(10);

/// Results until now.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: BTreeMap<String, Row>,
    /// By process id.
    costs: BTreeMap<u32, Costs>,
}

/// Resources of a process: memory in kB and descriptors.
#[derive(Debug)]
struct Costs {
    seen: Instant,
    settled: (u64, u64),
    last: (u64, u64),
}

#[derive(Debug, Default)]
struct Row {
    times: u32,
    symptoms: Symptoms,
    bounds: Bounds,
}

impl Report {
    /// Records a survived fault.
    pub(crate) fn survived(&mut self, kind: &str, symptoms: Symptoms, bounds: Bounds) {
        let row = self.rows.entry(kind.to_owned()).or_default();
        row.times += 1;
        row.symptoms = row.symptoms.or(symptoms);
        row.bounds = row.bounds.or(bounds);
    }

    /// Returns the number of faults.
    pub(crate) fn faults(&self) -> u32 {
        self.rows.values().map(|row| row.times).sum()
    }

    /// Records the resources of the processes while no fault lasts.
    ///
    /// # Errors
    /// If a process grows.
    pub(crate) fn cost(&mut self, costs: Vec<(u32, u64, u64)>) -> Result<(), String> {
        for (process, memory, descriptors) in costs {
            let now = (memory, descriptors);
            let costs = self.costs.entry(process).or_insert(Costs {
                seen: Instant::now(),
                settled: now,
                last: now,
            });
            costs.last = now;
            if costs.seen.elapsed() < START_TIME {
                costs.settled = now;
            }
            let settled = costs.settled;
            if memory > settled.0 + MAX_GROWTH || descriptors > settled.1 + MAX_DESCRIPTORS {
                return Err(format!(
                    "carpd (process {process}) grew from {} kB and {} descriptors to {memory} kB \
                     and {descriptors}",
                    settled.0, settled.1
                ));
            }
        }
        Ok(())
    }

    /// Returns the table.
    pub(crate) fn table(&self) -> String {
        let mut table = String::from(
            "| fault | times | longest outage | bound | longest time of two answers | bound |\n\
             | --- | --- | --- | --- | --- | --- |\n",
        );
        for (
            kind,
            Row {
                times,
                symptoms,
                bounds,
            },
        ) in &self.rows
        {
            // Writing to a string cannot fail.
            let _ = writeln!(
                table,
                "| {kind} | {times} | {} | {} | {} | {} |",
                seconds(symptoms.outage),
                bound(bounds.outage),
                seconds(symptoms.double),
                bound(bounds.double)
            );
        }
        table
    }

    /// Returns a line with the largest growth and the largest process.
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
