//! The configuration: `rc.conf` and `sysctl.conf`, as on BSD.
//!
//! Functions here can wait for a disk. The protocol's thread does not call them.

pub(crate) mod apply;
mod check;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
mod ranges;
mod rcconf;
mod rewrite;
mod shell;
mod sysctlconf;
#[cfg(test)]
mod tests;
mod variables;
mod whole;
mod words;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use carp_dbus::plain;
use carp_proto::{Settings, Sysctl, Sysctls, Unit};

pub(crate) use self::check::check;
pub(crate) use self::files::Staged;
use self::rcconf::RcConf;
use self::shell::Complaint;
pub(crate) use self::whole::{from_line, to_line};
use crate::publish::Running;

/// A directory with configuration files.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    directory: PathBuf,
}

/// Content of the files.
#[derive(Debug, Default)]
pub(crate) struct Configuration {
    /// Every interface without a fault.
    pub(crate) interfaces: Vec<Wanted>,
    /// Every sysctl that can be set, with its value, or the default.
    pub(crate) sysctls: Vec<(Sysctl, u64)>,
    /// Errors.
    pub(crate) faults: Vec<Fault>,
    /// Settings that work but are probably a mistake.
    pub(crate) warnings: Vec<Fault>,
}

/// A configured carp interface.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Its number.
    pub(crate) unit: Unit,
    /// Its settings.
    pub(crate) settings: Settings,
    /// The line that configures it.
    pub(crate) place: Place,
}

/// A line of a file, or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    file: PathBuf,
    line: Option<usize>,
}

/// A fault or a warning: one line with its place and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    place: Place,
    message: String,
}

impl Files {
    /// Returns the files of a directory, which need not exist.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Reads the files; a missing file is empty.
    pub(crate) fn read(&self) -> Configuration {
        let mut configuration = Configuration::default();
        configuration.read_rc_conf(&self.rc_conf());
        configuration.read_sysctl_conf(&self.sysctl_conf());
        configuration
    }

    /// Writes the running configuration: both files change, or none. Everything else in them stays.
    ///
    /// # Errors
    /// One line: the files contain a fault, or cannot be written.
    pub(crate) fn save(&self, running: &Running) -> Result<(), String> {
        let (rc_conf, sysctl_conf) = (self.rc_conf(), self.sysctl_conf());
        let mut staged = Vec::new();
        let old = read(&rc_conf)?;
        let found = rcconf::read(&old);
        is_right(&rc_conf, &found.complaints)?;
        let new = rewrite::rewrite(&old, &found, &running.interfaces)?;
        staged.extend(self.stage(&rc_conf, &old, &new)?);

        let old = read(&sysctl_conf)?;
        is_right(&sysctl_conf, &sysctlconf::read(&old).complaints)?;
        let text = std::str::from_utf8(&old)
            .map_err(|_| format!("{}: is not text in UTF-8", sysctl_conf.display()))?;
        let defaults = Sysctls::default();
        let values: Vec<_> = running
            .sysctls
            .iter()
            .map(|(sysctl, value)| (*sysctl, *value, defaults.get(*sysctl)))
            .collect();
        let new = sysctlconf::rewrite(text, &values);
        staged.extend(self.stage(&sysctl_conf, &old, new.as_bytes())?);
        for (path, file) in staged {
            file.commit().map_err(|error| cannot_save(path, &error))?;
        }
        files::close_to_others(&rc_conf).map_err(|error| cannot_save(&rc_conf, &error))
    }

    fn rc_conf(&self) -> PathBuf {
        self.directory.join("rc.conf")
    }

    fn sysctl_conf(&self) -> PathBuf {
        self.directory.join("sysctl.conf")
    }

    /// Returns the file with its new text, if that differs.
    fn stage<'a>(
        &self,
        path: &'a Path,
        old: &[u8],
        new: &[u8],
    ) -> Result<Option<(&'a Path, Staged)>, String> {
        if old == new {
            return Ok(None);
        }
        fs::create_dir_all(&self.directory)
            .and_then(|()| Staged::write(path, new))
            .map(|file| Some((path, file)))
            .map_err(|error| cannot_save(path, &error))
    }
}

impl Configuration {
    fn read_rc_conf(&mut self, path: &Path) {
        let Some(text) = self.text_of(path) else {
            return;
        };
        let RcConf {
            interfaces,
            complaints,
            warnings,
            ..
        } = rcconf::read(&text);
        self.interfaces
            .extend(interfaces.into_iter().map(|(unit, interface)| Wanted {
                unit,
                settings: interface.settings,
                place: Place {
                    file: path.to_owned(),
                    line: Some(interface.line),
                },
            }));
        self.faults.extend(faults(path, complaints));
        self.warnings.extend(faults(path, warnings));
        if text.windows(5).any(|word| word == b"pass ") && files::is_open_to_others(path) {
            let file = path.display();
            self.warnings.push(Fault::of_file(
                path,
                format!("other users can read its passwords: chmod 600 {file}"),
            ));
        }
    }

    fn read_sysctl_conf(&mut self, path: &Path) {
        let text = self.text_of(path).unwrap_or_default();
        let found = sysctlconf::read(&text);
        let defaults = Sysctls::default();
        self.sysctls = Sysctl::writable()
            .map(|sysctl| {
                let value = found.values.get(&sysctl).copied();
                (sysctl, value.unwrap_or_else(|| defaults.get(sysctl)))
            })
            .collect();
        self.faults.extend(faults(path, found.complaints));
    }

    fn text_of(&mut self, path: &Path) -> Option<Vec<u8>> {
        files::read(path)
            .map_err(|error| {
                let message = format!("cannot be read: {}", plain(&error));
                self.faults.push(Fault::of_file(path, message));
            })
            .ok()
    }
}

impl Fault {
    fn of_file(path: &Path, message: String) -> Self {
        let place = Place {
            file: path.to_owned(),
            line: None,
        };
        Self { place, message }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.line {
            Some(line) => write!(f, ":{line}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

fn faults(path: &Path, complaints: Vec<Complaint>) -> impl Iterator<Item = Fault> {
    complaints.into_iter().map(|complaint| Fault {
        place: Place {
            file: path.to_owned(),
            line: Some(complaint.line),
        },
        message: complaint.message,
    })
}

/// Refuses to save over faults: text that is not understood cannot be kept.
fn is_right(path: &Path, complaints: &[Complaint]) -> Result<(), String> {
    match faults(path, complaints.to_vec()).next() {
        None => Ok(()),
        Some(fault) => Err(format!("nothing was saved, correct this first: {fault}")),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    files::read(path).map_err(|error| cannot_save(path, &error))
}

fn cannot_save(path: &Path, error: &io::Error) -> String {
    format!("cannot save {}: {}", path.display(), plain(error))
}
