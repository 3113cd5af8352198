//! Command line: options and commands. [`crate::ifconfig`] parses the words after the name of an
//! interface.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write;

use carp_dbus::ifconfig::KEYWORDS;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::colour::Colour;
use crate::device::is_carp_interface;
use crate::exit::{Failure, Outcome};
use crate::{complete, configuration, ifconfig, monitor, netstat, suppress, sysctl};

/// Shows and configures carp interfaces.
#[derive(Debug, Parser)]
#[command(
    name = "carpctl",
    version,
    disable_help_subcommand = true,
    override_usage = "carpctl [-a | -l] [--json]\n       \
                      carpctl carpN [--json | --show-pass]\n       \
                      carpctl carpN PARAMETER [VALUE] [PARAMETER [VALUE]]...\n       \
                      carpctl COMMAND ..."
)]
struct Cli {
    /// Show all interfaces (the default)
    #[arg(short, conflicts_with = "list")]
    all: bool,
    /// List the names of all interfaces on one line
    #[arg(short)]
    list: bool,
    /// Write JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show and set net.inet.carp, as sysctl(8) does
    Sysctl(sysctl::Arguments),
    /// Show the counters, as netstat -s -p carp does
    Netstat(netstat::Arguments),
    /// Show events as they happen, one per line
    Monitor(monitor::Arguments),
    /// Run a command with preemption suppressed, or list the causes
    Suppress(suppress::Arguments),
    /// Write the running configuration to the configuration files
    Save,
    /// Apply the configuration files
    Reload,
    /// Check the configuration files and change nothing
    Check(configuration::Arguments),
    /// Print the completion script for a shell
    Completions(complete::Arguments),
    /// Name of an interface and the words after it.
    #[command(external_subcommand)]
    Interface(Vec<OsString>),
}

/// Runs the command line `arguments`, which begins with the name of the program.
///
/// # Errors
/// The failure, with its exit status.
pub(crate) async fn run(
    arguments: impl Iterator<Item = OsString>,
    out: &mut impl Write,
) -> Outcome {
    let arguments: Vec<OsString> = arguments.collect();
    if let [_, flag, words @ ..] = arguments.as_slice()
        && flag == complete::FLAG
    {
        return complete::candidates(&command(), words, out).await;
    }
    // The most frequent line skips clap, which takes time to build all commands and would pass on
    // the same words.
    if let [_, words @ ..] = arguments.as_slice()
        && let [name, ..] = words
        && name.to_str().is_some_and(is_carp_interface)
    {
        return interface(words, false, out).await;
    }
    if let [_, word] = arguments.as_slice()
        && word == "help"
    {
        return help(out);
    }
    let cli = match command().try_get_matches_from(arguments) {
        Ok(matches) => Cli::from_arg_matches(&matches).map_err(|error| usage(&error))?,
        Err(error) if is_output(error.kind()) => {
            return Ok(write!(out, "{}", error.render())?);
        }
        Err(error) => return Err(usage(&error)),
    };
    let Cli {
        all,
        list,
        json,
        command,
    } = cli;
    match command {
        Some(_) if all || list => Err(Failure::Usage(
            "-a and -l: cannot be used with an interface or a command".into(),
        )),
        None if list => ifconfig::list(out, json).await,
        None => ifconfig::all(out, json, Colour::of_stdout()).await,
        Some(Command::Sysctl(arguments)) => sysctl::run(&arguments, json, out).await,
        Some(Command::Netstat(arguments)) => netstat::run(&arguments, json, out).await,
        Some(Command::Monitor(arguments)) => monitor::run(&arguments, json, out).await,
        Some(Command::Suppress(arguments)) => suppress::run(&arguments, json, out).await,
        Some(Command::Save) => configuration::save().await,
        Some(Command::Reload) => configuration::reload().await,
        Some(Command::Check(arguments)) => configuration::check(&arguments),
        Some(Command::Completions(arguments)) => Ok(complete::script(&arguments, out)?),
        Some(Command::Interface(words)) => interface(&words, json, out).await,
    }
}

/// Runs a line that begins with the name of an interface.
async fn interface(words: &[OsString], json: bool, out: &mut impl Write) -> Outcome {
    if ifconfig::asks_for_help(words) {
        return help(out);
    }
    ifconfig::run(words, json, out, Colour::of_stdout()).await
}

/// Writes the text of `--help`.
///
/// # Errors
/// Those of `out`.
pub(crate) fn help(out: &mut impl Write) -> Outcome {
    Ok(write!(out, "{}", command().render_help())?)
}

/// Returns clap's command, with the table of parameters in its help.
pub(crate) fn command() -> clap::Command {
    let mut words = String::from("Parameters of an interface, applied as one change:\n");
    let mut row = |left: &str, help: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(words, "  {left:<22} {help}");
    };
    row("ADDR[/LEN]", "Add an address.");
    for keyword in KEYWORDS {
        row(
            format!("{} {}", keyword.word, keyword.shown).trim_end(),
            keyword.help,
        );
    }
    row(
        "--show-pass",
        "Show the interface with its password (root only).",
    );
    words.push_str("\nExit status: 0 done, 1 refused or failed, 2 usage, 3 carpd is not running.");
    Cli::command().after_help(words)
}

/// Returns whether clap reports requested output, not a mistake.
fn is_output(kind: ErrorKind) -> bool {
    kind == ErrorKind::DisplayHelp || kind == ErrorKind::DisplayVersion
}

/// Returns clap's message as one line, without its tips.
fn usage(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let line: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take_while(|line| {
            !["tip:", "Usage:", "For more"]
                .iter()
                .any(|end| line.starts_with(end))
        })
        .collect();
    let line = line.join(" ");
    Failure::Usage(line.strip_prefix("error: ").unwrap_or(&line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn help_lists_every_parameter() {
        let mut out = Vec::new();
        help(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for keyword in KEYWORDS {
            let line = format!("  {} ", keyword.word);
            assert!(
                text.lines().any(|row| row.starts_with(&line)),
                "{}",
                keyword.word
            );
            assert!(text.contains(keyword.help), "{}", keyword.word);
        }
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
    }
}
