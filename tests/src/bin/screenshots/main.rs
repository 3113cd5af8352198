//! `make screenshots`: screenshots of a running carptop, in `carptop/screenshots`.

mod svg;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use carp_tests::{Pair, Terminal, master_down, program};

const SIZE: (u16, u16) = (144, 32);

fn main() -> Result<()> {
    let pair = Pair::new()?;
    for (carpd, other) in [(&pair.a, false), (&pair.b, true)] {
        carpd.carpctl("sysctl net.inet.carp.preempt=1")?;
        let groups = [
            (
                "carp0",
                1,
                "192.168.1.1/24 192.168.1.10/24 2001:db8:1::1/64",
                "the gateway",
                false,
            ),
            ("carp1", 2, "192.168.1.5/24", "mail", true),
            ("carp2", 3, "192.168.2.1/24", "web servers", false),
            ("carp3", 4, "192.168.2.5/24", "name servers", true),
        ];
        for (name, vhid, addresses, description, second) in groups {
            let skew = if second == other { 0 } else { 100 };
            carpd.carpctl(&format!("{name} create"))?;
            carpd.carpctl(&format!(
                "{name} vhid {vhid} advskew {skew} pass mekmitasdigoat {addresses}"
            ))?;
            let mut command = carpd.carpctl_command()?;
            let described = command.args([name, "description", description]).output()?;
            anyhow::ensure!(described.status.success(), "{name} has no description");
        }
    }
    // With a host name of its own.
    let line = format!(
        "exec unshare --uts sh -c 'echo host-a >/proc/sys/kernel/hostname; \
         CARPD_BUS_ADDRESS={} exec {}'",
        pair.a.address(),
        program("carptop")?.display()
    );
    let terminal = Terminal::run(pair.a.host(), SIZE, &line)?;
    // Rates are counted in periods of five seconds.
    let settled = master_down(1, 100) + Duration::from_secs(60);
    terminal.wait_for(
        &["2 MASTER  2 BACKUP", "nothing wrong", "2.0/s", "▄▄▄▄▄▄"],
        settled,
    )?;
    take(&terminal, "overview")?;

    pair.a.host().pull("eth1")?;
    terminal.wait_for(&["suppressed", "0 MASTER", "2 INIT"], master_down(1, 240))?;
    terminal.press(&["!", "!", "Enter"])?;
    terminal.wait_for(&["counters", "check the cable"], Duration::ZERO)?;
    take(&terminal, "trouble")?;

    pair.a.host().plug("eth1")?;
    terminal.wait_for(&["2 MASTER  2 BACKUP"], settled)?;
    terminal.press(&["Escape"])?;
    terminal.wait_for(&["events"], Duration::ZERO)?;
    terminal.press(&["Home", "d"])?;
    terminal.wait_for(&["bring carp0 down?"], Duration::ZERO)?;
    take(&terminal, "question")
}

/// Writes the screen as a file.
fn take(terminal: &Terminal, name: &str) -> Result<()> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tests
        .parent()
        .context("the workspace")?
        .join("carptop/screenshots");
    fs::create_dir_all(&directory)?;
    let path = directory.join(format!("{name}.svg"));
    fs::write(&path, svg::image(&terminal.coloured_screen()?, SIZE.0))?;
    println!("{}", path.display());
    Ok(())
}
