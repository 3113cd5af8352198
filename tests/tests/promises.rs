//! The table that names a test for every sentence of carp(4): it has all of the page, and the tests
//! exist.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

const PAGE: &str = include_str!("../data/carp.4.txt");
const TABLES: &str = include_str!("../PROMISES.md");
const HEADING: &str = "## carp(4), sentence by sentence";

/// Reasons for which a sentence needs no test.
const NO_PROMISES: [&str; 4] = ["*heading*", "*references*", "*history*", "*no counterpart*"];

/// Returns number, sentence and tests of each row.
fn rows() -> Result<Vec<[&'static str; 3]>> {
    let (_, section) = TABLES
        .split_once(HEADING)
        .context("the section is in PROMISES.md")?;
    let (_, rows) = section
        .split_once("| --- | --- | --- |")
        .context("a table in it")?;
    rows.trim()
        .lines()
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            cells
                .try_into()
                .ok()
                .with_context(|| format!("three cells: {line}"))
        })
        .collect()
}

/// Returns the names of tests in backquotes: `file::test`.
fn references(text: &'static str) -> Vec<(&'static str, &'static str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|name| name.split_once("::")).collect()
}

/// Returns the file of a test: of this crate by its name, of another crate by its path.
fn file(name: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    if name.contains('/') {
        tests.join("..").join(name)
    } else {
        tests.join("tests").join(name).with_extension("rs")
    }
}

fn ensure_exists(name: &str, test: &str) -> Result<()> {
    let path = file(name);
    let source = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut lines = source.lines().map(str::trim);
    let mut found = test == "*";
    while let Some(line) = lines.next() {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            let function = lines.find(|line| line.contains("fn ")).unwrap_or_default();
            found |= function.contains(&format!("fn {test}("));
        }
    }
    ensure!(found, "there is no test {test} in {}", path.display());
    Ok(())
}

#[test]
fn table_has_every_sentence_of_the_page_in_order() -> Result<()> {
    let rows = rows()?;
    for (place, [number, ..]) in rows.iter().enumerate() {
        assert_eq!(number.parse(), Ok(place + 1), "the rows are numbered");
    }
    let sentences = rows
        .iter()
        .flat_map(|[_, sentence, _]| sentence.split_whitespace());
    // Word by word, so that a failure shows the place.
    let mut page = PAGE.split_whitespace();
    let mut before = Vec::new();
    for word in sentences {
        assert_eq!(page.next(), Some(word), "behind: {}", before.join(" "));
        before.push(word);
    }
    assert_eq!(page.next(), None, "behind: {}", before.join(" "));
    Ok(())
}

#[test]
fn every_sentence_has_tests_that_exist() -> Result<()> {
    for [number, sentence, shown_by] in rows()? {
        let tests = references(shown_by);
        ensure!(
            !tests.is_empty()
                || NO_PROMISES
                    .iter()
                    .any(|reason| shown_by.starts_with(reason)),
            "{number}: nothing shows that {sentence}"
        );
        for (name, test) in tests {
            ensure_exists(name, test).with_context(|| format!("{number}: {sentence}"))?;
        }
    }
    Ok(())
}

#[test]
fn every_test_that_is_named_exists() -> Result<()> {
    let tests = references(TABLES);
    ensure!(tests.len() > 100, "{} are named", tests.len());
    tests
        .into_iter()
        .try_for_each(|(name, test)| ensure_exists(name, test))
}

#[test]
fn every_file_of_stories_is_named() -> Result<()> {
    let named: Vec<&str> = references(TABLES).iter().map(|(file, _)| *file).collect();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"))? {
        let path = entry?.path();
        let story = path.file_stem().and_then(|name| name.to_str());
        ensure!(
            story.is_some_and(|story| named.contains(&story)),
            "PROMISES.md does not name {}",
            path.display()
        );
    }
    Ok(())
}
