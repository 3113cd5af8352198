//! What `make bench` was asked for.

use anyhow::{Context as _, Result, bail};

use crate::scenarios::{ALL, Scenario, Size};

/// One line of help for each option.
pub(crate) const USAGE: &str = "\
usage: bench [--only NAME[,NAME...]] [--repeat N] [--smoke] [--render]
  --only NAME  run these scenarios alone, and print the table instead of writing BENCHMARKS.md
  --repeat N   repetitions of each, 5 unless told
  --smoke      everything once, so small that it is over in seconds: shows that the bench works
  --render     measure nothing, write BENCHMARKS.md from the last results";

/// The command line.
pub(crate) struct Options {
    only: Vec<String>,
    pub(crate) repeat: usize,
    pub(crate) size: Size,
    /// Only write the document anew.
    pub(crate) render: bool,
}

impl Options {
    /// Reads the words behind the program's name. An empty argument is none, so that `make` can
    /// always give one.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            only: Vec::new(),
            repeat: 5,
            size: Size::Full,
            render: false,
        };
        let mut words = words;
        while let Some(word) = words.next() {
            let mut argument = || {
                words
                    .next()
                    .with_context(|| format!("{word} needs a value"))
            };
            match word.as_str() {
                "--only" => options.only = names(&argument()?)?,
                "--repeat" => {
                    let text = argument()?;
                    let count = text.parse().ok().filter(|count| *count > 0);
                    options.repeat =
                        count.with_context(|| format!("--repeat {text}: 1 or more"))?;
                }
                "--smoke" => options.size = Size::Smoke,
                "--render" => options.render = true,
                _ => bail!("what is {word}?"),
            }
        }
        Ok(options)
    }

    /// The scenarios to run.
    pub(crate) fn chosen(&self) -> impl Iterator<Item = &'static Scenario> {
        ALL.iter().filter(|scenario| {
            !self.render
                && (self.only.is_empty() || self.only.iter().any(|name| name == scenario.name))
        })
    }

    /// Whether earlier results are kept beside those of this run.
    pub(crate) fn adds(&self) -> bool {
        self.size == Size::Full && (self.render || !self.only.is_empty())
    }

    /// Whether BENCHMARKS.md is written.
    pub(crate) fn writes_document(&self) -> bool {
        self.size == Size::Full && self.only.is_empty()
    }

    /// A small run does not touch the results of a whole one.
    pub(crate) fn file_name(&self) -> &'static str {
        match self.size {
            Size::Full => "results.json",
            Size::Smoke => "smoke.json",
        }
    }
}

fn names(list: &str) -> Result<Vec<String>> {
    let known: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
    list.split(',')
        .map(|name| {
            if known.contains(&name) {
                Ok(name.to_owned())
            } else {
                bail!("no scenario {name}: there are {}", known.join(", "))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn only_a_whole_run_writes_the_document() -> Result<()> {
        assert!(parse("")?.writes_document());
        assert!(parse("--render")?.writes_document());
        assert!(!parse("--only many,micro")?.writes_document());
        assert!(!parse("--smoke")?.writes_document());
        Ok(())
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (line, text) in [
            ("--only nothing", "no scenario nothing: there are micro,"),
            ("--repeat 0", "--repeat 0"),
            ("--only", "--only needs a value"),
            ("--fast", "what is --fast?"),
        ] {
            let error = parse(line).err().map(|error| error.to_string());
            assert!(
                error.as_deref().unwrap_or_default().contains(text),
                "{line}: {error:?}"
            );
        }
    }
}
