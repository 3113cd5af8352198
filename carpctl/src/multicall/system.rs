//! The system's own program of the same name: searches `PATH` and runs it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use carp_dbus::plain;

use crate::exit::{Failure, Outcome, status_of, warn};
use crate::name::ProgramName;

/// Environment variable with the name of the program that carpctl handed its command line to.
/// Without it, two copies of carpctl in `PATH` would run each other forever.
const HANDED_OVER: &str = "CARPCTL_HANDED_OVER";

/// Replaces this process by the system's program, with the same arguments and streams. Returns only
/// on failure.
///
/// Flush standard output before the call.
pub(super) fn exec(name: ProgramName, arguments: &[OsString]) -> Failure {
    match find(name) {
        Ok(program) => {
            let error = command(&program, name, arguments).exec();
            cannot_run(&program, &error)
        }
        Err(failure) => failure,
    }
}

/// Runs the system's program.
///
/// # Errors
/// The program fails, cannot be run, or is not in `PATH`.
pub(super) fn run(name: ProgramName, arguments: &[OsString]) -> Outcome {
    let program = find(name)?;
    let status = command(&program, name, arguments).status();
    outcome_of(status.map_err(|error| cannot_run(&program, &error))?)
}

/// Runs the system's program and returns its standard output and its outcome.
///
/// # Errors
/// `PATH` has no such program, or it cannot be run.
pub(super) fn output(
    name: ProgramName,
    arguments: &[OsString],
) -> Result<(Vec<u8>, Outcome), Failure> {
    let program = find(name)?;
    let output = command(&program, name, arguments)
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        .output();
    output
        .map(|output| (output.stdout, outcome_of(output.status)))
        .map_err(|error| cannot_run(&program, &error))
}

fn outcome_of(status: ExitStatus) -> Outcome {
    match status_of(status) {
        0 => Ok(()),
        status => Err(Failure::Command(status)),
    }
}

fn command(program: &Path, name: ProgramName, arguments: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command
        .arg0(name.as_str())
        .args(arguments)
        .env(HANDED_OVER, name.as_str());
    command
}

/// Finds the first program of this name in `PATH` that is not this executable.
fn find(name: ProgramName) -> Result<PathBuf, Failure> {
    let name = name.as_str();
    if env::var_os(HANDED_OVER).is_some_and(|handed| handed == name) {
        return Err(missing(&format!(
            "PATH has two copies of carpctl and no other {name}: carpctl itself serves only carp"
        )));
    }
    let own = env::current_exe().and_then(std::fs::metadata);
    let is_own = |data: &Metadata| {
        own.as_ref()
            .is_ok_and(|own| (own.dev(), own.ino()) == (data.dev(), data.ino()))
    };
    search(&env::var_os("PATH").unwrap_or_default(), name, is_own).ok_or_else(|| {
        missing(&format!(
            "no other {name} in PATH: carpctl itself serves only carp"
        ))
    })
}

/// Finds the first executable file in the directories of `path` for which `is_own` is false. Skips
/// empty entries, which mean the current directory.
fn search(path: &OsStr, name: &str, is_own: impl Fn(&Metadata) -> bool) -> Option<PathBuf> {
    env::split_paths(path)
        .filter(|directory| !directory.as_os_str().is_empty())
        .map(|directory| directory.join(name))
        .find(|program| {
            std::fs::metadata(program)
                .is_ok_and(|data| data.is_file() && data.mode() & 0o111 != 0 && !is_own(&data))
        })
}

/// Prints `line`. Returns the status of a shell for a program that it cannot find.
fn missing(line: &str) -> Failure {
    warn(line);
    Failure::Command(127)
}

/// Prints the error. Returns the status of a shell for a program that it cannot run.
fn cannot_run(program: &Path, error: &io::Error) -> Failure {
    warn(&format!("{}: {}", program.display(), plain(error)));
    Failure::Command(126)
}
