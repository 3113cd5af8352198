//! `make links`: carpctl under the BSDs' names, without overwriting a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Result, ensure};

fn make(target: &str, root: &Path) -> Result<Output> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new("make")
        .args(["--silent", "--no-print-directory", target])
        .arg(format!("DESTDIR={}", root.display()))
        .current_dir(workspace)
        .output()?;
    Ok(output)
}

fn links(root: &Path) -> [PathBuf; 2] {
    ["ifconfig", "sysctl"].map(|name| root.join("usr/local/sbin").join(name))
}

#[test]
fn make_links_installs_links_and_uninstall_removes_them() -> Result<()> {
    let root = tempfile::tempdir()?;
    for _ in 0..2 {
        let output = make("links", root.path())?;
        ensure!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
        for link in links(root.path()) {
            assert_eq!(fs::read_link(link)?, Path::new("/usr/sbin/carpctl"));
        }
    }
    ensure!(make("uninstall", root.path())?.status.success());
    for link in links(root.path()) {
        ensure!(
            link.symlink_metadata().is_err(),
            "{} is still there",
            link.display()
        );
    }
    Ok(())
}

#[test]
fn make_links_neither_replaces_nor_removes_other_programs() -> Result<()> {
    let root = tempfile::tempdir()?;
    let [ifconfig, _] = links(root.path());
    fs::create_dir_all(root.path().join("usr/local/sbin"))?;
    fs::write(&ifconfig, "mine")?;
    ensure!(
        !make("links", root.path())?.status.success(),
        "it is in the way"
    );
    ensure!(make("uninstall", root.path())?.status.success());
    assert_eq!(fs::read_to_string(&ifconfig)?, "mine");
    Ok(())
}
