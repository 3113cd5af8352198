//! Which files of the directory are hooks: the rules of run-parts(8), and root's alone.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Who may write besides the owner: the group, and everybody.
const WRITABLE: u32 = 0o022;

/// Who may execute.
const EXECUTABLE: u32 = 0o111;

/// The hooks in the order of their names, and what is wrong with the others. A directory that is
/// not there has none.
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

/// Whether `path` is a hook; an error is what keeps it from being one although it is executable.
fn judge(path: &Path) -> Result<bool, String> {
    // Behind a link as behind a name.
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
        Err("has a name with more than letters, digits, '-' and '_' in it".to_owned())
    }
}

/// Why somebody other than root could change it.
fn unsafe_because(metadata: &Metadata) -> Option<&'static str> {
    if metadata.uid() != 0 {
        Some("is not owned by root")
    } else if metadata.mode() & WRITABLE != 0 {
        Some("can be written by others than its owner")
    } else {
        None
    }
}
