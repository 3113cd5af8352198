//! The examples of carp(4), typed into a shell as the page has them.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Carpd, MARGIN, Pair, Shell, example, executable, master_down, wait_until};

const PAGE: &str = "carp.4";

fn run(carpd: &Carpd, name: &str) -> Result<String> {
    Shell::new(carpd)?.example(PAGE, name)
}

#[test]
fn first_example_makes_two_groups_that_move_together() -> Result<()> {
    let pair = Pair::new()?;
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
fn second_example_balances_two_virtual_hosts() -> Result<()> {
    let pair = Pair::new()?;
    for carpd in [&pair.a, &pair.b] {
        // Each host becomes the master of its own group, even if it comes late.
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
fn conntrackd_example_suppresses_preemption_until_in_sync() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    let shell = Shell::new(&pair.a)?;
    let (said, go) = (pair.lab.path("said"), pair.lab.path("go"));
    let conntrackd = format!("echo conntrackd $1 >>{}", said.display());
    shell.stand_in("conntrackd", &conntrackd)?;
    let until = format!("until [ -e {} ]; do /bin/sleep 0.05; done", go.display());
    shell.stand_in("sleep", &until)?;
    std::thread::scope(|scope| {
        let running = scope.spawn(|| shell.example(PAGE, "suppress"));
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

#[test]
fn conntrackd_hook_gets_each_change_of_the_master() -> Result<()> {
    let pair = Pair::new()?;
    let said = pair.lab.path("said");
    let shell = Shell::new(&pair.a)?;
    let conntrackd = shell.stand_in(
        "conntrackd",
        &format!("echo \"$CARP_TO $1\" >>{}", said.display()),
    )?;
    // A hook's PATH has only the usual directories.
    let text = example(PAGE, "conntrackd-hook")?
        .replace("conntrackd -", &format!("{} -", conntrackd.display()));
    let hooks = pair.a.config_directory().join("hooks.d");
    fs::create_dir(&hooks)?;
    executable(&hooks.join("20-conntrackd"), &text)?;

    pair.form_group("192.168.1.1/24")?;
    pair.a.carpctl("carp0 down")?;
    let expected = "BACKUP -t\nBACKUP -n\nMASTER -c\nMASTER -f\nMASTER -R\nMASTER -B\n";
    wait_until("the hook has run", MARGIN, || {
        let written = fs::read_to_string(&said).unwrap_or_default();
        ensure!(written == expected, "it said\n{written}");
        Ok(Some(()))
    })
}

#[test]
fn lladdr_parent_moves_only_the_address() -> Result<()> {
    let pair = Pair::new()?;
    run(&pair.a, "lladdr-parent")?;
    pair.a
        .wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    run(&pair.b, "lladdr-parent")?;
    pair.wait_until_settled()?;
    pair.client_reaches("192.168.1.1")?;
    let mac = pair.a.host().mac("eth0")?;
    assert_eq!(pair.client.neighbour("192.168.1.1")?, Some(mac));
    pair.a.host().pull("eth0")?;
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    pair.client_reaches("192.168.1.1")?;
    let mac = pair.b.host().mac("eth0")?;
    assert_eq!(pair.client.neighbour("192.168.1.1")?, Some(mac));
    Ok(())
}

#[test]
fn subsecond_example_takes_over_in_less_than_a_second() -> Result<()> {
    let pair = Pair::new()?;
    run(&pair.a, "subsecond-a")?;
    pair.a
        .wait_for_state("carp0", "MASTER", master_down(0, 30))?;
    run(&pair.b, "subsecond-b")?;
    pair.b.wait_for_counter("carp0", "ipackets", 20)?;
    let text = pair.b.carpctl("carp0")?;
    ensure!(text.contains("advbase 0 advskew 20"), "{text}");
    pair.a.host().pull("eth0")?;
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(0, 60))?;
    pair.client_reaches("192.168.1.1")
}
