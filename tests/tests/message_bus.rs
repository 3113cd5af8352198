//! The D-Bus interface over a real dbus-daemon, with the usual tools.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Bus, Carpd, Host, Lab, MARGIN, master_down, program, wait_until};

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
        let site = Self {
            host,
            carpd,
            bus,
            _lab: lab,
        };
        // The private socket may answer before the bus has granted the name.
        wait_until("carpd is on the bus", MARGIN, || {
            site.busctl(&[
                "get-property",
                MANAGER[0],
                MANAGER[1],
                MANAGER[2],
                "Version",
            ])
            .map(Some)
        })?;
        Ok(site)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.host.command(program);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", self.bus.address());
        command
    }

    fn busctl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command("busctl");
        run(command.arg("--system").args(arguments))
    }

    fn gdbus(&self, arguments: &[&str]) -> Result<String> {
        let (verb, rest) = arguments.split_first().context("a verb")?;
        let mut command = self.command("gdbus");
        run(command
            .args([verb, "--system", "--dest", "org.carpd1"])
            .args(rest))
    }
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}

const MANAGER: [&str; 3] = ["org.carpd1", "/org/carpd1", "org.carpd1.Manager"];
const CARP0: [&str; 3] = [
    "org.carpd1",
    "/org/carpd1/interface/carp0",
    "org.carpd1.Interface",
];

#[test]
fn busctl_creates_configures_reads_and_destroys() -> Result<()> {
    let site = Site::new()?;
    let call = |object: [&str; 3], rest: &[&str]| {
        site.busctl(&[&["call"][..], &object[..], rest].concat())
    };
    let property = |name| site.busctl(&[&["get-property"][..], &CARP0[..], &[name]].concat());

    let path = call(
        MANAGER,
        &["CreateInterface", "sa{sv}", "carp", "1", "Vhid", "y", "1"],
    )?;
    assert_eq!(path, "o \"/org/carpd1/interface/carp0\"\n");
    call(
        CARP0,
        &[
            "Configure",
            "a{sv}",
            "2",
            "AdvSkew",
            "y",
            "5",
            "AddAddresses",
            "a(sy)",
            "1",
            "192.168.1.1",
            "24",
        ],
    )?;
    wait_until("busctl sees MASTER", master_down(1, 5) + MARGIN, || {
        Ok((property("State")? == "s \"MASTER\"\n").then_some(()))
    })?;
    assert_eq!(property("AdvSkew")?, "y 5\n");
    assert!(
        site.busctl(&["tree", "org.carpd1"])?
            .contains("/org/carpd1/interface/carp0")
    );
    assert!(
        site.busctl(&["introspect", CARP0[0], CARP0[1]])?
            .contains("Transitioned")
    );

    let preempt = ["org.carpd1", "/org/carpd1", "org.carpd1.Sysctl", "Preempt"];
    assert_eq!(
        site.busctl(&[&["get-property"][..], &preempt[..]].concat())?,
        "u 0\n"
    );

    let refused = call(CARP0, &["Configure", "a{sv}", "1", "Vhid", "y", "0"]);
    let message = format!("{:#}", refused.err().context("vhid 0 is refused")?);
    assert!(
        message.contains("carp0") && message.contains("vhid"),
        "{message}"
    );

    call(MANAGER, &["DestroyInterface", "s", "carp0"])?;
    assert!(!site.busctl(&["tree", "org.carpd1"])?.contains("carp0"));
    Ok(())
}

#[test]
fn gdbus_reads_the_managed_objects_and_gets_a_transition() -> Result<()> {
    let site = Site::new()?;
    let mut monitor = site.command("gdbus");
    monitor.args(["monitor", "--system", "--dest", "org.carpd1"]);
    let monitor = site.host.spawn("gdbus", monitor)?;
    monitor.wait_for_log("The name org.carpd1 is owned by", MARGIN)?;

    let path = ["--object-path", "/org/carpd1"];
    let create = ["--method", "org.carpd1.Manager.CreateInterface", "carp0"];
    let settings = "{'Vhid': <byte 1>, 'AddAddresses': <[('192.168.1.1', byte 24)]>}";
    site.gdbus(&[&["call"][..], &path[..], &create[..], &[settings]].concat())?;
    monitor.wait_for_log(
        "Transitioned ('BACKUP', 'MASTER', 'master-timed-out')",
        master_down(1, 0) + MARGIN,
    )?;
    monitor.wait_for_log("'State': <'MASTER'>", MARGIN)?;

    let managed = [
        "--method",
        "org.freedesktop.DBus.ObjectManager.GetManagedObjects",
    ];
    let objects = site.gdbus(&[&["call"][..], &path[..], &managed[..]].concat())?;
    assert!(objects.contains("'State': <'MASTER'>"), "{objects}");
    let introspected =
        site.gdbus(&["introspect", "--object-path", "/org/carpd1/interface/carp0"])?;
    assert!(
        introspected.contains("readonly s State = 'MASTER'"),
        "{introspected}"
    );
    Ok(())
}

#[test]
fn carpctl_uses_the_system_bus_without_a_private_socket() -> Result<()> {
    let site = Site::new()?;
    site.carpd.carpctl("carp0 create")?;
    // An empty /run hides the private socket of a carpd on this machine.
    let carpctl = program("carpctl")?;
    let line = format!("mount -t tmpfs none /run && exec {} -l", carpctl.display());
    assert_eq!(run(site.command("sh").args(["-c", &line]))?, "carp0\n");
    Ok(())
}
