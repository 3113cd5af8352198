//! How a command ends: its exit status and the one line on standard error.

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use carp_dbus::{ConnectError, Error};

use crate::called::Name;

/// Why a command failed. The status is part of the interface: scripts read it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// 1: refused, or failed.
    Refused(String),
    /// 2: the command line is wrong; nothing was sent.
    Usage(String),
    /// 3: no daemon.
    NoDaemon(String),
    /// Standard output is gone or full.
    Output(io::Error),
    /// The status of a command that was run.
    Command(u8),
    /// 1, and nothing to say about it (`sysctl -q`).
    Quiet,
}

/// What a command gives.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    /// Prints the line, if there is one, and gives the status.
    pub(crate) fn report(self) -> ExitCode {
        let (status, line) = match self {
            Self::Refused(line) => (1, line),
            Self::Usage(line) => (2, line),
            Self::NoDaemon(line) => (3, line),
            // Whoever reads has read enough, as in carpctl | head.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return ExitCode::SUCCESS;
            }
            Self::Output(error) => (1, format!("standard output: {}", plain(&error))),
            Self::Command(status) => return ExitCode::from(status),
            Self::Quiet => return ExitCode::FAILURE,
        };
        warn(&line);
        ExitCode::from(status)
    }
}

/// Prints one line on standard error, whatever `line` has in it.
pub(crate) fn warn(line: &str) {
    let words: Vec<&str> = line
        .split(char::is_control)
        .filter(|part| !part.is_empty())
        .collect();
    // There is nobody left to tell if standard error is gone.
    let _ = io::stderr()
        .write_all(format!("{}: {}\n", Name::current().as_str(), words.join(" ")).as_bytes());
}

/// The status as a shell gives it.
pub(crate) fn status_of(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// An error of the system's in BSD's words: without the number that `std` appends.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error")
        .map_or(text.as_str(), |(words, _)| words)
        .to_owned()
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NoDaemon { .. } => {
                Self::NoDaemon(format!("{error}; start it with: systemctl start carpd"))
            }
            ConnectError::Failed { .. } => Self::Refused(error.to_string()),
        }
    }
}
