//! A carpd that is killed, or told to keep its addresses, and returns: no other host notices.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use carp_dbus::{Client, Settings};
use carp_tests::{
    Capture, Carpd, Family, Lab, MARGIN, Pair, Ping, REACTION_TIMEOUT, master_down, program,
    wait_until,
};
const ADDRESS: &str = "192.168.1.1";
const ADDRESSES: &str = "192.168.1.1/24 2001:db8:1::1/64";

/// Number of advertisements after which a new MASTER has sent its last announcements, also with
/// `lladdr parent`, where it announces for as long as a lease lasts.
const SETTLED_ADVERTISEMENTS: u64 = 7;
/// One every two seconds.
const SETTLED_TIME: Duration = Duration::from_secs(14);

/// Makes a pair with leases of six seconds: a busy machine is slow to start a program.
fn slow_pair() -> Result<Pair> {
    let pair = Pair::with_group(ADDRESSES)?;
    for carpd in [&pair.a, &pair.b] {
        carpd.carpctl("carp0 advbase 2")?;
    }
    Ok(pair)
}

/// Asserts that A is MASTER before and after, and that neither the client nor B nor a third host
/// sees anything of `event`.
fn unnoticed(pair: &mut Pair, event: impl FnOnce(&mut Carpd) -> Result<()>) -> Result<()> {
    // A new MASTER has sent its last announcements.
    wait_until("A has settled", SETTLED_TIME, || {
        Ok((pair.a.counter("carp0", "opackets")? >= SETTLED_ADVERTISEMENTS).then_some(()))
    })?;
    let changes = pair.b.counter("carp0", "ostates")?;
    let mut capture = Capture::on_segment(&pair.lab, "lan")?;
    let ping = Ping::start(&pair.client, ADDRESS)?;
    event(&mut pair.a)?;
    assert_eq!(pair.a.state("carp0")?, "MASTER", "{}", pair.a.log()?);
    // Longer than B waits.
    pair.a.wait_for_counter("carp0", "opackets", 5)?;
    ping.wait_for_reply_after(SystemTime::now(), MARGIN)?;
    assert_eq!(ping.lost()?, 0, "requests without an answer");
    let transition = pair.a.interface("carp0")?.last_transition;
    let transition = transition.context("no transition")?;
    assert_eq!(transition.reason, "resumed");
    assert_eq!(pair.b.state("carp0")?, "BACKUP");
    assert_eq!(pair.b.counter("carp0", "ostates")?, changes);
    assert_eq!(pair.b.counter("carp0", "badauth")?, 0);

    let mut last: BTreeMap<(u8, bool), u64> = BTreeMap::new();
    let mut seen = 0;
    for frame in capture.stop()? {
        ensure!(
            frame
                .arp()
                .is_none_or(|arp| arp.sender != arp.target || arp.target.to_string() != ADDRESS),
            "no announcement is needed: {frame:?}"
        );
        let Some(advertisement) = frame.advertisement() else {
            continue;
        };
        let v4 = advertisement.family == Family::V4;
        let from_a = !v4 || advertisement.source.to_string() == "192.168.1.2";
        ensure!(from_a && !advertisement.is_bow_out(), "{advertisement:?}");
        let before = last
            .insert((advertisement.vhid, v4), advertisement.counter)
            .unwrap_or_default();
        ensure!(advertisement.counter > before, "{advertisement:?}");
        seen += 1;
    }
    ensure!(seen >= 8, "{seen} advertisements of both families");
    Ok(())
}

#[test]
fn killed_master_that_returns_stays_master_unnoticed() -> Result<()> {
    let mut pair = slow_pair()?;
    // Set, but not saved to rc.conf.
    pair.a.carpctl("carp0 description unsaved")?;
    pair.a.carpctl("sysctl net.inet.carp.log=2")?;
    unnoticed(&mut pair, |a| {
        saved(a, "log 2")?;
        a.kill()?;
        a.restart()
    })?;
    pair.a.wait_for_log("rc.conf was not read")?;
    ensure!(pair.a.carpctl("carp0 --json")?.contains("unsaved"));
    assert_eq!(pair.a.carpctl("sysctl -n net.inet.carp.log")?.trim(), "2");
    pair.client_reaches("2001:db8:1::1")
}

#[test]
fn sigusr2_keeps_addresses_for_the_next_program() -> Result<()> {
    let mut pair = slow_pair()?;
    let other = pair.lab.path("carpd-of-tomorrow");
    fs::copy(program("carpd")?, &other)?;
    unnoticed(&mut pair, |a| {
        assert_eq!(a.keep()?.code(), Some(75));
        a.replace(other, "--keep");
        a.restart()
    })?;
    // This one was started with --keep: any stop keeps everything.
    unnoticed(&mut pair, |a| {
        ensure!(a.stop()?.success(), "{}", a.log()?);
        a.restart()
    })
}

