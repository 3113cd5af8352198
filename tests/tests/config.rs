//! rc.conf and sysctl.conf: read at the start, saved, and reloaded while groups run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use carp_tests::{Capture, Carpd, Lab, MARGIN, Pair, master_down, program, wait_until};
use rustix::process::Signal;

/// Configuration copied from a BSD host, with a mistake in it.
const FROM_BSD: &str = r#"# The gateway.
hostname="gw1.example.org"
ifconfig_em0="inet 192.168.1.2 netmask 255.255.255.0"
cloned_interfaces="lo1 carp0 carp1"
cloned_interfaces="${cloned_interfaces} carp2"
ifconfig_carp0="vhid 1 pass mekmitasdigoat \
    192.168.1.1 netmask 0xffffff00"  # the group
ifconfig_carp0_alias0="inet 192.168.1.11/32"
ifconfig_carp1="vhid 2 advskew 300 192.168.1.12/24"
ifconfig_carp2="vhid 3 carpdev eth9 10.0.9.1/24"
pf_enable="YES"
"#;

#[test]
fn bsd_configuration_starts_and_a_mistake_is_named_with_its_line() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let sysctl = "net.inet.carp.preempt=1\nkern.ipc.maxsockbuf=16777216\n";
    let carpd = Carpd::start_configured(&host, FROM_BSD, sysctl)?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    let addresses = host.addresses()?;
    for address in ["192.168.1.1/24", "192.168.1.11/32"] {
        ensure!(addresses.contains(address), "{address} in\n{addresses}");
    }
    assert_eq!(carpd.carpctl("sysctl -n net.inet.carp.preempt")?, "1\n");
    assert_eq!(carpd.carpctl("-l")?, "carp0 carp2\n");
    let fault = format!(
        "{}:9: ifconfig_carp1: advskew 300: must be a number from 0 to 254",
        carpd.config("rc.conf").display()
    );
    carpd.wait_for_log(&fault)?;

    // The physical interface of carp2 comes later.
    assert_eq!(carpd.state("carp2")?, "INIT");
    host.run("ip link add eth9 type veth peer name peer9")?;
    host.run("ip link set peer9 up")?;
    host.run("ip address add 10.0.9.2/24 dev eth9")?;
    host.run("ip link set eth9 up")?;
    carpd.wait_for_state("carp2", "MASTER", master_down(1, 0))
}

#[test]
fn saved_configuration_returns_at_the_next_start() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24 2001:db8:1::2/64")])?;
    let comment = "# Ours.\nhostname=\"gw1\"\n";
    let mut carpd = Carpd::start_configured(&host, comment, "")?;
    carpd.carpctl("carp0 create")?;
    carpd.carpctl("carp0 vhid 1 pass pa$$'word\"` advskew 7 192.168.1.1/24")?;
    carpd.carpctl("carp0 inet6 2001:db8:1::1/64 192.168.1.11/32 carpdev eth0")?;
    carpd.carpctl("carp5 create vhid 5 advbase 3 down 192.168.1.5/24 lladdr parent")?;
    carpd.carpctl("sysctl net.inet.carp.preempt=1 net.inet.carp.log=2")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 7))?;
    let shown = |carpd: &Carpd| -> Result<_> {
        Ok((
            carpd.carpctl("-a")?,
            carpd.carpctl("carp0 --show-pass")?,
            carpd.carpctl("sysctl -a")?,
        ))
    };
    let before = shown(&carpd)?;
    carpd.carpctl("save")?;
    for file in ["rc.conf", "sysctl.conf"] {
        let mode = fs::metadata(carpd.config(file))?.permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{file}");
    }
    let saved = fs::read_to_string(carpd.config("rc.conf"))?;
    ensure!(saved.starts_with(comment), "{saved}");

    ensure!(carpd.stop()?.success());
    carpd.restart()?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 7))?;
    assert_eq!(shown(&carpd)?, before);
    // No difference, so carpctl writes nothing.
    carpd.carpctl("save")?;
    assert_eq!(fs::read_to_string(carpd.config("rc.conf"))?, saved);
    Ok(())
}

