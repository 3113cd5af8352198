//! Command line of carpd.

use std::path::PathBuf;

use clap::Parser;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::WorkerGuard;

use crate::bus::system::Bus;
use crate::log;
use crate::realtime::Priority;

/// CARP daemon: several hosts share addresses, and when the host that holds them dies, another takes
/// over.
#[derive(Debug, Parser)]
#[command(name = "carpd", version)]
pub(crate) struct Options {
    /// Directory of rc.conf and sysctl.conf
    #[arg(long, value_name = "DIR", default_value = "/etc/carpd")]
    pub(crate) config_dir: PathBuf,

    /// Check the configuration, or the given file or directory, and exit
    #[arg(long, value_name = "PATH", num_args = 0..=1)]
    #[expect(
        clippy::option_option,
        reason = "clap represents an option with an optional value like this"
    )]
    pub(crate) check: Option<Option<PathBuf>>,

    /// Directory of programs to run on changes of state [default: hooks.d in the configuration directory]
    #[arg(long, value_name = "DIR")]
    hooks_dir: Option<PathBuf>,

    /// Directory of run-time state and the private socket
    #[arg(long, value_name = "DIR", default_value = "/run/carpd")]
    pub(crate) run_dir: PathBuf,

    /// D-Bus to serve org.carpd1 on: system, none, or a D-Bus address
    #[arg(long, value_name = "BUS", default_value = "system")]
    pub(crate) bus: Bus,

    /// Socket that serves root without a bus [default: bus in the run directory]
    #[arg(long, value_name = "PATH")]
    private_socket: Option<PathBuf>,

    /// Run the protocol with this real-time priority and lock all memory
    #[arg(long, value_name = "PRIORITY", num_args = 0..=1, require_equals = true,
          default_missing_value = "10")]
    pub(crate) realtime: Option<Priority>,

    /// On a stop, leave everything in place for the next carpd and do not hand over
    #[arg(long)]
    pub(crate) keep: bool,

    /// Log to standard error, with times, even if it is connected to systemd's journal
    #[arg(long)]
    foreground: bool,

    /// Lowest level to log: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: LevelFilter,
}

impl Options {
    /// Path of the private socket.
    pub(crate) fn private_socket(&self) -> PathBuf {
        self.private_socket
            .clone()
            .unwrap_or_else(|| self.run_dir.join("bus"))
    }

    /// Directory of the hooks.
    pub(crate) fn hooks_dir(&self) -> PathBuf {
        self.hooks_dir
            .clone()
            .unwrap_or_else(|| self.config_dir.join("hooks.d"))
    }

    /// Starts logging. Dropping the guard writes all queued lines.
    pub(crate) fn start_log(&self) -> WorkerGuard {
        log::start(self.log_level, self.foreground)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_option_is_in_the_manual_and_no_other() {
        let page = include_str!("../../man/carpd.8");
        let (_, list) = page.split_once("The options are:").unwrap();
        let (list, _) = list.split_once(".Sh ").unwrap();
        let described: BTreeSet<&str> = list
            .lines()
            .filter_map(|line| line.strip_prefix(".It Fl -"))
            .filter_map(|rest| rest.split(' ').next())
            .collect();
        let mut command = Options::command();
        command.build();
        let known: BTreeSet<&str> = command
            .get_arguments()
            .filter_map(clap::Arg::get_long)
            .collect();
        assert_eq!(described, known);
        for option in known
            .iter()
            .filter(|name| !["help", "version"].contains(name))
        {
            let (synopsis, _) = page.split_once(".Sh DESCRIPTION").unwrap();
            assert!(synopsis.contains(&format!("Fl -{option}")), "{option}");
        }
    }

    /// Options in a completion script: the words that follow `mark`.
    fn completed(script: &'static str, mark: &str) -> BTreeSet<&'static str> {
        let lines = script
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        let found = lines.flat_map(|line| line.split(mark).skip(1));
        found
            .filter_map(|rest| {
                rest.split(|c: char| !c.is_ascii_lowercase() && c != '-')
                    .next()
            })
            .filter(|word| !word.is_empty())
            .collect()
    }

    #[test]
    fn every_shell_completes_every_option_and_every_level() {
        let mut command = Options::command();
        command.build();
        let known: BTreeSet<&str> = command
            .get_arguments()
            .filter_map(clap::Arg::get_long)
            .collect();
        for (script, mark) in [
            (include_str!("../../completions/carpd.bash"), "--"),
            (include_str!("../../completions/_carpd"), "--"),
            (include_str!("../../completions/carpd.fish"), " -l "),
        ] {
            assert_eq!(completed(script, mark), known, "{script}");
            assert!(script.contains("error warn info debug trace"), "{script}");
        }
    }
}
