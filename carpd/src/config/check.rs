//! `carpd --check`: reads the configuration and changes nothing.

use std::io::{self, Write};
use std::path::Path;

use super::{Configuration, Fault, Files, plain};

/// Writes every fault and every warning in the files of `directory`, or in `path` alone, which is
/// another directory, an `rc.conf` or, by its name, a `sysctl.conf`. Returns true if there is no
/// fault.
///
/// # Errors
/// Errors of `out`.
pub(crate) fn check(
    directory: &Path,
    path: Option<&Path>,
    out: &mut impl Write,
) -> io::Result<bool> {
    let Configuration {
        faults, warnings, ..
    } = match path {
        None => Files::new(directory.to_owned()).read(),
        Some(path) => named(path),
    };
    for warning in &warnings {
        writeln!(out, "{}: warning: {}", warning.place, warning.message)?;
    }
    for fault in &faults {
        writeln!(out, "{fault}")?;
    }
    Ok(faults.is_empty())
}

fn named(path: &Path) -> Configuration {
    let mut configuration = Configuration::default();
    match path.metadata() {
        Err(error) => {
            let message = format!("cannot be read: {}", plain(&error));
            configuration.faults.push(Fault::of_file(path, message));
        }
        Ok(data) if data.is_dir() => return Files::new(path.to_owned()).read(),
        Ok(_) if path.to_string_lossy().ends_with("sysctl.conf") => {
            configuration.read_sysctl_conf(path);
        }
        Ok(_) => configuration.read_rc_conf(path),
    }
    configuration
}
