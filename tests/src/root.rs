//! New Debian 12 in a directory, as the operating system of a host.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};

use crate::programs::build_directory;
use crate::{Host, Lab};

/// Script that runs a program in the directory, with a process table and devices.
const ENTER: &str = r#"
set -e
mount -t proc proc "$0/proc"
mount --rbind /dev "$0/dev"
exec chroot "$0" "$@"
"#;

/// Root directory of one host.
#[derive(Debug)]
pub struct Root {
    host: Host,
    path: PathBuf,
}

impl Root {
    /// Creates the Debian of debootstrap with a message bus and no other dependency of carpd.
    ///
    /// Its packages come from the mirror that the machine uses, once for all tests.
    pub fn new(lab: &Lab, host: &Host) -> Result<Self> {
        let archive = archive()?;
        let path = lab.path(&format!("root-{}", host.name()));
        fs::create_dir(&path)?;
        let mut tar = Command::new("tar");
        tar.arg("--extract").arg("--file").arg(archive);
        succeeds(tar.arg("--directory").arg(&path))?;
        Ok(Self {
            host: host.clone(),
            path,
        })
    }

    /// Returns the path outside of the host's `path`.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.path.join(path.trim_start_matches('/'))
    }

    /// Returns the host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Returns a command that runs in the root directory. It has mount and process namespaces of
    /// its own, so that no process outlives it.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.host.command("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c"])
            .arg(ENTER)
            .arg(&self.path)
            .arg(program)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LC_ALL", "C.UTF-8")
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// Runs a line of words separated by blanks, which must succeed. Returns its output.
    pub fn run(&self, line: &str) -> Result<String> {
        let mut words = line.split_whitespace();
        let program = words.next().context("an empty line")?;
        succeeds(self.command(program).args(words))
            .with_context(|| format!("{}: {line}", self.host.name()))
    }
}

/// Returns the archive of the root directory. Creates it if necessary.
fn archive() -> Result<PathBuf> {
    static CREATION: Mutex<()> = Mutex::new(());
    let _guard = CREATION.lock().unwrap_or_else(PoisonError::into_inner);
    let target = build_directory()?;
    let archive = target.join("debian-12-root.tar");
    if archive.is_file() {
        return Ok(archive);
    }
    let work = tempfile::tempdir_in(&target)?;
    let root = work.path().join("root");
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", "--include=dbus", "bookworm"]);
    succeeds(debootstrap.arg(&root).arg(mirror()?))?;
    let whole = work.path().join("root.tar");
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--file").arg(&whole);
    succeeds(tar.arg("--directory").arg(&root).arg("."))?;
    fs::rename(whole, &archive)?;
    Ok(archive)
}

/// Returns the mirror of this machine's packages.
fn mirror() -> Result<String> {
    let format = "$(ORIGIN)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)";
    let mut apt = Command::new("apt-get");
    apt.args(["indextargets", "--format", format, "Created-By: Packages"]);
    let targets = succeeds(&mut apt)?;
    let mut mirrors = targets.lines().filter_map(|line| {
        let (kind, mirror) = line.rsplit_once('|')?;
        let suite = kind.strip_prefix("Debian|main|")?;
        (!suite.contains('-')).then(|| mirror.to_owned())
    });
    mirrors
        .next()
        .context("this machine has no Debian mirror: apt-get indextargets names none")
}

/// Runs a command, which must succeed. Returns its output.
pub fn succeeds(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{stdout}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(stdout)
}
