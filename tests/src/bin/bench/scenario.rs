//! An experiment, and its results.

use std::time::Duration;

use anyhow::Result;

use crate::engine::Engine;
use crate::figures::Id;
use crate::results::Point;

/// An experiment, repeated with each of its engines in turn.
pub(crate) struct Scenario {
    /// Name for `ONLY=`.
    pub(crate) name: &'static str,
    /// Engines that take part.
    pub(crate) engines: &'static [Engine],
    /// Figures of one repetition.
    pub(crate) figures: &'static [Id],
    /// Maximum of repetitions; a long scenario repeats within itself.
    pub(crate) repeat: Option<usize>,
    /// Runs one repetition with one engine.
    pub(crate) run: fn(Engine, Size, &mut Outcome) -> Result<()>,
}

/// The full size, or one that is over in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Full,
    Smoke,
}

impl Size {
    /// Returns this number, or a small one.
    pub(crate) fn count<T: From<u8> + Ord>(self, full: T) -> T {
        match self {
            Self::Full => full,
            Self::Smoke => full.min(T::from(8)),
        }
    }

    /// Returns this time, or a short one.
    pub(crate) fn time(self, full: Duration) -> Duration {
        match self {
            Self::Full => full,
            Self::Smoke => full.min(Duration::from_secs(2)),
        }
    }
}

/// Values that one repetition has measured until it ended or failed.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) values: Vec<(Id, f64)>,
    pub(crate) points: Vec<Point>,
}

impl Outcome {
    /// Adds a value in the base unit of its figure.
    pub(crate) fn add(&mut self, id: Id, value: f64) {
        self.values.push((id, value));
    }

    /// Adds a time.
    pub(crate) fn add_time(&mut self, id: Id, value: Duration) {
        self.add(id, value.as_secs_f64());
    }
}
