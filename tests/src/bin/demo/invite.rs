//! Short commands for another terminal, while the hosts stay up after the demonstration.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use carp_tests::{Carpd, Host, Pair, program};
use tempfile::TempDir;

use crate::screen::heading;
use crate::script::ADDRESS;

/// Beginning of a script: becomes root with sudo.
const AS_ROOT: &str = "#!/bin/sh\n[ \"$(id -u)\" -eq 0 ] || exec sudo \"$0\" \"$@\"\n";

/// Prints the commands for another terminal. They exist until the returned directory is dropped.
pub(crate) fn invite(pair: &Pair) -> Result<TempDir> {
    let directory = tempfile::Builder::new().prefix("demo-").tempdir()?;
    let path = directory.path();
    fs::set_permissions(path, Permissions::from_mode(0o755))?;
    install(path, "demo-a", &on(pair.a.host(), "host-a", &bus(&pair.a)?))?;
    install(path, "demo-b", &on(pair.b.host(), "host-b", &bus(&pair.b)?))?;
    install(path, "demo-client", &on(&pair.client, "client", ""))?;
    install(path, "demo-cable", &cable(pair))?;

    heading("6. Everything stays up. In another terminal:");
    println!("\n    PATH={}:$PATH\n", path.display());
    for (line, help) in [
        (
            "demo-a carptop",
            "states and masters, live; also demo-b carptop",
        ),
        ("demo-a carpctl carp0", "one carp interface of host A"),
        (
            "demo-a carpctl carp0 down",
            "A hands over at once; up reverts it",
        ),
        ("demo-b carpctl monitor", "events as they happen"),
        (
            &format!("demo-client ping {ADDRESS}"),
            "availability for the client",
        ),
        ("demo-cable pull", "A's cable; demo-cable plug reverts it"),
        ("demo-a", "a shell on host A"),
    ] {
        println!("    {line:<28} {help}");
    }
    println!("\n  Ctrl-C here ends and removes everything.");
    Ok(directory)
}

/// Returns the environment in which the programs on this host find carpd.
fn bus(carpd: &Carpd) -> Result<String> {
    let carpctl = program("carpctl")?;
    let programs = carpctl.parent().context("a program is in a directory")?;
    Ok(format!(
        "export CARPD_BUS_ADDRESS='{}' PATH='{}':\"$PATH\"\n",
        carpd.address(),
        programs.display()
    ))
}

/// Returns a script that runs its arguments, or a shell, on a host with this name.
fn on(host: &Host, name: &str, environment: &str) -> String {
    format!(
        "{AS_ROOT}{environment}[ $# -gt 0 ] || set -- \"${{SHELL:-/bin/sh}}\"\n\
         exec ip netns exec '{}' unshare --uts \\\n    \
         sh -c 'echo {name} >/proc/sys/kernel/hostname; exec \"$@\"' sh \"$@\"\n",
        host.namespace()
    )
}

/// Returns the script that pulls and plugs A's cable.
fn cable(pair: &Pair) -> String {
    format!(
        "{AS_ROOT}case ${{1-}} in\npull) state=down ;;\nplug) state=up ;;\n\
         *) echo 'usage: demo-cable pull | plug' >&2; exit 2 ;;\nesac\n\
         exec ip netns exec '{}' ip link set '{}' \"$state\"\n",
        pair.lab.switch().namespace(),
        pair.a.host().port("eth0")
    )
}

fn install(directory: &Path, name: &str, script: &str) -> Result<()> {
    let path = directory.join(name);
    fs::write(&path, script)?;
    fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    Ok(())
}
