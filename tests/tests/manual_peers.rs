//! The examples of carp(4) with other systems: a pair with a BSD, and moving from other daemons.
//!
//! ucarp plays the BSD host, with the words of the BSD's line.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{
    Carpd, Keepalived, Lab, MARGIN, Pair, Shell, Ucarp, example, executable, master_down, ping,
    source, wait_until,
};

const PAGE: &str = "carp.4";

/// Returns the word after a word of an example.
fn value<'a>(text: &'a str, word: &str) -> Result<&'a str> {
    let mut words = text
        .split([' ', '\n', '"'])
        .skip_while(|each| *each != word);
    words.nth(1).with_context(|| format!("{word} in {text}"))
}

/// Asserts that carpd is master of the host whose line the page shows, and that this host takes
/// over.
fn a_pair(theirs: &str, ours: &str, address_behind: &str) -> Result<()> {
    let text = example(PAGE, theirs)?;
    let address = value(&text, address_behind)?.split('/').next();
    let address = address.context("an address")?;
    let lab = Lab::new()?;
    let [a, b] = Pair::hosts(&lab)?;
    let client = lab.host("client", &[("lan", "192.168.1.100/24")])?;
    let carpd = Carpd::start(&a)?;
    Shell::new(&carpd)?.example(PAGE, ours)?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    let mut peer = Ucarp::start(
        &b,
        address,
        &format!(
            "--srcip=192.168.1.3 --vhid={} --advskew={} --pass={}",
            value(&text, "vhid")?,
            value(&text, "advskew")?,
            value(&text, "pass")?
        ),
    )?;
    peer.wait_for("BACKUP", 1, master_down(1, 0))?;
    wait_until("the address answers", MARGIN, || {
        ping(&client, address, 1).map(Some)
    })?;
    // It accepts our advertisements, and answers for the address when they end.
    carpd.carpctl("carp0 down")?;
    peer.wait_for("MASTER", 1, master_down(1, 100))?;
    wait_until("the address answers", MARGIN, || {
        ping(&client, address, 1).map(Some)
    })
}

#[test]
fn openbsd_example_makes_one_group_with_carpd() -> Result<()> {
    a_pair("openbsd", "openbsd-peer", "inet")
}

#[test]
fn freebsd_example_makes_one_group_with_carpd() -> Result<()> {
    a_pair("freebsd", "freebsd-peer", "alias")
}

#[test]
fn ucarp_group_moves_to_carpd_one_host_at_a_time() -> Result<()> {
    let lab = Lab::new()?;
    let [a, b] = Pair::hosts(&lab)?;
    let group = "--srcip=192.168.1.2 --vhid=1 --pass=mekmitasdigoat";
    let mut master = Ucarp::start(&a, "192.168.1.1", group)?;
    master.wait_for("MASTER", 1, master_down(1, 0))?;

    let etc = lab.path("etc");
    fs::create_dir(&etc)?;
    for name in ["vip-up.sh", "vip-down.sh"] {
        executable(&etc.join(name), "#!/bin/sh\n")?;
    }
    let line = example(PAGE, "ucarp")?.replace("/etc/", &format!("{}/", etc.display()));
    let mut command = b.command("sh");
    command.args(["-c", &format!("exec {line}")]);
    let mut backup = b.spawn("ucarp", command)?;
    backup.wait_for_log("Switching to state: BACKUP", master_down(1, 100) + MARGIN)?;
    backup.terminate(Duration::from_secs(5))?;

    let carpd = Carpd::start(&b)?;
    Shell::new(&carpd)?.example(PAGE, "from-ucarp")?;
    carpd.wait_for_counter("carp0", "ipackets", 3)?;
    assert_eq!(carpd.state("carp0")?, "BACKUP");
    assert_eq!(master.times("BACKUP")?, 1, "A stays master");
    master.stop()?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 100))
}

#[test]
fn every_option_of_ucarp_has_its_counterpart() -> Result<()> {
    let output = Command::new("ucarp").arg("--help").output()?;
    let help = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let mut known: Vec<&str> = help
        .lines()
        .filter_map(|line| line.strip_prefix("--"))
        .filter_map(|line| line.split(|c: char| !c.is_ascii_lowercase()).next())
        .filter(|name| *name != "help")
        .collect();
    let page = source("man/carp.4")?;
    let (_, table) = page.split_once("table: ucarp").context("the table")?;
    let (table, _) = table.split_once(".El").context("its end")?;
    let mut told: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix(".It Fl -"))
        .filter_map(|line| line.split(" Ta ").next())
        .flat_map(|names| names.split(" , -"))
        .collect();
    known.sort_unstable();
    told.sort_unstable();
    ensure!(!known.is_empty(), "{help}");
    assert_eq!(told, known);
    Ok(())
}

#[test]
fn keepalived_group_moves_to_carpd() -> Result<()> {
    let pair = Pair::new()?;
    let theirs = example(PAGE, "keepalived")?;
    let mut master = Keepalived::start_configured(pair.a.host(), &theirs)?;
    master.wait_until_master()?;
    let slower = theirs.replace("priority 150", "priority 100");
    ensure!(slower != theirs, "{theirs}");
    let backup = Keepalived::start_configured(pair.b.host(), &slower)?;
    pair.client_reaches("192.168.1.1")?;

    let ours = example(PAGE, "from-keepalived")?;
    let slower = ours.replace("vhid 1", "vhid 1 advskew 100");
    ensure!(slower != ours, "{ours}");
    let mut shells = Vec::new();
    for (carpd, daemon, lines) in [(&pair.a, &master, &ours), (&pair.b, &backup, &slower)] {
        let shell = Shell::new(carpd)?;
        // As systemctl does: it returns when the daemon has ended.
        let pid = daemon.id();
        shell.stand_in(
            "systemctl",
            &format!(
                "[ \"$*\" = 'disable --now keepalived' ] || exit 1\nkill {pid}\n\
                 while grep -q 'State:.[^Z]' /proc/{pid}/status; do sleep 0.05; done"
            ),
        )?;
        shell.run(lines)?;
        assert_eq!(carpd.state("carp0")?, "INIT");
        shells.push(shell);
    }
    let [a, b] = shells.as_slice() else {
        anyhow::bail!("two hosts");
    };
    b.example(PAGE, "keepalived-ends")?;
    a.example(PAGE, "carp-begins")?;
    pair.a.wait_for_state("carp0", "MASTER", Duration::ZERO)?;
    pair.client_reaches("192.168.1.1")?;
    b.example(PAGE, "carp-follows")?;
    pair.wait_until_settled()?;
    pair.client_reaches("192.168.1.1")
}
