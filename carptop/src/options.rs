//! Command line.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use carp_dbus::ConnectError;
use clap::{CommandFactory as _, Parser};
use jiff::tz::TimeZone;
use ratatui::crossterm::terminal;

use crate::app::{START, Setup};
use crate::report;
use crate::theme::{Scheme, Theme};
use crate::{live, source};

/// Size of a table that is not written to a terminal.
const DEFAULT_SIZE: (u16, u16) = (132, 50);

/// Shows carp interfaces live.
#[derive(Debug, Parser)]
#[command(name = "carptop", version)]
struct Options {
    /// Print one table and exit
    #[arg(long)]
    once: bool,
    /// Print everything as JSON and exit
    #[arg(long)]
    json: bool,
    /// Seconds between two readings of the counters, at least 0.1
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: u64,
    /// Show only interfaces that match all these words
    #[arg(
        long,
        value_name = "WORDS",
        default_value = "",
        hide_default_value = true
    )]
    filter: String,
    /// Colour scheme
    #[arg(long, value_enum, default_value_t)]
    theme: Scheme,
    /// Use only ASCII characters
    #[arg(long)]
    ascii: bool,
}

/// Returns clap's command.
#[must_use]
pub fn command() -> clap::Command {
    Options::command()
}

/// Runs the program. Returns status 0 after success, 1 after a failure, 2 for a wrong command line
/// and 3 if carpd does not run.
#[must_use]
pub fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let is_missing = matches!(error.downcast_ref(), Some(ConnectError::NoDaemon { .. }));
            let advice = if is_missing {
                format!("; {START}")
            } else {
                String::new()
            };
            let line = format!("carptop: {error:#}{advice}\n");
            // A failure to write to standard error cannot be reported.
            let _ = io::stderr().write_all(line.as_bytes());
            if is_missing {
                ExitCode::from(3)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn run(options: Options) -> Result<()> {
    let Options {
        once,
        json,
        interval,
        filter,
        theme,
        ascii,
    } = options;
    let mut setup = Setup {
        theme: Theme::detect(theme, ascii),
        hostname: hostname(),
        zone: TimeZone::system(),
        uid: rustix::process::geteuid().as_raw(),
        interval,
        filter,
        size: DEFAULT_SIZE,
    };
    if once || json {
        let snapshot = source::snapshot()?;
        let written = if json {
            report::json(&snapshot, &mut io::stdout())
        } else {
            if io::stdout().is_terminal() {
                setup.size = terminal::size().unwrap_or(DEFAULT_SIZE);
            }
            report::table(setup, snapshot, &mut io::stdout())
        };
        return match written {
            // The reader has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.context("standard output"),
        };
    }
    ensure!(
        io::stdin().is_terminal() && io::stdout().is_terminal(),
        "standard input and output: must be a terminal: --once prints a table"
    );
    setup.size = terminal::size().context("the terminal")?;
    live::run(setup)
}

/// Parses seconds as microseconds.
fn interval(text: &str) -> Result<u64, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "must be a number of seconds".to_owned())?;
    if !(0.1..=3600.0).contains(&seconds) {
        return Err("must be from 0.1 to 3600 seconds".to_owned());
    }
    let micros = std::time::Duration::from_secs_f64(seconds).as_micros();
    u64::try_from(micros).map_err(|_| "is too long".to_owned())
}

fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn interval_outside_its_range_is_refused() {
        assert_eq!(interval("0.1"), Ok(100_000));
        assert_eq!(interval("1"), Ok(1_000_000));
        for bad in ["0", "0.05", "-1", "x", "NaN", "inf", "4000"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}