#[test]
fn restart_is_accepted_by_peers_in_strict_replay_mode() -> Result<()> {
    let mut pair = slow_pair()?;
    for carpd in [&pair.a, &pair.b] {
        carpd.carpctl("sysctl net.inet.carp.replay=2")?;
    }
    pair.a.wait_for_counter("carp0", "opackets", 2)?;
    unnoticed(&mut pair, |a| {
        saved(a, "replay 2")?;
        a.kill()?;
        a.restart()
    })?;
    // The same for the host that listens.
    saved(&pair.b, "replay 2")?;
    pair.b.kill()?;
    pair.b.restart()?;
    pair.a.wait_for_counter("carp0", "opackets", 5)?;
    assert_eq!(pair.b.state("carp0")?, "BACKUP");
    assert_eq!(pair.b.counter("carp0", "badauth")?, 0);
    Ok(())
}

#[test]
fn many_interfaces_stay_master_over_a_restart() -> Result<()> {
    const COUNT: u8 = 40;
    let mut pair = slow_pair()?;
    for number in 2..=COUNT {
        let place = if number % 2 == 0 { 1 } else { 2 };
        pair.a.carpctl(&format!(
            "carp{number} create vhid {number} advbase 2 192.168.{place}.{}/24",
            100 + number
        ))?;
    }
    let masters = |carpd: &Carpd| -> Result<usize> {
        let text = carpd.carpctl("-a")?;
        Ok(text
            .lines()
            .filter(|line| line.contains("carp: MASTER"))
            .count())
    };
    let all = usize::from(COUNT);
    wait_until("all are MASTER", master_down(2, 0) + MARGIN, || {
        Ok((masters(&pair.a)? == all).then_some(()))
    })?;
    unnoticed(&mut pair, |a| {
        saved(a, "interface carp40")?;
        a.kill()?;
        a.restart()?;
        assert_eq!(masters(a)?, all, "{}", a.log()?);
        Ok(())
    })
}

#[test]
fn damaged_state_is_set_aside_and_rc_conf_is_used() -> Result<()> {
    let mut pair = slow_pair()?;
    let state = pair.a.run_directory().join("state");
    saved(&pair.a, "advbase 2")?;
    pair.a.kill()?;
    let text = fs::read_to_string(&state)?;
    fs::write(&state, text.replace("advbase 2", "advbase 0"))?;
    pair.a.restart()?;
    pair.a.wait_for_log("checksum is wrong")?;
    ensure!(pair.a.log()?.contains("WARN"));
    ensure!(state.with_file_name("state.refused").exists());
    wait_until("the devices left behind are removed", MARGIN, || {
        let links = pair.a.host().run("ip -o link show")?;
        Ok((!links.contains("carp0")).then_some(()))
    })?;
    ensure!(
        pair.a.try_carpctl("carp0")?.code != 0,
        "rc.conf has no carp0"
    );
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(2, 100))?;
    // Other programs may have written the file.
    saved(&pair.b, "state MASTER")?;
    pair.b.kill()?;
    fs::set_permissions(
        pair.b.run_directory().join("state"),
        Permissions::from_mode(0o666),
    )?;
    pair.b.restart()?;
    pair.b.wait_for_log("by others (mode 0666)")
}

#[test]
fn master_that_returns_after_its_lease_becomes_backup() -> Result<()> {
    let mut pair = slow_pair()?;
    saved(&pair.a, "state MASTER")?;
    pair.a.kill()?;
    let host = pair.a.host().clone();
    wait_until(
        "the kernel drops the address",
        master_down(2, 0) + MARGIN,
        || Ok((!host.addresses()?.contains(ADDRESS)).then_some(())),
    )?;
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(2, 100))?;
    pair.a.restart()?;
    pair.a.wait_for_log("still MASTER: 0")?;
    let transition = pair.a.interface("carp0")?.last_transition;
    let transition = transition.context("no transition")?;
    assert_eq!(
        (transition.from.as_str(), transition.to.as_str()),
        ("INIT", "BACKUP")
    );
    pair.client_reaches(ADDRESS)
}

