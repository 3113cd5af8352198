//! Programs under test: located beside the executable of the test, and built if necessary.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};

/// Returns the path of `carpd`, `carpctl` or `carptop`.
///
/// If `CARP_TESTS_PROGRAMS` is set, it names their directory, for tests of installed programs.
/// Otherwise they are in the build directory of this package, and are built if they are missing or
/// older than their sources.
pub fn program(name: &str) -> Result<PathBuf> {
    static FOUND: LazyLock<Mutex<HashMap<String, PathBuf>>> = LazyLock::new(Mutex::default);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = found.get(name) {
        return Ok(path.clone());
    }
    let path = locate(name)?;
    found.insert(name.to_owned(), path.clone());
    Ok(path)
}

fn locate(name: &str) -> Result<PathBuf> {
    if let Some(directory) = env::var_os("CARP_TESTS_PROGRAMS") {
        let path = PathBuf::from(directory).join(name);
        ensure!(
            path.is_file(),
            "no {} (CARP_TESTS_PROGRAMS names its directory)",
            path.display()
        );
        return Ok(path);
    }
    let profile = &profile()?;
    let path = profile.join(name);
    if !is_current(&path)? {
        build(profile)?;
    }
    ensure!(
        path.is_file(),
        "no {}: run `cargo build --workspace`",
        path.display()
    );
    Ok(path)
}

/// Returns the build directory of this package: `target/debug`.
fn profile() -> Result<PathBuf> {
    let own = env::current_exe()?;
    // target/debug/deps/story-0123456789abcdef and target/debug/demo
    own.ancestors()
        .skip(1)
        .find(|directory| directory.file_name().is_some_and(|last| last != "deps"))
        .map(Path::to_owned)
        .with_context(|| format!("{} is in no build directory", own.display()))
}

/// Returns the directory of everything that cargo builds: `target`.
pub fn build_directory() -> Result<PathBuf> {
    let profile = profile()?;
    let target = profile.parent().context("a build directory has a parent")?;
    Ok(target.to_owned())
}

fn build(profile: &Path) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--workspace", "--bins", "--target-dir"])
        .arg(profile.parent().context("a build directory has a parent")?)
        .current_dir(workspace());
    if profile.ends_with("release") {
        command.arg("--release");
    }
    let output = command.output().context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "the programs under test do not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Returns whether the program exists and is newer than all sources.
fn is_current(path: &Path) -> Result<bool> {
    let Ok(built) = fs::metadata(path).and_then(|data| data.modified()) else {
        return Ok(false);
    };
    for sources in [
        "carpd/src",
        "carpd/proto/src",
        "dbus/src",
        "carpctl/src",
        "carptop/src",
    ] {
        if newest(&workspace().join(sources))? > built {
            return Ok(false);
        }
    }
    Ok(true)
}

fn newest(path: &Path) -> Result<SystemTime> {
    let data = fs::metadata(path).with_context(|| format!("{}", path.display()))?;
    let mut time = data.modified()?;
    if data.is_dir() {
        time = SystemTime::UNIX_EPOCH;
        for entry in fs::read_dir(path)? {
            time = time.max(newest(&entry?.path())?);
        }
    }
    Ok(time)
}

fn workspace() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}
