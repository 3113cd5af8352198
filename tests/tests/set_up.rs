//! Preparation by `make demo` and `make test`: the packages they install, and the errors on a
//! machine that lacks something.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Lab, Root, succeeds};

/// A service with everything that starts one on Debian: an enabled unit, and links for init.
const POSTINST: &str = "#!/bin/sh
set -e
deb-systemd-helper enable guard.service
update-rc.d guard defaults
invoke-rc.d guard start
";

const POSTRM: &str = "#!/bin/sh
set -e
[ \"$1\" = purge ] || exit 0
update-rc.d guard remove
deb-systemd-helper purge guard.service
rm -f /started
";

const INIT: &str = "#!/bin/sh
### BEGIN INIT INFO
# Provides: guard
# Required-Start:
# Required-Stop:
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
### END INIT INFO
[ \"$1\" != start ] || touch /started
";

const UNIT: &str = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";

const CONTROL: &str = "Package: guard\nVersion: 1\nArchitecture: all\n\
                       Maintainer: Ada <ada@example.org>\nDescription: a service\n";

const POLICY: &str = "#!/bin/sh\nexit 0\n";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    fs::create_dir_all(path.parent().context("a directory")?)?;
    fs::write(path, text)?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(())
}

/// Makes a root whose only source of packages has the service.
fn root_with_a_service(lab: &Lab) -> Result<Root> {
    let host = lab.host("a", &[])?;
    let root = Root::new(lab, &host)?;
    let tree = lab.path("guard");
    write(&tree.join("DEBIAN/control"), CONTROL, 0o644)?;
    write(&tree.join("DEBIAN/postinst"), POSTINST, 0o755)?;
    write(&tree.join("DEBIAN/postrm"), POSTRM, 0o755)?;
    write(&tree.join("etc/init.d/guard"), INIT, 0o755)?;
    write(&tree.join("lib/systemd/system/guard.service"), UNIT, 0o644)?;
    let repository = root.path("/repository");
    fs::create_dir(&repository)?;
    let mut build = Command::new("dpkg-deb");
    build.args(["--build", "--root-owner-group"]);
    succeeds(build.arg(&tree).arg(repository.join("guard.deb")))?;
    let mut scan = Command::new("dpkg-scanpackages");
    let packages = succeeds(scan.arg(".").current_dir(&repository))?;
    fs::write(repository.join("Packages"), packages)?;
    fs::write(
        root.path("/etc/apt/sources.list"),
        "deb [trusted=yes] file:/repository ./\n",
    )?;
    fs::copy(script("install-packages"), root.path("/install-packages"))?;
    Ok(root)
}

/// Returns the links that start the service.
fn links(root: &Root) -> Result<String> {
    root.run("find /etc/systemd /etc/rc2.d -name *guard* -name [Sg]*")
}

#[test]
fn packages_are_installed_and_no_service_is_started_or_enabled() -> Result<()> {
    let lab = Lab::new()?;
    let root = root_with_a_service(&lab)?;
    let policy = root.path("/usr/sbin/policy-rc.d");
    // With this policy the package does both. Without one invoke-rc.d(8) starts nothing in a
    // chroot.
    write(&policy, POLICY, 0o755)?;
    root.run("apt-get update")?;
    root.run("apt-get install --yes guard")?;
    ensure!(root.path("/started").exists(), "not started");
    ensure!(links(&root)?.contains("guard.service"), "not enabled");
    root.run("dpkg --purge guard")?;

    root.run("/install-packages guard")?;
    root.run("dpkg-query --show guard")?;
    ensure!(!root.path("/started").exists(), "the service was started");
    assert_eq!(links(&root)?, "");
    assert_eq!(fs::read_to_string(&policy)?, POLICY, "the policy is kept");

    // If there was no policy before, there is none afterwards.
    root.run("dpkg --purge guard")?;
    fs::remove_file(&policy)?;
    root.run("/install-packages guard")?;
    ensure!(!root.path("/started").exists(), "the service was started");
    ensure!(!policy.exists(), "a policy was left behind");
    Ok(())
}

/// Runs `check-machine rust` with this script as cargo.
fn check_rust(lab: &Lab, cargo: &str, user: &str) -> Result<Output> {
    let directory = lab.path("bin");
    write(&directory.join("cargo"), cargo, 0o755)?;
    let path = format!("{}:{}", directory.display(), std::env::var("PATH")?);
    let mut check = Command::new(script("check-machine"));
    check.arg("rust").env("PATH", path).env("SUDO_USER", user);
    Ok(check.output()?)
}

/// Returns the one line that a failed command has printed.
fn complaint(output: &Output) -> Result<String> {
    let text = String::from_utf8(output.stderr.clone())?;
    ensure!(!output.status.success(), "it succeeds: {text}");
    ensure!(text.lines().count() == 1, "one line: {text}");
    Ok(text)
}

#[test]
fn missing_rust_is_reported_with_its_address() -> Result<()> {
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
fn plain_chroot_is_reported_with_the_missing_mount() -> Result<()> {
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
