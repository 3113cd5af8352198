//! A fresh Debian 12 in a directory, as the operating system of a host.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};

use crate::programs::build_directory;
use crate::{Host, Lab};

/// Gives a program a process table and devices, and the directory for its root.
const ENTER: &str = r#"
set -e
mount -t proc proc "$0/proc"
mount --rbind /dev "$0/dev"
exec chroot "$0" "$@"
"#;

/// The root directory of one host.
#[derive(Debug)]
pub struct Root {
    host: Host,
    path: PathBuf,
}

impl Root {
    /// Debian as debootstrap makes it, with a message bus: nothing else that carpd asks for.
    ///
    /// It comes from the mirror that the machine itself uses, once for all tests.
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

    /// Where the host's `path` is outside.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.path.join(path.trim_start_matches('/'))
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// A command that runs in the root, in namespaces of its own for mounts and processes: nothing
    /// that it starts outlives it.
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

    /// Runs a line of words separated by blanks, which must succeed, and gives what it printed.
    pub fn run(&self, line: &str) -> Result<String> {
        let mut words = line.split_whitespace();
        let program = words.next().context("an empty line")?;
        succeeds(self.command(program).args(words))
            .with_context(|| format!("{}: {line}", self.host.name()))
    }
}

/// The root as an archive, made if it is not there.
fn archive() -> Result<PathBuf> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
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

/// Where this machine's own packages come from.
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

/// Runs a command to its end, and gives what it printed.
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
