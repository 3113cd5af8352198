//! End of a command: its exit status and its one line on standard error.

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use carp_dbus::{ConnectError, Error, plain};

use crate::name::ProgramName;

/// Failure of a command. Scripts depend on the exit statuses.
#[derive(Debug)]
pub(crate) enum Failure {
    /// 1: carpd refused the command, or it failed.
    Refused(String),
    /// 2: the command line is wrong; nothing was sent to carpd.
    Usage(String),
    /// 3: carpd does not run.
    NoDaemon(String),
    /// 1: standard output cannot be written; 0 if its reader has closed it.
    Output(io::Error),
    /// The exit status of a program that carpctl ran.
    Command(u8),
    /// 1, without a line (`sysctl -q`).
    Quiet,
}

/// Result of a command.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    /// Prints the line, if there is one, and returns the exit status.
    pub(crate) fn report(self) -> ExitCode {
        let (status, line) = match self {
            Self::Refused(line) => (1, line),
            Self::Usage(line) => (2, line),
            Self::NoDaemon(line) => (3, line),
            // The reader has read enough, as in carpctl | head.
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

/// Prints `line` as one line on standard error: control characters become blanks.
pub(crate) fn warn(line: &str) {
    let words: Vec<&str> = line
        .split(char::is_control)
        .filter(|part| !part.is_empty())
        .collect();
    // A failure to write to standard error cannot be reported.
    let _ = io::stderr().write_all(
        format!("{}: {}\n", ProgramName::current().as_str(), words.join(" ")).as_bytes(),
    );
}

/// Returns the exit status as a shell reports it: 128 + N for signal N.
pub(crate) fn status_of(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
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
