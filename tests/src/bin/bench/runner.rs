//! Runs scenarios: the engines take turns, and a failure is reported without ending the run.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::Result;

use crate::engine::Engine;
use crate::figures::{Id, SECTIONS};
use crate::results::Results;
use crate::scenario::{Outcome, Scenario, Size};

/// Repeats a scenario; in every second repetition the engines come in the opposite order.
pub(crate) fn run(scenario: &Scenario, repeat: usize, results: &mut Results) -> Result<()> {
    let begin = Instant::now();
    for id in scenario.figures {
        results.cells.remove(id);
    }
    let repeat = scenario.repeat.map_or(repeat, |most| repeat.min(most));
    for round in 0..repeat {
        let mut engines = scenario.engines.to_vec();
        if round % 2 == 1 {
            engines.reverse();
        }
        for engine in engines {
            eprint!("{:<11} {}/{repeat} {engine:<16}", scenario.name, round + 1);
            let begin = Instant::now();
            let mut outcome = Outcome::default();
            let failure = (scenario.run)(engine, Size::Full, &mut outcome).err();
            eprintln!("{:>7.1} s", begin.elapsed().as_secs_f64());
            carp_tests::check_interrupted()?;
            note(scenario, engine, outcome, failure, results);
        }
    }
    eprintln!(
        "{:<11} done in {:.0} s",
        scenario.name,
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Runs scenarios once with each of their engines, several at a time, to show that they work. The
/// figures mean nothing.
pub(crate) fn smoke(scenarios: &[&Scenario], results: &mut Results) -> Result<()> {
    const PARALLEL: usize = 6;
    let mut pairs: Vec<(&Scenario, Engine)> = scenarios
        .iter()
        .flat_map(|scenario| scenario.engines.iter().map(|engine| (*scenario, *engine)))
        .collect();
    pairs.reverse();
    let (pairs, results) = (Mutex::new(pairs), Mutex::new(results));
    let next = || pairs.lock().unwrap_or_else(PoisonError::into_inner).pop();
    thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                while let Some((scenario, engine)) = next() {
                    let (begin, mut outcome) = (Instant::now(), Outcome::default());
                    let failure = (scenario.run)(engine, Size::Smoke, &mut outcome).err();
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    let took = begin.elapsed().as_secs_f64();
                    eprintln!("{:<11} {engine:<16}{took:>7.1} s", scenario.name);
                    note(scenario, engine, outcome, failure, &mut results);
                }
            });
        }
    });
    carp_tests::check_interrupted()
}

fn note(
    scenario: &Scenario,
    engine: Engine,
    outcome: Outcome,
    failure: Option<anyhow::Error>,
    results: &mut Results,
) {
    let mut measured = BTreeSet::new();
    for (id, value) in outcome.values {
        measured.insert(id);
        results.add(id, engine, value);
        if let Some(figure) = figure(id) {
            eprintln!("    {} — {}", figure.unit.show(value), figure.title);
        }
    }
    if !outcome.points.is_empty() {
        results.points = outcome.points;
    }
    if let Some(error) = failure {
        let reason = format!("{error:#}");
        eprintln!("    failed: {reason}");
        let first = reason.lines().next().unwrap_or_default();
        for id in scenario.figures {
            if !measured.contains(id) && concerns(*id, engine) {
                results.fail(*id, engine, first);
            }
        }
    }
}

/// Returns whether the engine can have this figure.
fn concerns(id: Id, engine: Engine) -> bool {
    id != Id::Unleased255 || engine == Engine::Carpd
}

fn figure(id: Id) -> Option<&'static crate::figures::Figure> {
    SECTIONS
        .iter()
        .flat_map(|(_, figures)| figures.iter())
        .find(|figure| figure.id == id)
}
