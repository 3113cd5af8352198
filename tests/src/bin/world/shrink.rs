//! Search for the shortest recipe that breaks the same clause.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::breach::Verdict;
use crate::oracle::examine;
use crate::recipe::{Kind, Own, Recipe, Virtuals};

/// Removes what is not needed, until `timeout`.
pub(crate) fn shrink(
    recipe: Recipe,
    verdict: Verdict,
    timeout: Duration,
) -> Result<(Recipe, Verdict)> {
    let start = Instant::now();
    let (mut best, mut verdict) = (recipe, verdict);
    let clause = verdict.breach.as_ref().map(|breach| breach.clause);
    loop {
        let mut smaller = false;
        for candidate in simpler(&best) {
            if start.elapsed() > timeout {
                return Ok((best, verdict));
            }
            let other = examine(&candidate)?;
            if other.breach.as_ref().map(|breach| breach.clause) == clause {
                (best, verdict, smaller) = (candidate, other, true);
                break;
            }
        }
        if !smaller {
            return Ok((best, verdict));
        }
    }
}

/// Returns recipes with fewer deviations, the boldest first.
fn simpler(recipe: &Recipe) -> Vec<Recipe> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Recipe)| {
        let mut other = recipe.clone();
        change(&mut other);
        if other.size() < recipe.size() && !all.contains(&other) {
            all.push(other);
        }
    };
    if recipe.before.len() + recipe.after.len() > 1 {
        with(&|other| other.after.clear());
        with(&|other| other.before.clear());
    }
    with(&|other| other.read_only = false);
    with(&|other| other.kind = Kind::Veth);
    with(&|other| other.parent = false);
    with(&|other| other.own = Own::PLAIN);
    with(&|other| other.virtuals = Virtuals::PLAIN);
    for index in (0..recipe.after.len()).rev() {
        with(&|other| {
            other.after.remove(index);
        });
    }
    for index in 0..recipe.before.len() {
        with(&|other| {
            other.before.remove(index);
        });
    }
    all
}
