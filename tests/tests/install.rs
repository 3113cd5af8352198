//! `make install` and `make uninstall`: what goes where, and that systemd understands it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use carp_tests::program;

/// Everything that is installed, with its mode.
const INSTALLED: &[(&str, u32)] = &[
    ("etc/carpd/rc.conf", 0o600),
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

/// Every file below `root` with its mode, manual pages apart.
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
fn what_is_installed_is_complete_and_can_be_taken_away_again() -> Result<()> {
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

    // A configuration that is there is nobody's to change.
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
    // It looks for the programs, which are not where they will be.
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
    succeeds("systemd-analyze verify", &output)
}
