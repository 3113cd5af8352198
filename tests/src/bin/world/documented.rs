//! Failures that carpd cannot detect but the manual describes. carpd does not read packet filters:
//! neither the carp device nor their rules show which packets they drop.

use anyhow::{Result, ensure};
use carp_tests::source;

use crate::recipe::Recipe;

/// Names of steps, each with the sentence of carp(4) that explains why clients then get no answer
/// from a virtual address.
const SILENT: [(&str, &str); 1] = [(
    "nft: carpdev alone",
    "comes in on the device: rules for eth0 match neither.",
)];

impl Recipe {
    /// Returns the sentence of carp(4) that explains why clients get no answer from a virtual
    /// address.
    pub(crate) fn documented_silence(&self) -> Result<Option<&'static str>> {
        let names = self.names();
        let step = SILENT
            .iter()
            .find(|(step, _)| names.iter().any(|name| name == step));
        let Some((_, sentence)) = step else {
            return Ok(None);
        };
        check(sentence)?;
        Ok(Some(sentence))
    }
}

/// Looks up the sentence.
///
/// # Errors
/// If the manual does not have it.
fn check(sentence: &str) -> Result<()> {
    let page = plain(&source("man/carp.4")?);
    ensure!(page.contains(sentence), "carp(4) no longer has: {sentence}");
    Ok(())
}

/// Returns the words of a page without its macros.
fn plain(page: &str) -> String {
    let lines = page.lines().map(|line| match line.strip_prefix('.') {
        None => line,
        Some(request) => request.split_once(' ').map_or("", |(_, words)| words),
    });
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_has_every_sentence() -> Result<()> {
        SILENT.iter().try_for_each(|(_, sentence)| check(sentence))
    }
}
