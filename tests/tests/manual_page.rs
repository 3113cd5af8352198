//! The examples of carp(4), as they stand in the page, typed into a shell.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Carpd, MARGIN, Pair, master_down, program, wait_until};

/// The example that is marked with `name` in the page, as mdoc(7) prints it.
fn example(name: &str) -> Result<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../man/carp.4");
    let page = fs::read_to_string(path)?;
    let begin = format!(".\\\" example: {name}\n.Bd -literal -offset indent\n");
    let text = page.split_once(&begin).with_context(|| begin.clone())?.1;
    let text = text.split_once("\n.Ed").context("no end")?.0;
    Ok(text.replace("\\e", "\\"))
}

/// A shell that finds carpctl, and programs in `directory`.
fn shell(carpd: &Carpd, directory: &Path, name: &str) -> Result<String> {
    let carpctl = program("carpctl")?;
    let beside = carpctl.parent().context("no directory")?;
    let path = std::env::var("PATH")?;
    let path = format!("{}:{}:{path}", directory.display(), beside.display());
    let mut command = carpd.host().command("sh");
    command.args(["-e", "-c", &example(name)?]);
    command.env("CARPD_BUS_ADDRESS", carpd.address());
    let output = command.env("PATH", path).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {errors}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_first_example_makes_two_groups_that_move_together() -> Result<()> {
    let pair = Pair::new()?;
    let run = |carpd, name| shell(carpd, pair.lab.directory(), name);
    for carpd in [&pair.a, &pair.b] {
        assert_eq!(run(carpd, "preempt")?, "net.inet.carp.preempt: 0 -> 1\n");
    }
    run(&pair.a, "group-a")?;
    run(&pair.b, "group-b")?;
    pair.wait_until_settled()?;
    pair.a
        .wait_for_state("carp1", "MASTER", master_down(1, 0))?;
    pair.client_reaches("192.168.1.1")?;
    pair.a.host().pull("eth1")?;
    for interface in ["carp0", "carp1"] {
        pair.b
            .wait_for_state(interface, "MASTER", master_down(1, 100))?;
    }
    pair.client_reaches("192.168.1.1")
}

#[test]
fn the_second_example_balances_two_virtual_hosts() -> Result<()> {
    let pair = Pair::new()?;
    let run = |carpd, name| shell(carpd, pair.lab.directory(), name);
    for carpd in [&pair.a, &pair.b] {
        // Each is the master of its own, however late it comes.
        run(carpd, "preempt")?;
    }
    run(&pair.a, "balance-a")?;
    run(&pair.b, "balance-b")?;
    for carpd in [&pair.a, &pair.b] {
        run(carpd, "arpbalance")?;
    }
    for (carpd, master, backup) in [(&pair.a, "carp0", "carp1"), (&pair.b, "carp1", "carp0")] {
        carpd.wait_for_state(master, "MASTER", master_down(1, 100))?;
        carpd.wait_for_state(backup, "BACKUP", master_down(1, 100))?;
    }
    pair.client_reaches("192.168.1.10")
}

#[test]
fn the_example_of_conntrackd_suppresses_preemption_until_it_is_in_sync() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    // conntrackd and sleep, as far as the example needs them.
    let bin = pair.lab.path("bin");
    fs::create_dir(&bin)?;
    let (said, go) = (pair.lab.path("said"), pair.lab.path("go"));
    for (name, script) in [
        (
            "conntrackd",
            format!("echo conntrackd $1 >>{}", said.display()),
        ),
        (
            "sleep",
            format!("until [ -e {} ]; do /bin/sleep 0.05; done", go.display()),
        ),
    ] {
        let path = bin.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    std::thread::scope(|scope| {
        let running = scope.spawn(|| shell(&pair.a, &bin, "suppress"));
        let held = wait_until("conntrackd holds preemption suppressed", MARGIN, || {
            let listed = pair.a.carpctl("suppress")?;
            ensure!(
                listed.starts_with("conntrackd: bulk transfer (since "),
                "{listed}"
            );
            Ok(Some(()))
        });
        fs::write(&go, "")?;
        let ended = running.join().ok().context("the shell's thread")?;
        held.and(ended.map(drop))
    })?;
    assert_eq!(fs::read_to_string(said)?, "conntrackd -n\nconntrackd -c\n");
    wait_until("nothing is suppressed", MARGIN, || {
        Ok((pair.a.carpctl("suppress")?.is_empty()).then_some(()))
    })
}
