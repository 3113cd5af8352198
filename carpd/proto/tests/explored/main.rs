//! A search for histories that break a rule: two and three hosts with real engines, mixed with a
//! peer that follows BSD's rules, and everything that can happen to them.
//!
//! `make explore MINUTES=…` searches for as long as that, an ordinary test run goes through
//! [`HISTORIES`]. The same seed always searches the same histories in the same order.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod search;
#[expect(dead_code, reason = "the simulated stories use all of it")]
#[path = "../simulated/segment/mod.rs"]
mod segment;
mod step;
mod stories;
mod world;

use std::time::Duration;

use self::search::Search;

/// How many histories an ordinary test run goes through at least: a number and not a time, so that
/// a faster machine does the same work.
const HISTORIES: u64 = 30_000;

/// How many events follow each other in a tree; walks are longer.
const DEPTH: usize = 3;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value} is no number")),
    )
}

#[test]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "how long it searches is no part of what it searches"
)]
fn no_history_breaks_a_rule() {
    let time = number("CARP_EXPLORE_SECONDS").map(Duration::from_secs);
    let histories = number("CARP_EXPLORE_HISTORIES").unwrap_or(HISTORIES);
    let seed = number("CARP_EXPLORE_SEED").unwrap_or(1);
    let start = std::time::Instant::now();
    let mut search = Search::new(seed, DEPTH);
    let mut told = start;
    let finding = loop {
        let is_over = match time {
            Some(time) => start.elapsed() >= time,
            None => search.counts.histories >= histories,
        };
        if is_over {
            break None;
        }
        if let Err(finding) = search.round() {
            break Some(finding);
        }
        if told.elapsed() > Duration::from_secs(60) {
            told = std::time::Instant::now();
            println!("{:?} after {} s", search.counts, start.elapsed().as_secs());
        }
    };
    println!(
        "seed {seed}: {:?} in {:.1} s",
        search.counts,
        start.elapsed().as_secs_f64()
    );
    if let Some(finding) = finding {
        panic!("a history breaks a rule\n{finding}");
    }
}

#[test]
fn the_same_seed_searches_the_same_histories() {
    let search = |seed| {
        let mut search = Search::new(seed, 1);
        let found = search.round().err().map(|finding| finding.to_string());
        (format!("{:?}", search.counts), found)
    };
    for seed in 1..4 {
        assert_eq!(search(seed), search(seed));
    }
}
