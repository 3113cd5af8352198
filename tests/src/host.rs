//! Host of the lab: a network namespace, its cables, and programs that run in it.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

use crate::Process;
use crate::wait::check_interrupted;

/// Handle of a host; the lab removes the host itself.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    namespace: String,
    switch: Option<String>,
    directory: PathBuf,
}

impl Host {
    pub(crate) fn create(
        lab: &str,
        name: &str,
        directory: &Path,
        switch: Option<&Self>,
    ) -> Result<Self> {
        check_interrupted()?;
        let namespace = format!("{lab}{name}");
        let added = Command::new("ip")
            .args(["netns", "add", &namespace])
            .output()?;
        check(&format!("ip netns add {namespace}"), &added)?;
        let host = Self {
            name: name.to_owned(),
            namespace,
            switch: switch.map(|switch| switch.namespace.clone()),
            directory: directory.to_owned(),
        };
        host.run("ip link set lo up")?;
        Ok(host)
    }

    /// Returns the name, such as `a`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name of the namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the name of the switch's port at the other end of the cable, such as `a-eth0`.
    #[must_use]
    pub fn port(&self, interface: &str) -> String {
        format!("{}-{interface}", self.name)
    }

    /// Returns a command that runs in this host; its process ID is that of the program.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    /// Runs a line of words separated by blanks. Returns its output.
    pub fn run(&self, line: &str) -> Result<String> {
        let output = self.output(line)?;
        check(&format!("{}: {line}", self.name), &output)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// As [`Host::run`], but a failure of the command is not an error.
    pub fn output(&self, line: &str) -> Result<Output> {
        let mut words = line.split_whitespace();
        let program = words.next().context("an empty line")?;
        self.command(program)
            .args(words)
            .output()
            .with_context(|| format!("{}: cannot run {line}", self.name))
    }

    /// Runs these lines with one `ip -batch`.
    pub fn batch(&self, lines: &str) -> Result<()> {
        let file = self.file("batch", "ip");
        std::fs::write(&file, lines)?;
        self.run(&format!("ip -batch {}", file.display())).map(drop)
    }

    /// Starts a program in the background; its log has its name.
    pub fn spawn(&self, name: &str, command: Command) -> Result<Process> {
        let log = self.file(name, "log");
        Process::spawn(&format!("{} on {}", name, self.name), command, &log)
    }

    /// Runs `work` on a thread in this host; sockets that it opens stay in the host.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = Path::new("/run/netns").join(&self.namespace);
        let namespace = File::open(&path).with_context(|| format!("{}", path.display()))?;
        let enter = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        };
        thread::scope(|scope| scope.spawn(enter).join())
            .map_err(|_| anyhow!("a thread in {} panicked", self.name))?
    }

    /// Returns a new path in the directory of the lab, such as `a-capture-3.pcap`.
    #[must_use]
    pub fn file(&self, name: &str, extension: &str) -> PathBuf {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        self.directory
            .join(format!("{}-{name}-{number}.{extension}", self.name))
    }

    /// Pulls the cable at the switch: the host loses its carrier.
    pub fn pull(&self, interface: &str) -> Result<()> {
        self.at_switch(&format!("ip link set {} down", self.port(interface)))
    }

    /// Plugs the cable in again.
    pub fn plug(&self, interface: &str) -> Result<()> {
        self.at_switch(&format!("ip link set {} up", self.port(interface)))
    }

    /// Sets a flag of the switch's port, such as `learning off`.
    pub fn set_port(&self, interface: &str, flag: &str) -> Result<()> {
        self.at_switch(&format!(
            "bridge link set dev {} {flag}",
            self.port(interface)
        ))
    }

    fn at_switch(&self, line: &str) -> Result<()> {
        let switch = self.switch.as_ref().context("a host without a switch")?;
        let line = format!("ip netns exec {switch} {line}");
        let output = Command::new("ip")
            .args(line.split_whitespace().skip(1))
            .output()?;
        check(&line, &output)
    }

    pub(crate) fn switch_namespace(&self) -> Result<&str> {
        self.switch.as_deref().context("a host without a switch")
    }

    /// Returns the MAC address of `address` in the neighbour table, `None` if it has none.
    pub fn neighbour(&self, address: &str) -> Result<Option<String>> {
        let table: Value =
            serde_json::from_str(&self.run(&format!("ip -j neighbour show to {address}"))?)?;
        Ok(table
            .pointer("/0/lladdr")
            .and_then(Value::as_str)
            .map(str::to_owned))
    }

    /// Returns all addresses of all interfaces, as `ip -o address` prints them.
    pub fn addresses(&self) -> Result<String> {
        self.run("ip -o address show")
    }

    /// Returns the MAC address of an interface.
    pub fn mac(&self, interface: &str) -> Result<String> {
        let links: Value =
            serde_json::from_str(&self.run(&format!("ip -j link show dev {interface}"))?)?;
        let mac = links.pointer("/0/address").and_then(Value::as_str);
        Ok(mac
            .with_context(|| format!("{interface} has no MAC"))?
            .to_owned())
    }
}

fn check(line: &str, output: &Output) -> Result<()> {
    ensure!(
        output.status.success(),
        "{line}: {}, {} {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim(),
        String::from_utf8_lossy(&output.stdout).trim()
    );
    Ok(())
}
