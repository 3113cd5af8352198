//! Atomic replacement of files, and their permissions.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The files contain passwords.
const MODE: u32 = 0o600;

/// Returns the bytes of a file; none if there is no file.
///
/// # Errors
/// The system's error.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        result => result,
    }
}

/// New content of a file, on the disk under another name.
#[derive(Debug)]
pub(crate) struct Staged {
    temporary: PathBuf,
    target: PathBuf,
}

impl Staged {
    /// Writes `text` beside `target`, which does not change.
    ///
    /// # Errors
    /// The system's error; no file is left behind.
    pub(crate) fn write(target: &Path, text: &[u8]) -> io::Result<Self> {
        // A symbolic link is kept.
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let mut name = std::ffi::OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(".new");
        let staged = Self {
            temporary: target.with_file_name(name),
            target,
        };
        // Left behind by a power failure: another instance that writes here waits for us.
        match fs::remove_file(&staged.temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&staged.temporary)?;
        file.write_all(text)?;
        file.sync_all()?;
        Ok(staged)
    }

    /// Replaces the old file.
    ///
    /// # Errors
    /// The system's error; the old file stays.
    pub(crate) fn commit(self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.target)?;
        match self.target.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After `commit` there is none. Before it, a failure leaves a file that the next write
        // removes.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Returns whether users other than the owner have any permission on a file.
pub(super) fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o077 != 0)
}

/// Removes the permissions of other users on a file, if it exists.
///
/// # Errors
/// The system's error.
pub(super) fn close_to_others(path: &Path) -> io::Result<()> {
    if is_open_to_others(path) {
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_replaced_atomically_and_closed_to_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rc.conf");
        fs::write(&path, "old").unwrap();
        let staged = Staged::write(&path, b"new").unwrap();
        assert_eq!(read(&path).unwrap(), b"old");
        staged.commit().unwrap();
        assert_eq!(read(&path).unwrap(), b"new");
        assert!(!is_open_to_others(&path));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn uncommitted_file_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rc.conf");
        drop(Staged::write(&path, b"new").unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert_eq!(read(&path).unwrap(), b"");
    }

    #[test]
    fn symbolic_link_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (
            directory.path().join("real"),
            directory.path().join("rc.conf"),
        );
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        Staged::write(&link, b"new").unwrap().commit().unwrap();
        assert_eq!(read(&real).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
