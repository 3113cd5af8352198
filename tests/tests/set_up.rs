//! What `make demo` and `make test` report of a machine that lacks something.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Lab, succeeds};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    fs::create_dir_all(path.parent().context("a directory")?)?;
    fs::write(path, text)?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(())
}

/// Runs `check-machine rust` where cargo is this script.
fn check_rust(lab: &Lab, cargo: &str, user: &str) -> Result<Output> {
    let directory = lab.path("bin");
    write(&directory.join("cargo"), cargo, 0o755)?;
    let path = format!("{}:{}", directory.display(), std::env::var("PATH")?);
    let mut check = Command::new(script("check-machine"));
    check.arg("rust").env("PATH", path).env("SUDO_USER", user);
    Ok(check.output()?)
}

/// The one line that a command which failed has said.
fn complaint(output: &Output) -> Result<String> {
    let text = String::from_utf8(output.stderr.clone())?;
    ensure!(!output.status.success(), "it succeeds: {text}");
    ensure!(text.lines().count() == 1, "one line: {text}");
    Ok(text)
}

#[test]
fn without_rust_the_error_says_where_rust_comes_from() -> Result<()> {
    let lab = Lab::new()?;
    let missing = "#!/bin/sh\nexit 127\n";
    let said = complaint(&check_rust(&lab, missing, "")?)?;
    ensure!(said.contains("install Rust 1.89"), "{said}");
    ensure!(said.contains("https://rustup.rs"), "{said}");
    let said = complaint(&check_rust(&lab, missing, "ada")?)?;
    ensure!(said.contains("run make as ada, without sudo"), "{said}");
    let old = "#!/bin/sh\necho 'cargo 1.63.1'\n";
    let said = complaint(&check_rust(&lab, old, "")?)?;
    ensure!(said.contains("Rust 1.63.1 is too old"), "{said}");
    let new = "#!/bin/sh\necho 'cargo 1.100.0 (0123 2030-01-01)'\n";
    ensure!(check_rust(&lab, new, "")?.status.success(), "1.100");
    Ok(())
}

#[test]
fn in_a_plain_chroot_the_error_names_the_mount_point() -> Result<()> {
    let lab = Lab::new()?;
    let check = script("check-machine");
    succeeds(Command::new(&check).arg("root"))?;
    let root = lab.path("root");
    for directory in ["usr", "proc", "carpd/tests"] {
        fs::create_dir_all(root.join(directory))?;
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{name}"), root.join(name))?;
    }
    fs::copy(&check, root.join("carpd/tests/check-machine"))?;
    let enter = "mount --bind /usr \"$0/usr\" && mount -t proc proc \"$0/proc\" && \
                 exec chroot \"$0\" /carpd/tests/check-machine root";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", enter]).arg(&root);
    let said = complaint(&command.output()?)?;
    ensure!(said.contains("/ is not a mount point"), "{said}");
    Ok(())
}
