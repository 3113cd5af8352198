//! Selection of hooks in their directory: the rules of run-parts(8), and files of root only.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Write permission for group and others.
const WRITABLE: u32 = 0o022;

/// Execute permission for owner, group and others.
const EXECUTABLE: u32 = 0o111;

/// Returns the hooks in the order of their names, and the faults of the other files. An absent
/// directory has no hooks.
pub(super) fn programs(directory: &Path) -> (Vec<PathBuf>, BTreeSet<String>) {
    let mut faults = BTreeSet::new();
    match fs::metadata(directory) {
        Ok(metadata) => {
            if let Some(fault) = unsafe_because(&metadata) {
                faults.insert(format!(
                    "no hook is run from {}: it {fault}",
                    directory.display()
                ));
                return (Vec::new(), faults);
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return (Vec::new(), faults),
        Err(error) => {
            faults.insert(format!(
                "no hook is run from {}: {error}",
                directory.display()
            ));
            return (Vec::new(), faults);
        }
    }
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            faults.insert(format!("no hook is run: {}: {error}", directory.display()));
            return (Vec::new(), faults);
        }
    };
    let mut programs = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        match judge(&path) {
            Ok(true) => programs.push(path),
            Ok(false) => {}
            Err(fault) => {
                faults.insert(format!(
                    "{} is not run as a hook: it {fault}",
                    path.display()
                ));
            }
        }
    }
    programs.sort_unstable();
    (programs, faults)
}

/// Returns whether `path` is a hook. The error is the fault of an executable that is not.
fn judge(path: &Path) -> Result<bool, String> {
    // Links are followed.
    let metadata = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !metadata.is_file() || metadata.mode() & EXECUTABLE == 0 {
        return Ok(false);
    }
    if let Some(fault) = unsafe_because(&metadata) {
        return Err(fault.to_owned());
    }
    let name = path.file_name().unwrap_or_default().as_bytes();
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.iter().all(fits) {
        Ok(true)
    } else {
        Err("has a name with characters other than letters, digits, '-' and '_'".to_owned())
    }
}

/// Reason why a user other than root could change the file.
fn unsafe_because(metadata: &Metadata) -> Option<&'static str> {
    if metadata.uid() != 0 {
        Some("is not owned by root")
    } else if metadata.mode() & WRITABLE != 0 {
        Some("can be written by users other than its owner")
    } else {
        None
    }
}
