//! polkit on the lab's bus, with only the actions of carpd and the rules of the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::{Bus, Lab, Process, wait_until};

/// Paths of the daemon in distributions.
const PROGRAMS: [&str; 3] = [
    "/usr/lib/polkit-1/polkitd",
    "/usr/libexec/polkitd",
    "/usr/libexec/polkit-1/polkitd",
];

/// Running polkitd.
#[derive(Debug)]
pub struct Polkit {
    process: Process,
}

impl Polkit {
    /// Starts polkitd on `bus`. It does not see the actions and rules of the machine, because other
    /// files are mounted over them in its mount namespace.
    pub fn start(lab: &Lab, bus: &Bus, rules: &str) -> Result<Self> {
        let program = PROGRAMS.into_iter().find(|path| Path::new(path).is_file());
        let program = program.context("no polkitd: install the package polkitd")?;
        let files = lab.path("polkit");
        fs::create_dir_all(&files)?;
        fs::copy(policy()?, files.join("org.carpd1.policy"))?;
        fs::write(files.join("50-carpd.rules"), rules)?;
        let line = format!(
            "mount -t tmpfs none /usr/share/polkit-1 && \
             mkdir -p /usr/share/polkit-1/actions /usr/share/polkit-1/rules.d && \
             cp {0}/org.carpd1.policy /usr/share/polkit-1/actions && \
             mount -t tmpfs none /etc/polkit-1 && mkdir -p /etc/polkit-1/rules.d && \
             cp {0}/50-carpd.rules /etc/polkit-1/rules.d && \
             chmod -R a+rX /usr/share/polkit-1 /etc/polkit-1 && exec {program}",
            files.display()
        );
        let mut command = lab.switch().command("sh");
        command.args(["-c", &line]);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", bus.address());
        let mut process = lab.switch().spawn("polkitd", command)?;
        wait_until("polkitd is on the bus", Duration::from_secs(10), || {
            process.check_alive()?;
            let owned = lab
                .switch()
                .command("busctl")
                .arg(format!("--address={}", bus.address()))
                .args(["call", "org.freedesktop.DBus", "/org/freedesktop/DBus"])
                .args(["org.freedesktop.DBus", "GetNameOwner", "s"])
                .arg("org.freedesktop.PolicyKit1")
                .output()?;
            let complaint = String::from_utf8_lossy(&owned.stderr);
            ensure!(owned.status.success(), "{complaint}");
            Ok(Some(()))
        })?;
        Ok(Self { process })
    }

    /// Stops it, so that it does not answer.
    pub fn stop(&mut self) -> Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// Kills it.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }
}

fn policy() -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dbus/org.carpd1.policy");
    ensure!(path.is_file(), "no {}", path.display());
    Ok(path)
}
