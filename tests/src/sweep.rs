//! Removing namespaces and everything that runs in them, also those of runs that were killed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Once;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// Every namespace and directory of the lab begins with this and the process id of its maker.
pub(crate) const PREFIX: &str = "carp";

/// Ends what runs in the namespaces whose names begin with `prefix`, and removes them.
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
        // Another run may be sweeping the same leftovers: gone is as good as removed.
        let removed = ip(&["netns", "delete", namespace]);
        if namespaces()?.contains(namespace) {
            removed.with_context(|| format!("namespace {namespace} remains"))?;
        }
    }
    Ok(())
}

/// Removes, once in a process, what runs that no longer exist have left behind.
pub(crate) fn sweep_leftovers() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for name in namespaces().unwrap_or_default() {
            if let Some(maker) = dead_maker(&name) {
                let _ = sweep(&format!("{PREFIX}{maker}-"));
            }
        }
        for entry in fs::read_dir(std::env::temp_dir())
            .into_iter()
            .flatten()
            .flatten()
        {
            if dead_maker(&entry.file_name().to_string_lossy()).is_some() {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    });
}

/// `carp123-0-a` → 123, if there is no process 123.
fn dead_maker(name: &str) -> Option<u32> {
    let (maker, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let maker = maker.parse().ok()?;
    (!Path::new("/proc").join(format!("{maker}")).exists()).then_some(maker)
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
    fn only_names_of_dead_makers_are_leftovers() {
        let own = std::process::id();
        assert_eq!(dead_maker(&format!("carp{own}-0-a")), None);
        assert_eq!(dead_maker("carp4194305-0-a"), Some(4_194_305));
        assert_eq!(dead_maker("carp0"), None);
        assert_eq!(dead_maker("somebody-else"), None);
    }
}
