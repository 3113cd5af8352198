//! Message bus of the lab, with the policy that carpd installs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::{Host, Lab, Process, wait_until};

/// Running dbus-daemon.
#[derive(Debug)]
pub struct Bus {
    address: String,
    process: Process,
    host: Host,
    configuration: PathBuf,
}

impl Bus {
    /// Starts a bus with the rules of the system bus. Only `dbus/org.carpd1.conf` allows programs
    /// to own and call `org.carpd1`.
    pub fn start(lab: &Lab) -> Result<Self> {
        let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dbus/org.carpd1.conf");
        Self::start_with(lab, &policy)
    }

    /// As [`Bus::start`], with the policy of another service.
    pub fn start_with(lab: &Lab, policy: &Path) -> Result<Self> {
        let socket = lab.path("system-bus");
        let configuration = lab.path("system-bus.conf");
        let policy = policy
            .canonicalize()
            .with_context(|| format!("{}", policy.display()))?;
        fs::write(&configuration, configuration_text(&socket, &policy))?;
        let (address, process) = launch(lab.switch(), &configuration)?;
        Ok(Self {
            address,
            process,
            host: lab.switch().clone(),
            configuration,
        })
    }

    /// Sends dbus-daemon a signal, such as [`Signal::STOP`].
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Kills it and starts it again at the same address.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        (self.address, self.process) = launch(&self.host, &self.configuration)?;
        Ok(())
    }

    /// Returns the address for `DBUS_SYSTEM_BUS_ADDRESS` and `--bus`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// Starts dbus-daemon. Returns its address without the GUID, which changes with each start.
fn launch(host: &Host, configuration: &Path) -> Result<(String, Process)> {
    let mut command = host.command("dbus-daemon");
    command.arg("--nofork").arg("--print-address");
    command.arg(format!("--config-file={}", configuration.display()));
    let mut process = host.spawn("dbus-daemon", command)?;
    let bound = Duration::from_secs(10);
    let address = wait_until("dbus-daemon prints its address", bound, || {
        process.check_alive()?;
        let log = process.log()?;
        let mut lines = log.lines();
        let line = lines.find(|line| line.starts_with("unix:path="));
        Ok(line.and_then(|line| Some(line.split(',').next()?.to_owned())))
    })?;
    Ok((address, process))
}

/// Returns Debian's system.conf without service activation, and with the policy of systemd.
fn configuration_text(socket: &Path, policy: &Path) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
  </policy>
  <policy user="root">
    <allow own="org.freedesktop.systemd1"/>
    <allow send_destination="org.freedesktop.systemd1"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Monitoring"/>
  </policy>
  <include>{}</include>
  <include ignore_missing="yes">/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>
</busconfig>
"#,
        socket.display(),
        policy.display()
    )
}