#[test]
fn reload_changes_only_differences_and_delays_no_advertisement() -> Result<()> {
    let mut pair = Pair::with_group("192.168.1.1/24")?;
    pair.a.carpctl("save")?;
    let group = fs::read_to_string(pair.a.config("rc.conf"))?;
    let before = [
        pair.a.interface("carp0")?.last_transition,
        pair.b.interface("carp0")?.last_transition,
    ];
    let mut wire = Capture::sent_by(pair.a.host(), "eth0")?;
    for skew in 1..=10 {
        let other = format!(
            "cloned_interfaces=\"${{cloned_interfaces}} carp1\"\n\
             ifconfig_carp1=\"vhid 2 advskew {skew} 192.168.2.1/24\"\n"
        );
        fs::write(pair.a.config("rc.conf"), format!("{group}{other}"))?;
        pair.a.carpctl("reload")?;
        let shown = pair.a.carpctl("carp1")?;
        ensure!(shown.contains(&format!("advskew {skew}\n")), "{shown}");
    }
    pair.a
        .wait_for_state("carp1", "MASTER", master_down(1, 10))?;
    // SIGHUP reloads too; carp1 is no longer configured.
    fs::write(pair.a.config("rc.conf"), &group)?;
    pair.a.signal(Signal::HUP)?;
    wait_until("carp1 is gone", MARGIN, || {
        Ok((pair.a.carpctl("-l")? == "carp0\n").then_some(()))
    })?;
    pair.a.wait_for_counter("carp0", "opackets", 2)?;
    // One a second, neither late nor early.
    let frames = wire.stop()?;
    let advertised = frames.iter().filter(|frame| {
        let advertisement = frame.advertisement();
        advertisement.is_some_and(|advertisement| advertisement.vhid == 1)
    });
    let times: Vec<u64> = advertised.map(|frame| frame.time).collect();
    ensure!(times.len() >= 5, "{times:?}");
    for pair in times.windows(2) {
        let gap = pair[1] - pair[0];
        ensure!((800_000..1_500_000).contains(&gap), "{times:?}");
    }
    let after = [
        pair.a.interface("carp0")?.last_transition,
        pair.b.interface("carp0")?.last_transition,
    ];
    assert_eq!(after, before);
    pair.a.check_alive()
}

#[test]
fn reload_of_faulty_files_names_the_fault_and_changes_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let good = "cloned_interfaces=carp0\nifconfig_carp0=\"vhid 1 192.168.1.1/24\"\n";
    let carpd = Carpd::start_configured(&host, good, "")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    let before = carpd.carpctl("-a")?;
    let bad = "cloned_interfaces=carp9\nifconfig_carp9=\"vhid 9 pass $(reboot) 192.168.1.9/24\"\n";
    fs::write(carpd.config("rc.conf"), bad)?;
    let file = carpd.config("rc.conf");
    let file = file.display();
    let fault = format!("{file}:2: nothing is executed here: write what the command would print\n");
    let reload = carpd.try_carpctl("reload")?;
    assert_eq!(
        (reload.code, reload.stderr),
        (1, format!("carpctl: {fault}"))
    );
    // carpctl does not save over faulty files either.
    let save = carpd.try_carpctl("save")?;
    ensure!(save.code == 1 && save.stderr.contains(&fault), "{save:?}");
    assert_eq!(fs::read_to_string(carpd.config("rc.conf"))?, bad);
    assert_eq!(carpd.carpctl("-a")?, before);

    // `check` reports the same without carpd.
    let check = carpd.try_carpctl(&format!("check {file}"))?;
    assert_eq!((check.code, check.stderr), (1, fault));
    fs::write(carpd.config("rc.conf"), good)?;
    let directory = carpd.config("").display().to_string();
    let check = host
        .command(program("carpd")?)
        .args(["--check", "--config-dir", &directory])
        .output()?;
    ensure!(
        check.status.success() && check.stderr.is_empty(),
        "{check:?}"
    );
    Ok(())
}

#[test]
fn full_or_read_only_disk_keeps_the_old_files() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let old = "cloned_interfaces=carp0\nifconfig_carp0=\"vhid 1 192.168.1.1/24\"\n";
    let carpd = Carpd::start_configured(&host, old, "")?;
    let directory = carpd.config("").display().to_string();
    // carpd has a mount namespace of its own.
    let seen = format!(
        "/proc/{}/root{}",
        carpd.id(),
        carpd.config("rc.conf").display()
    );
    let mount = |line: &str| -> Result<()> {
        let id = carpd.id().to_string();
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &id, "sh", "-ec", line]);
        ensure!(command.status()?.success(), "{line}");
        Ok(())
    };
    carpd.carpctl("carp0 advskew 100")?;

    mount(&format!("mount --bind {directory} {directory}"))?;
    mount(&format!("mount -o remount,ro,bind {directory}"))?;
    let save = carpd.try_carpctl("save")?;
    assert_eq!(
        (save.code, save.stderr),
        (
            1,
            format!("carpctl: cannot save {directory}rc.conf: Read-only file system\n")
        )
    );
    assert_eq!(fs::read_to_string(&seen)?, old);

    // One page, which the old file occupies.
    mount(&format!(
        "mount -t tmpfs -o size=4k none {directory}; printf '%s' '{old}' >{directory}rc.conf"
    ))?;
    let save = carpd.try_carpctl("save")?;
    assert_eq!(
        (save.code, save.stderr),
        (
            1,
            format!("carpctl: cannot save {directory}rc.conf: No space left on device\n")
        )
    );
    assert_eq!(fs::read_to_string(&seen)?, old);
    let left = fs::read_dir(Path::new(&seen).with_file_name(""))?.count();
    assert_eq!(left, 1, "something is left behind");
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 100))
}