#[test]
fn rc_conf_overrides_state_after_a_reload_or_a_clean_stop() -> Result<()> {
    let mut pair = slow_pair()?;
    let rc_conf = pair.a.config("rc.conf");
    fs::write(
        &rc_conf,
        "ifconfig_carp7=\"create vhid 7 192.168.1.7/24\"\n",
    )?;
    fs::set_permissions(&rc_conf, Permissions::from_mode(0o600))?;
    unnoticed(&mut pair, |a| {
        a.kill()?;
        a.restart()?;
        ensure!(a.try_carpctl("carp7")?.code != 0, "the file was read");
        Ok(())
    })?;
    pair.a.carpctl("reload")?;
    pair.a
        .wait_for_state("carp7", "MASTER", master_down(1, 0))?;
    ensure!(pair.a.try_carpctl("carp0")?.code != 0);
    pair.a.carpctl("carp8 create vhid 8 192.168.1.8/24")?;
    ensure!(pair.a.stop()?.success());
    ensure!(!pair.a.run_directory().join("state").exists());
    pair.a.restart()?;
    pair.a
        .wait_for_state("carp7", "MASTER", master_down(1, 0))?;
    ensure!(pair.a.try_carpctl("carp8")?.code != 0, "it was never saved");
    Ok(())
}

#[test]
fn full_run_directory_keeps_the_old_state_and_is_logged() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let mut carpd = Carpd::start(&host)?;
    let run = carpd.run_directory();
    carpd.stop()?;
    let _mounted = Tmpfs::mount(&run)?;
    carpd.restart()?;
    carpd.carpctl("carp0 create")?;
    carpd.carpctl(&format!("carp0 vhid 1 advbase 2 advskew 6 {ADDRESS}/24"))?;
    carpd.wait_for_state("carp0", "MASTER", master_down(2, 6))?;
    saved(&carpd, "state MASTER")?;
    let [state, ballast] = ["state", "ballast"].map(|name| run.join(name));
    ensure!(
        fs::write(&ballast, vec![0; Tmpfs::SIZE]).is_err(),
        "it is not full"
    );
    let old = fs::read_to_string(&state)?;
    let said = format!("cannot write {}: No space left on device", state.display());

    carpd.carpctl("carp0 advskew 7")?;
    carpd.wait_for_log(&said)?;
    carpd.carpctl("carp0 advskew 8")?;
    // Longer than carpd waits before it tries again.
    carpd.wait_for_counter("carp0", "opackets", 3)?;
    assert_eq!(carpd.log()?.matches(&said).count(), 1, "it is logged once");
    assert_eq!(fs::read_to_string(&state)?, old);
    assert_eq!(left_behind(&run)?, Vec::<String>::new());

    // After a kill, it resumes from the last file written, whose state is still right.
    carpd.kill()?;
    carpd.restart()?;
    assert_eq!(carpd.state("carp0")?, "MASTER");
    ensure!(carpd.carpctl("carp0")?.contains("advskew 6"));
    carpd.carpctl("carp0 advskew 9")?;
    carpd.wait_for_log(&said)?;
    fs::remove_file(&ballast)?;
    carpd.wait_for_log("is up to date again")?;
    ensure!(fs::read_to_string(&state)?.contains("advskew 9"));
    assert_eq!(left_behind(&run)?, Vec::<String>::new());
    Ok(())
}

/// Returns the files beside run-time state that carpd should have removed.
fn left_behind(run: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(run)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.contains("state") && name != "state" {
            names.push(name);
        }
    }
    Ok(names)
}

#[test]
fn renamed_interface_is_kept_unless_selected_by_name() -> Result<()> {
    let mut pair = slow_pair()?;
    saved(&pair.a, "state MASTER")?;
    // Found by subnet: the name does not matter.
    unnoticed(&mut pair, |a| {
        a.kill()?;
        a.host().run("ip link set eth0 name lan0")?;
        a.restart()
    })?;
    ensure!(pair.a.carpctl("carp0")?.contains("carpdev: lan0"));

    // Selected by name: the old interface's device and addresses go.
    pair.a.carpctl("carp0 carpdev lan0")?;
    saved(&pair.a, "carpdev ")?;
    pair.a.wait_for_state("carp0", "MASTER", Duration::ZERO)?;
    pair.a.kill()?;
    pair.a.host().run("ip link set lan0 name eth0")?;
    pair.a.restart()?;
    assert_eq!(pair.a.state("carp0")?, "INIT");
    pair.a.wait_for_log("lan0: is gone")?;
    wait_until("A has no virtual address", MARGIN, || {
        Ok((!pair.a.host().addresses()?.contains(ADDRESS)).then_some(()))
    })?;
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(2, 100))?;
    pair.client_reaches(ADDRESS)?;
    pair.a.host().run("ip link set eth0 name lan0")?;
    pair.a.wait_for_state("carp0", "BACKUP", Duration::ZERO)
}

