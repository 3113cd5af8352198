//! Takes back one repair of the core at a time, in a copy of its sources, and looks whether the
//! search of `tests/explored` still finds what was wrong.
//!
//! The copy is built once; the environment variable `CARP_MUTANT` says which repair is missing. One
//! of a few seeded searches finds all of them but one: a suppressed backup that waits by its
//! configured skew does harm only where three hosts time out together, which the search meets too
//! rarely, so a story of `tests/explored/stories.rs` finds it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod copy;
mod table;

use std::collections::BTreeSet;
use std::process::Command;

use self::copy::Copy;
use self::table::{Found, MUTANTS, Mutant};

/// The searches that look for each mutant, one after the other.
const SEEDS: [u32; 4] = [1, 2, 3, 4];

/// How many histories each search goes through at most.
const HISTORIES: &str = "1500";

/// Runs one test of the copy; what it prints if it fails.
fn run(copy: &Copy, mutant: &str, seed: u32, test: &str) -> Option<String> {
    let output = Command::new(&copy.program)
        .args([test, "--exact"])
        .current_dir(&copy.directory)
        .env("CARP_MUTANT", mutant)
        .env("CARP_EXPLORE_HISTORIES", HISTORIES)
        .env("CARP_EXPLORE_SEED", seed.to_string())
        .env_remove("CARP_EXPLORE_SECONDS")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        printed.contains("running 1 test\n"),
        "{test} is no test: {printed}"
    );
    (!output.status.success()).then_some(printed)
}

/// The tests that look for a mutant: each search, or a story.
fn tests_for(found: Found) -> Vec<(u32, String)> {
    match found {
        Found::BySearch => {
            let search = |seed| (seed, "no_history_breaks_a_rule".to_owned());
            SEEDS.map(search).to_vec()
        }
        Found::ByStory(story) => vec![(1, format!("stories::{story}"))],
    }
}

fn is_found(copy: &Copy, mutant: &Mutant) -> bool {
    let tests = tests_for(mutant.found);
    let printed = tests
        .iter()
        .find_map(|(seed, test)| run(copy, mutant.name, *seed, test));
    let broke = ["a history breaks a rule", "all faults have stopped"];
    printed.is_some_and(|printed| {
        assert!(broke.iter().any(|it| printed.contains(it)), "{printed}");
        true
    })
}

#[test]
fn every_repair_that_is_taken_back_is_found() {
    let copy = Copy::build(MUTANTS);
    let tests: BTreeSet<_> = MUTANTS.iter().flat_map(|it| tests_for(it.found)).collect();
    for (seed, test) in &tests {
        let printed = run(&copy, "", *seed, test);
        assert_eq!(printed, None, "{test}, seed {seed}, without a mutant");
    }
    let missed = MUTANTS.iter().filter(|mutant| !is_found(&copy, mutant));
    let missed: Vec<&str> = missed.map(|mutant| mutant.name).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
