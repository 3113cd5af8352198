//! The command line: options and commands. The words behind an interface's name are read by
//! [`crate::ifconfig`].

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write;

use carp_dbus::ifconfig::KEYWORDS;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::colour::Colour;
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
    /// Show all interfaces: what happens without arguments, too
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
    /// Show events as they happen, one a line
    Monitor(monitor::Arguments),
    /// Run a command with preemption suppressed, or list why it is
    Suppress(suppress::Arguments),
    /// Write what runs into the configuration files
    Save,
    /// Change what differs from the configuration files
    Reload,
    /// Check the configuration files and change nothing
    Check(configuration::Arguments),
    /// Print the completion script for a shell
    Completions(complete::Arguments),
    /// The name of an interface and the words behind it.
    #[command(external_subcommand)]
    Interface(Vec<OsString>),
}

/// Runs the command line `arguments`, the program's own name first.
///
/// # Errors
/// Why it failed, with its exit status.
pub(crate) async fn run(
    arguments: impl Iterator<Item = OsString>,
    out: &mut impl Write,
) -> Outcome {
    let arguments: Vec<OsString> = arguments.collect();
    if let [_, flag, words @ ..] = arguments.as_slice()
        && flag == complete::FLAG
    {
        return complete::candidates(words, out).await;
    }
    // What is wanted most often need not wait for clap to learn every command there is: it would
    // hand over the same words.
    if let [_, words @ ..] = arguments.as_slice()
        && let [name, ..] = words
        && name.to_str().is_some_and(ifconfig::is_interface)
    {
        return ifconfig::run(words, false, out, Colour::of_stdout()).await;
    }
    if let [_, word] = arguments.as_slice()
        && word == "help"
    {
        return help(out);
    }
    let cli = match command().try_get_matches_from(arguments) {
        Ok(matches) => Cli::from_arg_matches(&matches).map_err(|error| usage(&error))?,
        Err(error) if is_asked_for(error.kind()) => {
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
            "-a and -l stand without the name of an interface or a command".into(),
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
        Some(Command::Interface(words)) => {
            ifconfig::run(&words, json, out, Colour::of_stdout()).await
        }
    }
}

/// Writes what `--help` shows.
///
/// # Errors
/// Those of `out`.
pub(crate) fn help(out: &mut impl Write) -> Outcome {
    Ok(write!(out, "{}", command().render_help())?)
}

/// Clap's command, with the table of words in its help.
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
        "Show the interface with its password: for root alone.",
    );
    words.push_str("\nExit status: 0 done, 1 refused or failed, 2 usage, 3 carpd is not running.");
    Cli::command().after_help(words)
}

fn is_asked_for(kind: ErrorKind) -> bool {
    kind == ErrorKind::DisplayHelp || kind == ErrorKind::DisplayVersion
}

/// Clap's message as one line, without its advice.
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
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn the_help_names_every_word() {
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