#[test]
fn missing_physical_interface_is_waited_for() -> Result<()> {
    let mut pair = slow_pair()?;
    saved(&pair.a, "state MASTER")?;
    pair.a.kill()?;
    pair.a.host().run("ip link delete eth0")?;
    pair.a.restart()?;
    assert_eq!(pair.a.state("carp0")?, "INIT");
    pair.lab.replace_cable(&pair.a.host().clone(), "lan")?;
    pair.a
        .host()
        .run("ip address add 192.168.1.2/24 dev eth0")?;
    wait_until("one MASTER", master_down(2, 100) + MARGIN, || {
        let mut states = [pair.a.state("carp0")?, pair.b.state("carp0")?];
        states.sort_unstable();
        Ok((states == ["BACKUP", "MASTER"]).then_some(()))
    })?;
    pair.client_reaches(ADDRESS)
}

#[test]
fn lladdr_parent_keeps_the_addresses_over_a_restart() -> Result<()> {
    let mut pair = Pair::new()?;
    for (carpd, skew) in [(&pair.a, 0), (&pair.b, 100)] {
        carpd.carpctl(&format!(
            "carp0 create vhid 1 lladdr parent advbase 2 advskew {skew} {ADDRESSES}"
        ))?;
    }
    pair.a
        .wait_for_state("carp0", "MASTER", master_down(2, 0))?;
    pair.b.wait_for_state("carp0", "BACKUP", Duration::ZERO)?;
    unnoticed(&mut pair, |a| {
        saved(a, "lladdr parent")?;
        a.kill()?;
        a.restart()
    })
}

#[test]
fn acknowledged_changes_survive_kill_9_at_once() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let mut a = Carpd::start(&host)?;
    a.carpctl(&format!("carp0 create vhid 1 advbase 2 {ADDRESSES}"))?;
    a.wait_for_state("carp0", "MASTER", master_down(2, 0))?;

    // Many calls in a short time, so that the last one follows a write of the file.
    changed_and_killed(&mut a, async |client| {
        client.create("carp1", Settings::default()).await?;
        for window in 61..=80 {
            let name = "net.inet.carp.replay_window";
            client.sysctl_set(name, window).await?;
        }
        client.create("carp2", Settings::default()).await?;
        client.save().await
    })?;
    assert_eq!(a.state("carp0")?, "MASTER", "{}", a.log()?);
    for name in ["carp1", "carp2"] {
        assert_eq!(a.state(name)?, "INIT");
    }
    let window = a.carpctl("sysctl -n net.inet.carp.replay_window")?;
    assert_eq!(window.trim(), "80");

    changed_and_killed(&mut a, async |client| {
        client.destroy("carp1").await?;
        client.destroy("carp2").await
    })?;
    assert_eq!(a.carpctl("-l")?.trim(), "carp0");

    // The transition itself is no request.
    a.carpctl("carp0 down")?;
    a.carpctl("carp0 up")?;
    a.wait_for_state("carp0", "MASTER", master_down(2, 0))?;
    wait_until("the address is up", REACTION_TIMEOUT, || {
        Ok(host.addresses()?.contains(ADDRESS).then_some(()))
    })?;
    a.kill()?;
    a.restart()?;
    assert_eq!(a.state("carp0")?, "MASTER", "{}", a.log()?);
    a.check_alive()
}

/// Kills carpd as soon as it has answered, and starts it again.
fn changed_and_killed(
    carpd: &mut Carpd,
    change: impl AsyncFnOnce(&Client) -> Result<(), carp_dbus::Error>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let address = carpd.address();
    runtime.block_on(async {
        let client = Client::connect_to(&address).await?;
        anyhow::Ok(change(&client).await?)
    })?;
    carpd.kill()?;
    carpd.restart()
}

/// Waits until run-time state contains `text`.
fn saved(carpd: &Carpd, text: &str) -> Result<()> {
    let state = carpd.run_directory().join("state");
    wait_until(&format!("{text} is saved"), MARGIN, || {
        Ok(fs::read_to_string(&state)?.contains(text).then_some(()))
    })
}

/// A small file system, which is unmounted when the guard is dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    const SIZE: usize = 64 << 10;

    fn mount(path: &Path) -> Result<Self> {
        let options = format!("size={},mode=700", Self::SIZE);
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &options, "none"])
            .arg(path);
        ensure!(mount.status()?.success(), "cannot mount {}", path.display());
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
