//! The examples of org.carpd1(5), unchanged, over a real dbus-daemon.

use std::process::{Command, Output};

use anyhow::{Result, ensure};
use carp_tests::{Bus, Carpd, Host, Lab, MARGIN, wait_until};

fn example(name: &str) -> Result<String> {
    carp_tests::example("org.carpd1.5", name)
}

struct Site {
    host: Host,
    carpd: Carpd,
    bus: Bus,
    _lab: Lab,
}

impl Site {
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let bus = Bus::start(&lab)?;
        let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
        let carpd = Carpd::start_on(&host, bus.address())?;
        carpd.wait_for_log("org.carpd1 is on ")?;
        Ok(Self {
            host,
            carpd,
            bus,
            _lab: lab,
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.host.command(program);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", self.bus.address());
        command
    }

    fn shell(&self, script: &str) -> Result<String> {
        let output = self.command("sh").args(["-e", "-c", script]).output()?;
        text(script, &output)
    }

    /// Runs a script in Debian's own Python, the one with its modules.
    fn python(&self, script: &str) -> Result<Output> {
        let mut command = self.command("/usr/bin/python3");
        Ok(command.args(["-c", script]).output()?)
    }
}

fn text(what: &str, output: &Output) -> Result<String> {
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what}\n{errors}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn examples_of_busctl_gdbus_and_python_work() -> Result<()> {
    let site = Site::new()?;
    assert_eq!(
        site.shell(&example("busctl")?)?,
        "o \"/org/carpd1/interface/carp0\"\ns \"BACKUP\"\nv u 0\n"
    );
    let shown = site.carpd.carpctl("carp0 --show-pass")?;
    ensure!(shown.contains("secret"), "{shown}");
    assert_eq!(
        site.carpd.carpctl("sysctl -n net.inet.carp.preempt")?,
        "1\n"
    );

    let listed = site.shell(&example("gdbus")?)?;
    ensure!(listed.contains("'AdvSkew': <byte 0x64>"), "{listed}");

    let check = example("check")?;
    assert_eq!(text("check", &site.python(&check)?)?, "OK\n");
    site.host.pull("eth0")?;
    wait_until("the check is critical", MARGIN, || {
        let output = site.python(&check)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.code() == Some(2), "{said}");
        ensure!(said.contains("CRITICAL: eth0: has no carrier\n"), "{said}");
        ensure!(said.contains("CRITICAL: carp0 is in INIT\n"), "{said}");
        Ok(Some(()))
    })?;
    site.host.plug("eth0")?;
    site.carpd.wait_for_state("carp0", "BACKUP", MARGIN)?;

    let told = text("python", &site.python(&example("python")?)?)?;
    assert_eq!(told, "carp0 is BACKUP\ncarp0 BACKUP MASTER forced\n");
    Ok(())
}
