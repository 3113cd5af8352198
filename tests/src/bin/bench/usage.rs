//! Resources of processes: processor time and memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Returns these processes and all their descendants.
pub(crate) fn family(ids: &[u32]) -> Vec<u32> {
    let mut all = ids.to_vec();
    let mut next = 0;
    while let Some(id) = all.get(next).copied() {
        next += 1;
        for task in tasks(id) {
            let children = fs::read_to_string(task.join("children")).unwrap_or_default();
            all.extend(
                children
                    .split_whitespace()
                    .filter_map(|id| id.parse::<u32>().ok()),
            );
        }
    }
    all
}

/// Returns the run time of their threads, in nanoseconds: `/proc/ID/task/*/schedstat`.
pub(crate) fn time(ids: &[u32]) -> Duration {
    time_of(ids, |_| true)
}

/// The same, for threads whose name is `wanted`.
pub(crate) fn time_of(ids: &[u32], wanted: impl Fn(&str) -> bool) -> Duration {
    let mut sum = Duration::ZERO;
    for task in ids.iter().flat_map(|id| tasks(*id)) {
        let Ok(name) = fs::read_to_string(task.join("comm")) else {
            continue;
        };
        if wanted(name.trim()) {
            // A thread may end between the two.
            let text = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
            let run = text.split(' ').next().and_then(|first| first.parse().ok());
            sum += Duration::from_nanos(run.unwrap_or_default());
        }
    }
    sum
}

/// Returns bytes, with shared memory divided among its users: `Pss` of `/proc/ID/smaps_rollup`.
pub(crate) fn memory(ids: &[u32]) -> Result<u64> {
    let mut sum = 0;
    for id in ids {
        let path = Path::new("/proc").join(format!("{id}/smaps_rollup"));
        let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kibibytes: u64 = line
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .and_then(|number| number.parse().ok())
            .with_context(|| format!("no Pss in {}", path.display()))?;
        sum += kibibytes << 10;
    }
    Ok(sum)
}

fn tasks(id: u32) -> Vec<PathBuf> {
    let tasks = fs::read_dir(Path::new("/proc").join(format!("{id}/task")));
    tasks
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}
