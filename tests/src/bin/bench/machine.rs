//! The machine and the versions of the programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use carp_tests::program;
use serde::{Deserialize, Serialize};

/// Facts that a reader needs to compare figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) processor: String,
    pub(crate) memory: String,
    pub(crate) kernel: String,
    pub(crate) system: String,
    pub(crate) load: String,
    pub(crate) carpd: String,
    pub(crate) keepalived: String,
    pub(crate) ucarp: String,
}

impl Machine {
    /// Describes this machine, now.
    pub(crate) fn here() -> Result<Self> {
        let count = std::thread::available_parallelism()?;
        Ok(Self {
            date: output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            processor: format!(
                "{count} × {}{}",
                field("/proc/cpuinfo", "model name"),
                output("systemd-detect-virt", &[])
                    .strip_prefix("none")
                    .map_or_else(virtualised, str::to_owned)
            ),
            memory: field("/proc/meminfo", "MemTotal"),
            kernel: output("uname", &["-srm"]),
            system: fs::read_to_string("/etc/os-release")
                .unwrap_or_default()
                .lines()
                .find_map(|line| line.strip_prefix("PRETTY_NAME="))
                .map(|name| name.trim_matches('"').to_owned())
                .unwrap_or_default(),
            load: fs::read_to_string("/proc/loadavg")
                .unwrap_or_default()
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
            carpd: format!(
                "{} ({}), release build",
                output(&program("carpd")?.to_string_lossy(), &["--version"]),
                commit()
            ),
            keepalived: package("keepalived"),
            ucarp: package("ucarp"),
        })
    }
}

fn virtualised() -> String {
    ", a virtual machine".to_owned()
}

/// Returns the first line that a program prints; empty if it cannot run.
fn output(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(name).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn commit() -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).to_string_lossy();
    let name = output("git", &["-C", &here, "describe", "--always", "--dirty"]);
    if name.is_empty() {
        "no commit".to_owned()
    } else {
        format!("commit {name}")
    }
}

fn package(name: &str) -> String {
    let version = output("dpkg-query", &["-W", "-f=${Version}", name]);
    format!("{name} {version} of the system's package")
}

fn field(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_once(':'))
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

/// Returns cargo's build directory, which is above this executable.
pub(crate) fn target() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").is_file());
    Ok(target
        .with_context(|| format!("{} is in no build directory", own.display()))?
        .to_owned())
}
