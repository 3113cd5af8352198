//! `make install` and `make uninstall`: the files, and the units in systemd's eyes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Bus, Lab, program, wait_until};

/// Every installed file with its mode.
const INSTALLED: &[(&str, u32)] = &[
    ("etc/carpd/rc.conf", 0o600),
    ("etc/carpd/sysctl.conf", 0o644),
    ("usr/lib/systemd/system/carp-master@.target", 0o644),
    ("usr/lib/systemd/system/carpd.service", 0o644),
    ("usr/sbin/carpctl", 0o755),
    ("usr/sbin/carpd", 0o755),
    ("usr/share/bash-completion/completions/carpctl.bash", 0o644),
    (
        "usr/share/dbus-1/interfaces/org.carpd1.Interface.xml",
        0o644,
    ),
    ("usr/share/dbus-1/interfaces/org.carpd1.Manager.xml", 0o644),
    ("usr/share/dbus-1/interfaces/org.carpd1.Sysctl.xml", 0o644),
    ("usr/share/dbus-1/system-services/org.carpd1.service", 0o644),
    ("usr/share/dbus-1/system.d/org.carpd1.conf", 0o644),
    ("usr/share/fish/vendor_completions.d/carpctl.fish", 0o644),
    ("usr/share/polkit-1/actions/org.carpd1.policy", 0o644),
    ("usr/share/zsh/vendor-completions/_carpctl", 0o644),
];

fn make(target: &str, root: &Path) -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let carpd = program("carpd")?;
    program("carpctl")?;
    let built = carpd.parent().context("a program is in a directory")?;
    let output = Command::new("make")
        .args(["--silent", "--no-print-directory", target])
        .arg(format!("DESTDIR={}", root.display()))
        .arg(format!("BUILD={}", built.display()))
        .current_dir(workspace)
        .output()?;
    succeeds(target, &output)
}

fn succeeds(what: &str, output: &Output) -> Result<()> {
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && text.is_empty(), "{what}: {text}");
    Ok(())
}

/// Returns every file below `root` with its mode, and apart from them the manual pages.
fn files(root: &Path) -> Result<(BTreeMap<PathBuf, u32>, Vec<String>)> {
    let (mut files, mut pages) = (BTreeMap::new(), Vec::new());
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.strip_prefix(root)?.to_owned();
            if path.is_dir() {
                directories.push(path);
            } else if name.starts_with("usr/share/man") {
                pages.push(name.display().to_string());
            } else {
                let mode = fs::metadata(&path)?.permissions().mode();
                files.insert(name, mode & 0o7777);
            }
        }
    }
    pages.sort();
    Ok((files, pages))
}

#[test]
fn make_install_is_complete_and_uninstall_removes_it() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let root = directory.path();
    make("install", root)?;
    let (found, pages) = files(root)?;
    for (name, mode) in INSTALLED {
        assert_eq!(found.get(Path::new(name)), Some(mode), "{name}");
    }
    for page in ["man5/carpd.rc.conf.5", "man8/carpctl.8", "man8/carpd.8"] {
        let page = format!("usr/share/man/{page}");
        ensure!(pages.contains(&page), "{page} in {pages:?}");
    }

    // An existing configuration stays unchanged.
    let config = root.join("etc/carpd/rc.conf");
    fs::write(&config, "cloned_interfaces=\"carp0\"\n")?;
    make("install", root)?;
    make("uninstall", root)?;
    let (left, pages) = files(root)?;
    let left: Vec<_> = left.into_keys().collect();
    assert_eq!(left, [Path::new("etc/carpd/rc.conf")]);
    ensure!(pages.is_empty(), "{pages:?}");
    assert_eq!(fs::read_to_string(config)?, "cloned_interfaces=\"carp0\"\n");
    Ok(())
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let root = directory.path();
    make("install", root)?;
    // systemd-analyze looks for the programs, which are not in their final directory here.
    let programs = root.join("usr/sbin/");
    let units = ["carpd.service", "carp-master@.target"].map(|name| root.join(name));
    for unit in &units {
        let name = unit.file_name().context("a unit has a name")?;
        let text = fs::read_to_string(root.join("usr/lib/systemd/system").join(name))?;
        let text = text.replace("/usr/sbin/", &programs.display().to_string());
        fs::write(unit, text)?;
    }
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(&units)
        .output()?;
    succeeds("systemd-analyze verify", &output)?;
    // In tenths: 2.0 at most.
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold=20"])
        .args(&units[..1])
        .output()?;
    let report = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "it is too exposed:\n{report}");
    Ok(())
}

