//! Preemption suppressed from outside, for example by a synchroniser of connection states.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Carpd, MARGIN, Pair, Process, master_down, wait_until};

/// Runs `carpctl suppress` with a command that stays.
fn hold(carpd: &Carpd, who: &str, command: &str) -> Result<Process> {
    let mut carpctl = carpd.carpctl_command()?;
    carpctl.args(["suppress", "--who", who, "--why", "not in sync", "--"]);
    carpctl.args(["sh", "-c", command]);
    carpd.host().spawn("suppress", carpctl)
}

fn wait_for_count(carpd: &Carpd, count: u32) -> Result<()> {
    wait_until(
        &format!("{count} problems suppress preemption"),
        MARGIN,
        || {
            let shown = carpd.carpctl("sysctl -n net.inet.carp.suppress_preempt")?;
            ensure!(shown == format!("{count}\n"), "{shown}");
            Ok(Some(()))
        },
    )
}

#[test]
fn suppression_moves_all_groups_until_its_holder_dies() -> Result<()> {
    let pair = Pair::with_manual_group()?;
    let both = |master: &Carpd, backup: &Carpd| {
        for interface in ["carp0", "carp1"] {
            master.wait_for_state(interface, "MASTER", master_down(1, 240))?;
            backup.wait_for_state(interface, "BACKUP", master_down(1, 240))?;
        }
        Ok::<_, anyhow::Error>(())
    };
    let mut holder = hold(&pair.a, "conntrackd", "exec sleep 600")?;
    wait_for_count(&pair.a, 1)?;
    both(&pair.b, &pair.a)?;
    let shown = pair.a.interface("carp0")?;
    assert_eq!((shown.effective_advskew, shown.demotion), (240, 1));
    let listed = pair.a.carpctl("suppress")?;
    ensure!(
        listed.starts_with("conntrackd: not in sync (since "),
        "{listed}"
    );
    assert_eq!(listed.lines().count(), 1);
    pair.client_reaches("192.168.1.1")?;

    // kill -9: the holder cannot release anything itself.
    holder.kill()?;
    wait_for_count(&pair.a, 0)?;
    assert_eq!(pair.a.carpctl("suppress")?, "");
    both(&pair.a, &pair.b)
}

#[test]
fn suppressions_add_up_and_end_with_their_commands() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    let go = pair.lab.path("go");
    let waits = format!("until [ -e {} ]; do sleep 0.05; done; exit 7", go.display());
    let mut first = hold(&pair.a, "first", &waits)?;
    let mut second = hold(&pair.a, "second", "exec sleep 600")?;
    wait_for_count(&pair.a, 2)?;
    let listed: serde_json::Value = serde_json::from_str(&pair.a.carpctl("suppress --json")?)?;
    let mut who: Vec<&str> = listed
        .as_array()
        .context("a list")?
        .iter()
        .filter_map(|held| held["who"].as_str())
        .collect();
    who.sort_unstable();
    assert_eq!(who, ["first", "second"]);

    std::fs::write(&go, "")?;
    let status = first.wait_for_end(MARGIN)?;
    assert_eq!(status.code(), Some(7), "the status is the command's");
    wait_for_count(&pair.a, 1)?;
    // systemd's way to stop it: SIGTERM, on which carpctl ends the command and itself.
    second.terminate(Duration::from_secs(5))?;
    wait_for_count(&pair.a, 0)
}
