//! Values and failures of a run, kept as JSON in cargo's build directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::figures::Id;
use crate::machine::Machine;

/// One cell of a table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// One value for each repetition that succeeded, in the base unit of the figure.
    pub(crate) values: Vec<f64>,
    /// The reasons of repetitions that failed.
    pub(crate) failures: Vec<String>,
}

/// Median, least and greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

impl Cell {
    /// Returns `None` if there are no values.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        Some(Summary {
            median: median(&sorted)?,
            least: *sorted.first()?,
            greatest: *sorted.last()?,
        })
    }
}

/// Returns the middle one of sorted values, or the mean of the two in the middle.
pub(crate) fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get((sorted.len() / 2).checked_sub(1)?)?;
    Some(f64::midpoint(lower, upper))
}

/// One point of the plot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    /// Number of virtual hosts.
    pub(crate) hosts: u32,
    /// Processor time, as a share of one processor.
    pub(crate) processor: f64,
    /// The part that renews the leases.
    pub(crate) leases: f64,
    /// Memory in bytes.
    pub(crate) memory: f64,
}

/// Results of a run, and of earlier ones that it has added to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) cells: BTreeMap<Id, BTreeMap<Engine, Cell>>,
    pub(crate) points: Vec<Point>,
}

impl Results {
    /// Returns empty results.
    pub(crate) fn new(machine: Machine) -> Self {
        Self {
            machine,
            cells: BTreeMap::new(),
            points: Vec::new(),
        }
    }

    /// Adds a value.
    pub(crate) fn add(&mut self, id: Id, engine: Engine, value: f64) {
        self.cell(id, engine).values.push(value);
    }

    /// Adds the reason why there is no value.
    pub(crate) fn fail(&mut self, id: Id, engine: Engine, reason: &str) {
        self.cell(id, engine).failures.push(reason.to_owned());
    }

    fn cell(&mut self, id: Id, engine: Engine) -> &mut Cell {
        self.cells.entry(id).or_default().entry(engine).or_default()
    }

    /// Returns the median of an engine.
    pub(crate) fn median(&self, id: Id, engine: Engine) -> Option<f64> {
        let cell = self.cells.get(&id)?.get(&engine)?;
        Some(cell.summary()?.median)
    }

    /// Reads the results of an earlier run.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{}", path.display()))
    }

    /// Writes the results.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(path, serde_json::to_string_pretty(self)?)
            .with_context(|| format!("{}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let cell = |values: &[f64]| Cell {
            values: values.to_vec(),
            failures: Vec::new(),
        };
        assert_eq!(cell(&[]).summary(), None);
        let odd = cell(&[5.0, 1.0, 2.0]).summary().map(|it| it.median);
        assert_eq!(odd, Some(2.0));
        let even = cell(&[4.0, 1.0, 2.0, 9.0]).summary();
        assert_eq!(
            even,
            Some(Summary {
                median: 3.0,
                least: 1.0,
                greatest: 9.0
            })
        );
    }
}
