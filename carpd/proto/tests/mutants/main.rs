//! Takes back one repair of the core at a time, in a copy of its sources, and checks that the search of
//! `tests/explored` finds the fault.
//!
//! The copy is built once. The environment variable `CARP_MUTANT` chooses the repair that it lacks. A few
//! seeded searches find all mutants but one: a suppressed backup that waits by its configured advskew does
//! harm only where three hosts time out together. The search rarely meets that, so a story of
//! `tests/explored/stories.rs` finds it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot continue fails"
)]

mod copy;
mod table;

use std::collections::BTreeSet;
use std::process::Command;

use self::copy::Copy;
use self::table::{FoundBy, MUTANTS, Mutant};

/// Seeds of the searches for each mutant, in this order.
const SEEDS: [u32; 4] = [1, 2, 3, 4];

/// Maximum number of histories of each search.
const HISTORIES: &str = "1500";

/// Runs one test of the copy. Returns its output if it fails.
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

/// Tests that must find a mutant: the searches, or a story.
fn tests_for(found_by: FoundBy) -> Vec<(u32, String)> {
    match found_by {
        FoundBy::Search => {
            let search = |seed| (seed, "no_history_breaks_a_rule".to_owned());
            SEEDS.map(search).to_vec()
        }
        FoundBy::Story(story) => vec![(1, format!("stories::{story}"))],
    }
}

fn is_found(copy: &Copy, mutant: &Mutant) -> bool {
    let tests = tests_for(mutant.found_by);
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
fn search_finds_each_mutant() {
    let copy = Copy::build(MUTANTS);
    let tests: BTreeSet<_> = MUTANTS
        .iter()
        .flat_map(|it| tests_for(it.found_by))
        .collect();
    for (seed, test) in &tests {
        let printed = run(&copy, "", *seed, test);
        assert_eq!(printed, None, "{test}, seed {seed}, without a mutant");
    }
    let missed = MUTANTS.iter().filter(|mutant| !is_found(&copy, mutant));
    let missed: Vec<&str> = missed.map(|mutant| mutant.name).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
