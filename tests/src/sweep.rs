//! Removal of namespaces with their processes, also those of tests that were killed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Once;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// Prefix of the names of namespaces and directories; the process ID of the test follows.
pub(crate) const PREFIX: &str = "carp";

/// Removes the namespaces whose names begin with `prefix`, and kills the processes in them.
pub fn sweep(prefix: &str) -> Result<()> {
    for namespace in namespaces()?.iter().filter(|name| name.starts_with(prefix)) {
        for line in ip(&["netns", "pids", namespace])
            .unwrap_or_default()
            .lines()
        {
            if let Some(pid) = line.trim().parse().ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        // Another test may have removed the same leftovers.
        let removed = ip(&["netns", "delete", namespace]);
        if namespaces()?.contains(namespace) {
            removed.with_context(|| format!("namespace {namespace} remains"))?;
        }
    }
    Ok(())
}

/// Removes the leftovers of tests that no longer run, once per process.
pub(crate) fn sweep_leftovers() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for name in namespaces().unwrap_or_default() {
            if let Some(owner) = dead_owner(&name) {
                let _ = sweep(&format!("{PREFIX}{owner}-"));
            }
        }
        for entry in fs::read_dir(std::env::temp_dir())
            .into_iter()
            .flatten()
            .flatten()
        {
            if dead_owner(&entry.file_name().to_string_lossy()).is_some() {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    });
}

/// Returns the process ID in a name such as `carp123-0-a` if that process does not run.
fn dead_owner(name: &str) -> Option<u32> {
    let (owner, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let owner = owner.parse().ok()?;
    (!Path::new("/proc").join(format!("{owner}")).exists()).then_some(owner)
}

fn namespaces() -> Result<Vec<String>> {
    // A line is the name, for some namespaces followed by ` (id: 0)`.
    let list = ip(&["netns", "list"])?;
    Ok(list
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect())
}

fn ip(arguments: &[&str]) -> Result<String> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .context("cannot run ip")?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ended_processes_are_leftovers() {
        let own = std::process::id();
        assert_eq!(dead_owner(&format!("carp{own}-0-a")), None);
        assert_eq!(dead_owner("carp4194305-0-a"), Some(4_194_305));
        assert_eq!(dead_owner("carp0"), None);
        assert_eq!(dead_owner("other-0-a"), None);
    }
}
