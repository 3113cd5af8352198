//! The command line.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

pub(crate) const USAGE: &str = "usage: world [--minutes MINUTES | --worlds NUMBER] [--seed SEED] [--jobs NUMBER] [--shrink SECONDS]
             [--with TEXT] [--all]";

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// How long.
    minutes: u64,
    /// How many worlds instead.
    worlds: Option<u64>,
    /// The first seed; each world has the next one.
    pub(crate) seed: u64,
    /// How many worlds at a time.
    pub(crate) jobs: u64,
    /// How many seconds a recipe may be shortened.
    pub(crate) shrink: u64,
    /// Only worlds with something whose name contains it.
    pub(crate) with: Option<String>,
    /// Also what is known not to hold.
    pub(crate) all: bool,
}

impl Options {
    /// # Errors
    /// An option or a value that there is not.
    pub(crate) fn parse(words: &[String]) -> Result<Self> {
        let mut options = Self {
            minutes: 2,
            worlds: None,
            seed: 1,
            jobs: 2,
            shrink: 120,
            with: None,
            all: false,
        };
        let mut words = words.iter();
        while let Some(option) = words.next() {
            if option == "--with" {
                options.with = Some(words.next().context("--with what")?.clone());
                continue;
            }
            let mut value = || -> Result<u64> {
                let value = words
                    .next()
                    .with_context(|| format!("{option} needs a value"))?;
                value.parse().with_context(|| format!("{option} {value}"))
            };
            match option.as_str() {
                "--minutes" => options.minutes = value()?,
                "--worlds" => options.worlds = Some(value()?),
                "--seed" => options.seed = value()?,
                "--jobs" => options.jobs = value()?,
                "--shrink" => options.shrink = value()?,
                "--all" => options.all = true,
                _ => bail!("{option}: no such option"),
            }
        }
        Ok(options)
    }

    /// Whether no world of this seed is asked for.
    pub(crate) fn is_over(&self, seed: u64, elapsed: Duration) -> bool {
        match self.worlds {
            Some(worlds) => seed >= self.seed + worlds,
            None => elapsed >= Duration::from_secs(60 * self.minutes),
        }
    }
}
