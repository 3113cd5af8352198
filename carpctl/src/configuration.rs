//! `carpctl save`, `reload` and `check`: the running configuration and the configuration files.

use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use carp_dbus::{Client, plain};

use crate::exit::{Failure, Outcome};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// An rc.conf, a sysctl.conf or the directory of both [default: /etc/carpd]
    path: Option<PathBuf>,
}

/// Writes the running configuration to the files.
///
/// # Errors
/// The failure; the files are unchanged.
pub(crate) async fn save() -> Outcome {
    Ok(Client::connect().await?.save().await?)
}

/// Applies the files.
///
/// # Errors
/// Every mistake in the files.
pub(crate) async fn reload() -> Outcome {
    Ok(Client::connect().await?.reload().await?)
}

/// Runs `carpd --check`, which reads the files and changes nothing. The daemon does not have to
/// run.
///
/// # Errors
/// Status 1 if carpd has reported a mistake.
pub(crate) fn check(arguments: &Arguments) -> Outcome {
    let mut option = OsString::from("--check");
    if let Some(path) = &arguments.path {
        option.push("=");
        option.push(path);
    }
    match run(&option) {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::Command(1)),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Failure::Refused(
            "carpd: neither beside carpctl nor in PATH: it checks the files".into(),
        )),
        Err(error) => Err(Failure::Refused(format!("carpd: {}", plain(&error)))),
    }
}

/// Runs the carpd in the directory of this program, or else one in `PATH`.
fn run(option: &OsString) -> std::io::Result<ExitStatus> {
    let own = env::current_exe()?;
    let beside = own.parent().map(|directory| directory.join("carpd"));
    let carpd = beside.filter(|path| path.is_file());
    let program = carpd.as_deref().unwrap_or(Path::new("carpd"));
    Command::new(program).arg(option).status()
}
