//! The system's own program of our name: found in `PATH`, and run.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::called::Name;
use crate::exit::{Failure, plain, status_of, warn};

/// Names the program that this process was handed its command line for. Two different copies of us
/// in `PATH` would hand it to each other forever.
const HANDED_OVER: &str = "CARPCTL_HANDED_OVER";

/// Becomes the system's program, which then has our arguments, streams and exit status.
///
/// Standard output must have been written out before.
pub(super) fn become_it(name: Name, arguments: &[OsString]) -> Failure {
    match find(name) {
        Ok(program) => {
            let error = command(&program, name, arguments).exec();
            cannot_run(&program, &error)
        }
        Err(failure) => failure,
    }
}

/// Runs it and gives its exit status.
///
/// # Errors
/// There is none, or it cannot be run.
pub(super) fn run(name: Name, arguments: &[OsString]) -> Result<u8, Failure> {
    let program = find(name)?;
    let status = command(&program, name, arguments).status();
    status
        .map(status_of)
        .map_err(|error| cannot_run(&program, &error))
}

/// Runs it and gives what it wrote to standard output, and its exit status.
///
/// # Errors
/// There is none, or it cannot be run.
pub(super) fn output(name: Name, arguments: &[OsString]) -> Result<(Vec<u8>, u8), Failure> {
    let program = find(name)?;
    let output = command(&program, name, arguments)
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        .output();
    output
        .map(|output| (output.stdout, status_of(output.status)))
        .map_err(|error| cannot_run(&program, &error))
}

fn command(program: &Path, name: Name, arguments: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command
        .arg0(name.as_str())
        .args(arguments)
        .env(HANDED_OVER, name.as_str());
    command
}

/// The first program of this name in `PATH` that is not ourselves.
fn find(name: Name) -> Result<PathBuf, Failure> {
    let name = name.as_str();
    if env::var_os(HANDED_OVER).is_some_and(|handed| handed == name) {
        return Err(missing(&format!(
            "another copy of carpctl was handed this already: there is no {name} of the system's \
             in PATH"
        )));
    }
    let own = env::current_exe().and_then(std::fs::metadata);
    let ours = |data: &Metadata| {
        own.as_ref()
            .is_ok_and(|own| (own.dev(), own.ino()) == (data.dev(), data.ino()))
    };
    search(&env::var_os("PATH").unwrap_or_default(), name, ours).ok_or_else(|| {
        missing(&format!(
            "no {name} of the system's in PATH, to which everything but carp is left"
        ))
    })
}

/// The first file in `path`'s directories that can be executed and is not `ours`. An empty entry,
/// which would be the current directory, is passed over.
fn search(path: &OsStr, name: &str, ours: impl Fn(&Metadata) -> bool) -> Option<PathBuf> {
    env::split_paths(path)
        .filter(|directory| !directory.as_os_str().is_empty())
        .map(|directory| directory.join(name))
        .find(|program| {
            std::fs::metadata(program)
                .is_ok_and(|data| data.is_file() && data.mode() & 0o111 != 0 && !ours(&data))
        })
}

/// Says why, with the status that a shell gives for a program that it cannot find.
fn missing(line: &str) -> Failure {
    warn(line);
    Failure::Command(127)
}

fn cannot_run(program: &Path, error: &io::Error) -> Failure {
    warn(&format!("{}: {}", program.display(), plain(error)));
    Failure::Command(126)
}
