//! The shortest recipe that breaks the same clause.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::oracle::{Verdict, judge};
use crate::recipe::{Kind, Own, Recipe, Virtuals};

/// Leaves out what is not needed, for so long at most.
pub(crate) fn shrink(
    recipe: Recipe,
    verdict: Verdict,
    patience: Duration,
) -> Result<(Recipe, Verdict)> {
    let start = Instant::now();
    let (mut best, mut verdict) = (recipe, verdict);
    let clause = verdict.breach.as_ref().map(|breach| breach.clause);
    loop {
        let mut smaller = false;
        for candidate in simpler(&best) {
            if start.elapsed() > patience {
                return Ok((best, verdict));
            }
            let other = judge(&candidate)?;
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

/// Recipes with one deviation fewer, the boldest first.
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
    with(&|other| other.frozen = false);
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
