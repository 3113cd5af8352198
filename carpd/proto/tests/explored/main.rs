//! Search for histories that break a rule: groups of two and three engines, some beside a peer that
//! follows BSD's rules, and all kinds of events.
//!
//! `make explore MINUTES=…` searches for that time, and a test run tries [`HISTORIES`]. The same seed always
//! searches the same histories in the same order.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot continue fails"
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

/// Minimum number of histories of a test run. It is not a time, so that each machine does the same work.
const HISTORIES: u64 = 30_000;

/// Number of events in each history of a tree. Walks are longer.
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
    reason = "the time limits the search, and does not change its order"
)]
fn no_history_breaks_a_rule() {
    let time = number("CARP_EXPLORE_SECONDS").map(Duration::from_secs);
    let histories = number("CARP_EXPLORE_HISTORIES").unwrap_or(HISTORIES);
    let seed = number("CARP_EXPLORE_SEED").unwrap_or(1);
    let start = std::time::Instant::now();
    let mut search = Search::new(seed, DEPTH);
    let mut reported = start;
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
        if reported.elapsed() > Duration::from_secs(60) {
            reported = std::time::Instant::now();
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
fn search_with_one_seed_is_deterministic() {
    let search = |seed| {
        let mut search = Search::new(seed, 1);
        let found = search.round().err().map(|finding| finding.to_string());
        (format!("{:?}", search.counts), found)
    };
    for seed in 1..4 {
        assert_eq!(search(seed), search(seed));
    }
}
