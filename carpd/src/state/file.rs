//! The file with run-time state.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use carp_proto::SavedState;
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::format::{self, Fault, Saved};
use crate::clock::Clock;
use crate::config::Staged;

/// Maximum size: more than 32,768 interfaces with a hundred addresses each.
const MOST: u64 = 256 << 20;

/// The kernel does not count suspended time in leases. After a longer suspension they have run out
/// elsewhere.
const SUSPENDED: Duration = Duration::from_secs(1);

/// Path of the file.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    path: PathBuf,
}

/// Reason not to read a file.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("{0}")]
    Fault(#[from] Fault),
    #[error("is not a regular file")]
    NoFile,
    #[error("belongs to user {0}, not to root")]
    Owner(u32),
    #[error("can be read or written by others (mode {0:04o})")]
    Mode(u32),
    #[error("has {0} bytes, more than carpd writes")]
    Size(u64),
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl Place {
    /// Returns the path in the run directory.
    pub(crate) fn new(run_dir: &Path) -> Self {
        Self {
            path: run_dir.join("state"),
        }
    }

    /// Writes `saved`, with the present time, atomically.
    ///
    /// # Errors
    /// The system's error; the old file stays.
    pub(super) fn save(&self, saved: &mut Saved, clock: Clock) -> io::Result<()> {
        saved.boot = boot_id()?;
        saved.suspended = clock.suspended();
        let text = format::print(saved);
        Staged::write(&self.path, text.as_bytes())?.commit()
    }

    /// Removes the file, if there is one.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Returns the path as text.
    pub(super) fn display(&self) -> impl core::fmt::Display {
        self.path.display()
    }

    fn read(&self) -> Result<Option<Saved>, Unreadable> {
        let opened = OpenOptions::new()
            .read(true)
            // Neither a symbolic link nor a pipe without a writer.
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&self.path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Err(Unreadable::NoFile);
            }
            opened => opened?,
        };
        check(&file)?;
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(MOST).read_to_end(&mut bytes)?;
        Ok(Some(format::parse(&bytes)?))
    }

    /// Renames the file, so that it can be inspected.
    fn set_aside(&self) -> Result<PathBuf, io::Error> {
        let aside = self.path.with_file_name("state.refused");
        fs::rename(&self.path, &aside).map(|()| aside)
    }
}

/// State of the previous instance.
#[derive(Debug)]
pub(crate) struct Past {
    /// Its memory.
    pub(crate) memory: SavedState,
    /// True if leases that have not run out are valid.
    pub(crate) leases_count: bool,
}

/// Returns the state that the previous instance left in the run directory, if it is usable.
pub(crate) fn recall(place: &Place, clock: Clock) -> Option<Past> {
    let saved = match place.read() {
        Ok(saved) => saved?,
        Err(error) => {
            let path = place.display();
            let aside = match place.set_aside() {
                Ok(aside) => format!("kept as {}", aside.display()),
                Err(error) => format!("cannot be renamed either: {error}"),
            };
            warn!(
                "{path} {error}; it is not used ({aside}): carpd starts with rc.conf, and every \
                 interface as BACKUP"
            );
            return None;
        }
    };
    let Saved {
        boot,
        suspended,
        memory,
    } = saved;
    if boot_id().ok().as_ref() != Some(&boot) {
        info!(
            "{} is from before the last boot: carpd reads rc.conf",
            place.display()
        );
        return None;
    }
    Some(Past {
        memory,
        leases_count: clock.suspended() <= suspended + SUSPENDED,
    })
}

fn check(file: &File) -> Result<(), Unreadable> {
    let metadata = file.metadata()?;
    let mode = metadata.mode() & 0o7777;
    if !metadata.is_file() {
        Err(Unreadable::NoFile)
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        Err(Unreadable::Owner(metadata.uid()))
    } else if mode & 0o077 != 0 {
        Err(Unreadable::Mode(mode))
    } else if metadata.len() > MOST {
        Err(Unreadable::Size(metadata.len()))
    } else {
        Ok(())
    }
}

/// Returns random(4)'s boot identifier, which differs at each boot.
fn boot_id() -> io::Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    type Spoil = fn(&Path);

    fn memory() -> SavedState {
        let mut memory = SavedState::default();
        memory.sysctls.log = 7;
        memory
    }

    fn written() -> (tempfile::TempDir, Place) {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::new(directory.path());
        let mut saved = Saved {
            memory: memory(),
            ..Saved::default()
        };
        place.save(&mut saved, Clock).unwrap();
        (directory, place)
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn next_instance_reads_what_the_previous_one_wrote() {
        let (directory, place) = written();
        assert_eq!(names(directory.path()), ["state"]);
        let mode = fs::metadata(&place.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let past = recall(&place, Clock).unwrap();
        assert_eq!(past.memory, memory());
        assert!(past.leases_count);
        place.remove().unwrap();
        place.remove().unwrap();
        assert!(recall(&place, Clock).is_none());
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn untrusted_file_is_set_aside() {
        let spoil: [(&str, Spoil); 6] = [
            ("damaged", |path| {
                let text = fs::read_to_string(path).unwrap();
                fs::write(path, text.replace("log 7", "log 8")).unwrap();
            }),
            ("empty", |path| fs::write(path, "").unwrap()),
            ("readable by others", |path| {
                fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
            }),
            ("another user's", |path| {
                std::os::unix::fs::chown(path, Some(65534), None).unwrap();
            }),
            ("a link", |path| {
                fs::rename(path, path.with_file_name("real")).unwrap();
                symlink("real", path).unwrap();
            }),
            ("a directory", |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }),
        ];
        for (what, spoil) in spoil {
            let (directory, place) = written();
            spoil(&place.path);
            assert!(recall(&place, Clock).is_none(), "{what}");
            let names = names(directory.path());
            assert!(
                names.contains(&"state.refused".to_owned()),
                "{what}: {names:?}"
            );
            assert!(!names.contains(&"state".to_owned()), "{what}: {names:?}");
        }
    }

    #[test]
    fn file_of_another_boot_is_ignored() {
        let (_directory, place) = written();
        let saved = Saved {
            boot: "another".to_owned(),
            memory: memory(),
            ..Saved::default()
        };
        let text = format::print(&saved);
        Staged::write(&place.path, text.as_bytes())
            .unwrap()
            .commit()
            .unwrap();
        assert!(recall(&place, Clock).is_none());
    }
}
