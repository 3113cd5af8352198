//! The command line.

use std::time::Duration;

use clap::Parser;

/// Random hosts, and the behaviour of carpd's addresses there.
#[derive(Clone, Debug, Parser)]
#[command(name = "world")]
pub(crate) struct Options {
    /// How long to make worlds
    #[arg(long, default_value_t = 2)]
    minutes: u64,

    /// How many worlds to make instead
    #[arg(long, value_name = "NUMBER", conflicts_with = "minutes")]
    worlds: Option<u64>,

    /// The seed of the first world; each world has the next one
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// How many worlds to make at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 2)]
    pub(crate) jobs: u64,

    /// How long to shorten a recipe that breaks a rule
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(crate) shrink: u64,

    /// Only worlds with a part whose name contains TEXT
    #[arg(long, value_name = "TEXT")]
    pub(crate) with: Option<String>,

    /// Also known failures
    #[arg(long)]
    pub(crate) all: bool,
}

impl Options {
    /// Returns whether the run is over before this seed.
    pub(crate) fn is_over(&self, seed: u64, elapsed: Duration) -> bool {
        match self.worlds {
            Some(worlds) => seed >= self.seed + worlds,
            None => elapsed >= Duration::from_secs(60 * self.minutes),
        }
    }
}
