//! Other daemons: ucarp, which uses CARP too, and keepalived, which uses VRRP.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Host, Process};

/// Running ucarp on eth0, with the scripts that add and remove the address.
#[derive(Debug)]
pub struct Ucarp(Process);

impl Ucarp {
    /// Starts ucarp with `options` (see `ucarp --help`) and an address with prefix length 24.
    pub fn start(host: &Host, address: &str, options: &str) -> Result<Self> {
        let up = script(host, "up", &format!("ip address add {address}/24 dev eth0"))?;
        let down = script(
            host,
            "down",
            &format!("ip address delete {address}/24 dev eth0"),
        )?;
        let mut command = host.command("ucarp");
        command.args(["--interface=eth0", "--shutdown", "--addr", address]);
        command
            .arg("--upscript")
            .arg(up)
            .arg("--downscript")
            .arg(down);
        command.args(options.split_whitespace());
        Ok(Self(host.spawn("ucarp", command)?))
    }

    /// Waits until its log contains at least `times` changes to `MASTER` or `BACKUP`.
    pub fn wait_for(&mut self, state: &str, times: usize, bound: Duration) -> Result<()> {
        let line = format!("Switching to state: {state}");
        crate::wait_until(&format!("ucarp is {state}"), bound + crate::MARGIN, || {
            Ok((self.0.log()?.matches(&line).count() >= times).then_some(()))
        })
        .with_context(|| self.0.log().unwrap_or_default())
    }

    /// Returns the number of changes to `MASTER` or `BACKUP`.
    pub fn times(&self, state: &str) -> Result<usize> {
        Ok(self
            .0
            .log()?
            .matches(&format!("Switching to state: {state}"))
            .count())
    }

    /// Kills it, so that it cannot clean up.
    pub fn kill(&mut self) -> Result<()> {
        self.0.kill()
    }

    /// Stops it; it removes its address.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.0.terminate(Duration::from_secs(5))
    }
}

/// Running keepalived.
#[derive(Debug)]
pub struct Keepalived(Process);

impl Keepalived {
    /// Starts keepalived with one VRRP group on eth0; `settings` are lines of its
    /// `vrrp_instance`.
    pub fn start(
        host: &Host,
        virtual_router: u8,
        settings: &str,
        addresses: &[String],
    ) -> Result<Self> {
        Self::start_configured(
            host,
            &format!(
                "vrrp_instance noise {{\n interface eth0\n state MASTER\n priority 255\n \
                 {settings}\n virtual_router_id {virtual_router}\n \
                 virtual_ipaddress {{\n {}\n }}\n}}\n",
                addresses.join("\n ")
            ),
        )
    }

    /// Starts keepalived with a configuration file of this text.
    pub fn start_configured(host: &Host, text: &str) -> Result<Self> {
        let configuration = host.file("keepalived", "conf");
        let pid = host.file("keepalived", "pid");
        let vrrp_pid = host.file("vrrp", "pid");
        fs::write(&configuration, text)?;
        let mut command = host.command("keepalived");
        command.args(["--dont-fork", "--log-console", "--vrrp", "--use-file"]);
        command
            .arg(configuration)
            .arg("--pid")
            .arg(pid)
            .arg("--vrrp_pid")
            .arg(vrrp_pid);
        Ok(Self(host.spawn("keepalived", command)?))
    }

    /// Returns its process ID.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Kills both of its processes, so that neither can clean up or restart the other.
    pub fn kill_all(&mut self) -> Result<()> {
        self.0.signal(Signal::STOP)?;
        let children = Command::new("pgrep")
            .args(["-P", &self.id().to_string()])
            .output()?;
        for child in String::from_utf8_lossy(&children.stdout).split_whitespace() {
            let child = child.parse().ok().and_then(Pid::from_raw);
            kill_process(child.context("a process id")?, Signal::KILL)?;
        }
        self.0.kill()
    }

    /// Waits until it is the master of its group.
    pub fn wait_until_master(&mut self) -> Result<()> {
        self.0
            .wait_for_log("Entering MASTER STATE", Duration::from_secs(10))
    }
}

fn script(host: &Host, name: &str, line: &str) -> Result<PathBuf> {
    let path = host.file(name, "sh");
    write_script(&path, line).with_context(|| format!("{}", path.display()))?;
    Ok(path)
}

fn write_script(path: &Path, line: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{line}\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
