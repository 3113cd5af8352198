//! carptop in a real terminal, on real pairs of hosts.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Carpd, Lab, Pair, REACTION_TIMEOUT, Terminal, master_down, program, wait_until};
use rustix::process::{Pid, Signal, kill_process};

const SIZE: (u16, u16) = (120, 40);

#[test]
fn takeover_is_shown_when_the_master_is_unplugged() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    let seen = Terminal::start(&pair.b, SIZE, "")?;
    seen.wait_for(
        &["0 MASTER  1 BACKUP", "nothing wrong", "192.168.1.2 1/0"],
        Duration::ZERO,
    )?;
    let lost = Terminal::start(&pair.a, SIZE, "")?;
    lost.wait_for(&["1 MASTER", "this host"], Duration::ZERO)?;
    pair.a.host().pull("eth0")?;
    lost.wait_for(
        &[
            "1 INIT",
            "MASTER → INIT",
            "carrier lost",
            "! no carrier",
            "suppressed",
        ],
        Duration::ZERO,
    )?;
    let bound = master_down(1, 100);
    seen.wait_for(
        &["1 MASTER  0 BACKUP", "BACKUP → MASTER", "master timed out"],
        bound,
    )?;
    Ok(())
}

#[test]
fn killed_carpd_is_reported_and_found_again() -> Result<()> {
    let mut pair = Pair::with_group("192.168.1.1/24")?;
    let terminal = Terminal::start(&pair.a, SIZE, "")?;
    terminal.wait_for(&["● live", "M MASTER"], Duration::ZERO)?;
    pair.a.kill()?;
    terminal.wait_for(
        &["carpd is not running; data from", "carp0", "not live"],
        Duration::ZERO,
    )?;
    pair.a.restart()?;
    terminal.wait_for(&["● live"], Duration::ZERO)?;
    pair.a
        .carpctl("carp7 create vhid 7 pass x 192.168.1.7/24")?;
    terminal.wait_for(&["carp7"], Duration::ZERO)?;
    Ok(())
}

#[test]
fn stopped_carpd_does_not_freeze_the_screen() -> Result<()> {
    let mut pair = Pair::with_group("192.168.1.1/24")?;
    let terminal = Terminal::start(&pair.a, SIZE, "")?;
    terminal.wait_for(&["● live", "M MASTER"], Duration::ZERO)?;
    pair.a.signal(Signal::STOP)?;
    terminal.wait_for(
        &["carpd does not answer", "not live"],
        Duration::from_secs(3),
    )?;
    terminal.press(&["?"])?;
    terminal.wait_for(&["Select the interface above."], Duration::ZERO)?;
    terminal.press(&["Escape"])?;
    pair.a.signal(Signal::CONT)?;
    terminal.wait_for(&["● live"], Duration::from_secs(5))?;
    Ok(())
}

#[test]
fn master_is_forced_to_backup_only_after_confirmation() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    let terminal = Terminal::start(&pair.a, (80, 24), "")?;
    terminal.wait_for(&["M MASTER"], Duration::ZERO)?;
    terminal.press(&["b"])?;
    terminal.wait_for(
        &["force carp0 to BACKUP?", "this host gives up 192.168.1.1"],
        Duration::ZERO,
    )?;
    terminal.press(&["n"])?;
    terminal.wait_for(&["nothing changed"], Duration::ZERO)?;
    assert_eq!(pair.a.state("carp0")?, "MASTER");
    terminal.press(&["b", "y"])?;
    terminal.wait_for(&["carp0 changed", "B BACKUP"], Duration::ZERO)?;
    pair.b.wait_for_state("carp0", "MASTER", REACTION_TIMEOUT)
}

#[test]
fn command_line_is_applied_as_a_whole_or_not_at_all() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    let terminal = Terminal::start(&pair.a, SIZE, "")?;
    terminal.wait_for(&["M MASTER"], Duration::ZERO)?;
    terminal.type_in(":carp0 advs")?;
    terminal.press(&["Tab"])?;
    terminal.type_in("7 description 'the gateway'")?;
    terminal.press(&["Enter"])?;
    terminal.wait_for(
        &["carp0 advskew 7 description the gateway?"],
        Duration::ZERO,
    )?;
    terminal.press(&["y"])?;
    terminal.wait_for(&["carp0 changed", "1/7", "the gateway"], Duration::ZERO)?;
    terminal.type_in(":carp0 vhid 300")?;
    terminal.press(&["Enter"])?;
    terminal.wait_for(
        &["vhid 300: must be a number from 1 to 255"],
        Duration::ZERO,
    )?;
    Ok(())
}

