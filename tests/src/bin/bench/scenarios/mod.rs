//! The scenarios, with the figures that each measures.

mod commands;
mod failover;
mod flood;
mod forwarding;
mod many;
mod micro;
mod scaling;
mod subsecond;

use std::time::Duration;

use anyhow::Result;

use crate::figures::Id;
use crate::node::Engine;
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

const CARPD: &[Engine] = &[Engine::Carpd];
const CARPD_AND_KEEPALIVED: &[Engine] = &[Engine::Carpd, Engine::Keepalived];

/// All scenarios, the quick ones first.
pub(crate) static ALL: [Scenario; 10] = [
    Scenario {
        name: "micro",
        engines: CARPD,
        figures: &[
            Id::MicroHandle,
            Id::MicroHandle255,
            Id::MicroForgery,
            Id::MicroAdvertise,
            Id::MicroDigest,
            Id::MicroVerify,
            Id::MicroPrepare,
            Id::MicroParse,
            Id::MicroEmit,
        ],
        repeat: Some(1),
        run: micro::run,
    },
    Scenario {
        name: "commands",
        engines: CARPD,
        figures: &[
            Id::CtlRatio,
            Id::CtlTime,
            Id::CtlProcessor,
            Id::Configure,
            Id::Start255,
            Id::Stop255,
        ],
        repeat: None,
        run: commands::run,
    },
    Scenario {
        name: "forwarding",
        engines: CARPD,
        figures: &[Id::ForwardRatio, Id::ForwardTap, Id::ForwardRate],
        repeat: None,
        run: forwarding::run,
    },
    Scenario {
        name: "failover",
        engines: &Engine::ALL,
        figures: &[
            Id::PlannedOutage,
            Id::PlannedLost,
            Id::ReturnTakeover,
            Id::FailbackTakeover,
            Id::FailbackOutage,
            Id::FailbackLost,
            Id::UnplannedTakeover,
            Id::UnplannedOutage,
        ],
        repeat: None,
        run: failover::run,
    },
    Scenario {
        name: "many",
        engines: &Engine::ALL,
        figures: &[
            Id::Master255,
            Id::Unleased255,
            Id::Backup255,
            Id::Memory255,
            Id::Storm255,
            Id::Leave255,
        ],
        repeat: None,
        run: many::run,
    },
    Scenario {
        name: "storm",
        engines: CARPD_AND_KEEPALIVED,
        figures: &[Id::Storm1020],
        repeat: None,
        run: many::storm,
    },
    Scenario {
        name: "flood",
        engines: &Engine::ALL,
        figures: &[Id::BadTwoMasters, Id::BadLog],
        repeat: None,
        run: flood::bad,
    },
    Scenario {
        name: "flood100k",
        engines: CARPD,
        figures: &[
            Id::FloodRate,
            Id::FloodTakeovers,
            Id::FloodLate,
            Id::FloodMaster,
            Id::FloodBackup,
        ],
        repeat: None,
        run: flood::heavy,
    },
    Scenario {
        name: "scaling",
        engines: CARPD,
        figures: &[
            Id::Leases16,
            Id::Leases255,
            Id::Leases4080,
            Id::BareFrames4080,
            Id::BareLeases4080,
            Id::Master4080,
            Id::Memory4080,
            Id::CtlAll4080,
        ],
        repeat: Some(1),
        run: scaling::run,
    },
    Scenario {
        name: "subsecond",
        engines: CARPD,
        figures: &[
            Id::SubsecondExcess,
            Id::FalseRealtime,
            Id::LateRealtime,
            Id::FalsePlain,
            Id::LatePlain,
        ],
        repeat: Some(1),
        run: subsecond::run,
    },
];
