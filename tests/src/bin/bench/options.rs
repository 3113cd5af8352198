//! The command line of `make bench`.

use clap::Parser;
use clap::builder::PossibleValuesParser;

use crate::scenario::{Scenario, Size};
use crate::scenarios::ALL;

/// carpd, ucarp and keepalived from a client's point of view.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Options {
    /// Run these scenarios alone, and print the table instead of writing BENCHMARKS.md
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = names())]
    only: Vec<String>,

    /// How often each is repeated
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,

    /// Everything once, so small that it is over in seconds: shows that the bench works
    #[arg(long)]
    smoke: bool,

    /// Measure nothing, write BENCHMARKS.md from the last results
    #[arg(long)]
    render: bool,
}

impl Options {
    /// Returns how often each scenario is repeated.
    pub(crate) fn repeat(&self) -> usize {
        self.repeat.into()
    }

    /// Returns how thoroughly to measure.
    pub(crate) const fn size(&self) -> Size {
        if self.smoke { Size::Smoke } else { Size::Full }
    }

    /// Returns the scenarios to run.
    pub(crate) fn chosen(&self) -> impl Iterator<Item = &'static Scenario> {
        ALL.iter().filter(|scenario| {
            !self.render
                && (self.only.is_empty() || self.only.iter().any(|name| name == scenario.name))
        })
    }

    /// Returns whether earlier results are kept beside those of this run.
    pub(crate) fn adds(&self) -> bool {
        self.size() == Size::Full && (self.render || !self.only.is_empty())
    }

    /// Returns whether BENCHMARKS.md is written.
    pub(crate) fn writes_document(&self) -> bool {
        self.size() == Size::Full && self.only.is_empty()
    }

    /// Returns the file of results. A small run has its own.
    pub(crate) fn file_name(&self) -> &'static str {
        match self.size() {
            Size::Full => "results.json",
            Size::Smoke => "smoke.json",
        }
    }
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(ALL.iter().map(|scenario| scenario.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, clap::Error> {
        Options::try_parse_from(std::iter::once("bench").chain(line.split_whitespace()))
    }

    #[test]
    fn only_a_whole_run_writes_the_document() -> Result<(), clap::Error> {
        assert!(parse("")?.writes_document());
        assert!(parse("--render")?.writes_document());
        assert!(!parse("--only many,micro")?.writes_document());
        assert!(!parse("--smoke")?.writes_document());
        Ok(())
    }

    #[test]
    fn unknown_scenarios_and_zero_repetitions_are_refused() {
        for (line, text) in [
            ("--only nothing", "[possible values: micro, "),
            ("--repeat 0", "0 is not in 1..=65535"),
        ] {
            let error = parse(line).err().map(|error| error.to_string());
            assert!(
                error.as_deref().unwrap_or_default().contains(text),
                "{line}: {error:?}"
            );
        }
    }
}