/// Returns the system calls of a set and of the sets in it.
fn system_calls(set: &str) -> Result<BTreeSet<String>> {
    let output = Command::new("systemd-analyze")
        .args(["syscall-filter", "--no-pager", set])
        .output()?;
    succeeds(set, &output)?;
    let text = String::from_utf8(output.stdout)?;
    let mut calls = BTreeSet::new();
    for word in text.lines().skip(1).map(str::trim) {
        if word.starts_with('@') {
            calls.append(&mut system_calls(word)?);
        } else if !word.is_empty() && !word.starts_with('#') {
            calls.insert(word.to_owned());
        }
    }
    Ok(calls)
}

#[test]
fn unit_allows_every_system_call_of_carpd() -> Result<()> {
    let unit = include_str!("../../carpd/carpd.service");
    let mut allowed = BTreeSet::new();
    for set in unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
    {
        match set.strip_prefix('~') {
            None => allowed.append(&mut system_calls(set)?),
            Some(set) => {
                let refused = system_calls(set)?;
                allowed.retain(|call| !refused.contains(call));
            }
        }
    }
    let lab = Lab::new()?;
    let bus = Bus::start(&lab)?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24 2001:db8::2/64")])?;
    let (trace, etc, run) = (lab.path("trace"), lab.path("etc"), lab.path("run"));
    fs::create_dir_all(etc.join("hooks.d"))?;
    let hook = etc.join("hooks.d/tell");
    fs::write(&hook, "#!/bin/sh\necho told $CARP_TO\n")?;
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
    // carpd runs as a child of strace, so that the signal that ends it reaches carpd itself.
    let mut command = host.command("strace");
    command.args(["-f", "-D", "-q", "-o"]).arg(&trace);
    command.arg(program("carpd")?).arg("--config-dir").arg(&etc);
    command.arg("--run-dir").arg(&run);
    command.args(["--bus", bus.address()]);
    let mut carpd = host.spawn("carpd", command)?;
    let bound = Duration::from_secs(20);
    carpd.wait_for_log(" is ready on ", bound)?;
    carpd.wait_for_log("org.carpd1 is on", bound)?;
    for line in [
        "carp0 create",
        "carp0 vhid 1 pass secret 192.168.1.1/24 2001:db8::1/64",
        "sysctl net.inet.carp.arpbalance=1",
        "carp0 state master",
        "save",
        "reload",
        "carp0 down",
        "carp0 --show-pass",
        "carp0 destroy",
    ] {
        let mut carpctl = host.command(program("carpctl")?);
        carpctl.env(
            "CARPD_BUS_ADDRESS",
            format!("unix:path={}/bus", run.display()),
        );
        let output = carpctl.args(line.split(' ')).output()?;
        succeeds(line, &output)?;
    }
    carpd.wait_for_log("hook tell: told MASTER", bound)?;
    ensure!(carpd.terminate(bound)?.success());
    let trace = wait_until("the trace ends", bound, || {
        let text = fs::read_to_string(&trace)?;
        Ok(text.trim_end().ends_with("+++").then_some(text))
    })?;
    // `1234  name(arguments) = result`; a line of another form continues such a one.
    let called: BTreeSet<&str> = trace
        .lines()
        .filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('))
        .map(|(name, _)| name)
        .filter(|name| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
        .collect();
    ensure!(
        called.contains("execve") && called.contains("sendmsg"),
        "{called:?}"
    );
    let refused: Vec<&&str> = called
        .iter()
        .filter(|call| !allowed.contains(**call))
        .collect();
    ensure!(refused.is_empty(), "the unit refuses {refused:?}");
    Ok(())
}
