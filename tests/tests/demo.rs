//! `make demo` in a terminal of 80 columns, and the commands that it offers.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Lab, Process, program};

/// Longer than the demonstration: two elections and two failovers.
const DEMONSTRATION_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the columns that a line takes, with tabs expanded as a terminal does it.
fn columns(line: &str) -> usize {
    line.chars().fold(0, |at, c| match c {
        '\t' => at / 8 * 8 + 8,
        _ => at + 1,
    })
}

#[test]
fn demonstration_fits_80_columns_and_offers_short_commands() -> Result<()> {
    let lab = Lab::new()?;
    let command = Command::new(program("demo")?);
    let mut demo = Process::spawn("demo", command, &lab.path("demo.log"))?;
    demo.wait_for_log("Ctrl-C here ends", DEMONSTRATION_TIMEOUT)?;
    let shown = demo.log()?;
    for line in shown.lines() {
        ensure!(columns(line) <= 80, "{} columns: {line}", columns(line));
    }
    ensure!(shown.contains("    demo-a carptop "), "{shown}");

    let path = shown.lines().find_map(|line| {
        let path = line.trim().strip_prefix("PATH=")?;
        path.strip_suffix(":$PATH")
    });
    let path = format!("{}:{}", path.context("a PATH")?, std::env::var("PATH")?);
    let run = |line: &str| -> Result<String> {
        let output = Command::new("sh")
            .args(["-c", line])
            .env("PATH", &path)
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{line}: {text}{complaint}");
        Ok(text)
    };
    assert_eq!(run("demo-a carpctl -l")?, "carp0 carp1\n");
    ensure!(run("demo-b carpctl carp0")?.contains("carp: BACKUP"), "B");
    ensure!(run("demo-a carptop --once")?.contains("M MASTER"), "A");
    // The name that carptop shows.
    let name = "cat /proc/sys/kernel/hostname";
    assert_eq!(run(&format!("demo-a {name}"))?, "host-a\n");
    assert_eq!(run(&format!("demo-b {name}"))?, "host-b\n");
    ensure!(run(name)? != "host-a\n", "this machine keeps its name");
    run("demo-client ping -c 1 -W 2 192.168.1.1")?;
    run("demo-cable pull && demo-cable plug")?;

    let status = demo.interrupt(Duration::from_secs(20))?;
    ensure!(status.success(), "{status}");
    ensure!(run("demo-a true").is_err(), "the commands are gone");
    Ok(())
}