#[test]
fn table_of_255_groups_is_filtered_and_paged() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "10.1.0.2/16")])?;
    let carpd = Carpd::start(&host)?;
    for vhid in 1..=255 {
        let unit = vhid - 1;
        carpd.carpctl(&format!(
            "carp{unit} create vhid {vhid} pass x 10.1.1.{unit}/16"
        ))?;
    }
    let terminal = Terminal::start(&carpd, SIZE, "")?;
    let all = terminal.wait_for(&["255 MASTER  0 BACKUP"], master_down(1, 0))?;
    ensure!(all.contains("interfaces 255"), "{all}");
    terminal.press(&["End"])?;
    terminal.wait_for(&["carp254"], Duration::ZERO)?;
    terminal.type_in("/vhid=77")?;
    let one = terminal.wait_for(&["1 of 255 with vhid=77", "carp76"], Duration::ZERO)?;
    ensure!(!one.contains("carp75 "), "{one}");
    terminal.press(&["Escape"])?;
    for (width, height) in [(80, 24), (300, 100), (200, 60)] {
        terminal.resize(width, height)?;
        wait_until(
            "the screen has the new size",
            Duration::from_secs(5),
            || {
                let screen = terminal.screen()?;
                let wide = screen.lines().map(|line| line.chars().count()).max();
                Ok((wide == Some(usize::from(width))).then_some(()))
            },
        )?;
    }
    let ticks = cpu_ticks(terminal.pid()?)?;
    let start = Instant::now();
    wait_until("five seconds at rest", Duration::from_secs(6), || {
        Ok((start.elapsed() > Duration::from_secs(5)).then_some(()))
    })?;
    let used = cpu_ticks(terminal.pid()?)? - ticks;
    println!("carptop used {used} hundredths of a second in five seconds");
    ensure!(used < 250, "{used}");
    Ok(())
}

/// Returns user and system time in clock ticks: fields 14 and 15 of proc(5)'s stat.
fn cpu_ticks(pid: i32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let times = fields.split_whitespace().skip(11).take(2);
    times.map(|time| Ok(time.parse::<u64>()?)).sum()
}

#[test]
fn terminal_is_restored_on_every_exit() -> Result<()> {
    let pair = Pair::new()?;
    for way in ["q", "C-c", "TERM", "HUP", "INT"] {
        let terminal = Terminal::start(&pair.a, (80, 24), "")?;
        terminal.wait_for(&["● live"], Duration::ZERO)?;
        assert_eq!(terminal.state("alternate_on")?, "1");
        assert_eq!(terminal.state("mouse_any_flag")?, "1");
        let signal = match way {
            "TERM" => Some(Signal::TERM),
            "HUP" => Some(Signal::HUP),
            "INT" => Some(Signal::INT),
            _ => None,
        };
        match signal {
            Some(signal) => {
                let pid = Pid::from_raw(terminal.pid()?).context("no process")?;
                kill_process(pid, signal)?;
            }
            None => terminal.press(&[way])?,
        }
        terminal
            .wait_for(&["ended 0"], Duration::ZERO)
            .context(way)?;
        assert_eq!(terminal.state("alternate_on")?, "0", "{way}");
        assert_eq!(terminal.state("mouse_any_flag")?, "0", "{way}");
        assert_eq!(terminal.state("cursor_flag")?, "1", "{way}");
        // The terminal echoes typed text and returns whole lines again.
        terminal.type_in("echoed")?;
        terminal
            .wait_for(&["echoed"], Duration::ZERO)
            .context(way)?;
    }
    Ok(())
}

#[test]
fn suspended_carptop_restores_the_terminal_and_continues() -> Result<()> {
    let pair = Pair::new()?;
    let terminal = Terminal::start(&pair.a, (80, 24), "; echo stopped; read; fg")?;
    terminal.wait_for(&["● live"], Duration::ZERO)?;
    terminal.press(&["C-z"])?;
    terminal.wait_for(&["stopped"], Duration::ZERO)?;
    assert_eq!(terminal.state("alternate_on")?, "0");
    terminal.press(&["Enter"])?;
    terminal.wait_for(&["● live"], Duration::ZERO)?;
    assert_eq!(terminal.state("alternate_on")?, "1");
    terminal.press(&["C-l"])?;
    terminal.press(&["q"])?;
    terminal.wait_for(&["ended 0"], Duration::ZERO)?;
    Ok(())
}

fn carptop(carpd: &Carpd, arguments: &str) -> Result<std::process::Output> {
    let mut command: Command = carpd.host().command(program("carptop")?);
    command.env("CARPD_BUS_ADDRESS", carpd.address());
    Ok(command.args(arguments.split_whitespace()).output()?)
}

#[test]
fn scripts_get_one_table_or_json() -> Result<()> {
    let mut pair = Pair::with_group("192.168.1.1/24")?;
    let table = String::from_utf8(carptop(&pair.a, "--once")?.stdout)?;
    let row = table.lines().nth(1).context("a row")?;
    ensure!(row.contains("carp0") && row.contains("M MASTER"), "{table}");
    ensure!(!table.contains('\u{1b}'), "colours are for terminals");
    let none = String::from_utf8(carptop(&pair.a, "--once --filter backup")?.stdout)?;
    ensure!(none.lines().count() == 1, "{none}");
    let json: serde_json::Value = serde_json::from_slice(&carptop(&pair.a, "--json")?.stdout)?;
    let state = json
        .pointer("/interfaces/0/state")
        .and_then(serde_json::Value::as_str);
    assert_eq!(state, Some("MASTER"));
    pair.a.kill()?;
    let gone = carptop(&pair.a, "--once")?;
    assert_eq!(gone.status.code(), Some(3));
    let line = String::from_utf8(gone.stderr)?;
    ensure!(
        line.starts_with("carptop: carpd is not running") && line.lines().count() == 1,
        "{line}"
    );
    Ok(())
}
