//! `carpctl save`, `reload` and `check`: what runs, and the files that say what shall run.

use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use carp_dbus::Client;

use crate::exit::{Failure, Outcome, plain};

/// What stands behind `check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// An rc.conf, a sysctl.conf or the directory of both; /etc/carpd if left out
    path: Option<PathBuf>,
}

/// Writes what runs into the files.
///
/// # Errors
/// Why they are as they were.
pub(crate) async fn save() -> Outcome {
    Ok(Client::connect().await?.save().await?)
}

/// Makes run what is in the files.
///
/// # Errors
/// Everything that is wrong in them.
pub(crate) async fn reload() -> Outcome {
    Ok(Client::connect().await?.reload().await?)
}

/// Lets carpd read files, and change nothing: it alone knows what is right, and need not run.
///
/// # Errors
/// The status 1 if anything is wrong, which carpd has told then.
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
            "carpd, which checks, is neither beside carpctl nor in PATH".into(),
        )),
        Err(error) => Err(Failure::Refused(format!("carpd: {}", plain(&error)))),
    }
}

/// Runs the carpd that was installed with this program, or one that is found in `PATH`.
fn run(option: &OsString) -> std::io::Result<ExitStatus> {
    let own = env::current_exe()?;
    let beside = own.parent().map(|directory| directory.join("carpd"));
    let carpd = beside.filter(|path| path.is_file());
    let program = carpd.as_deref().unwrap_or(Path::new("carpd"));
    Command::new(program).arg(option).status()
}
