//! What is done to the engines, and which figures come of it.

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

/// One thing to do, again and again, with each of its engines in turn.
pub(crate) struct Scenario {
    /// For `ONLY=`.
    pub(crate) name: &'static str,
    /// Who takes part.
    pub(crate) engines: &'static [Engine],
    /// What comes of one repetition.
    pub(crate) figures: &'static [Id],
    /// Its repetitions at most; a long one carries its own within.
    pub(crate) repeat: Option<usize>,
    /// One repetition with one engine.
    pub(crate) run: fn(Engine, Size, &mut Outcome) -> Result<()>,
}

/// All of it, or so little that it is over in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Full,
    Smoke,
}

impl Size {
    /// So many, or a few.
    pub(crate) fn count<T: From<u8> + Ord>(self, full: T) -> T {
        match self {
            Self::Full => full,
            Self::Smoke => full.min(T::from(8)),
        }
    }

    /// So long, or a moment.
    pub(crate) fn time(self, full: Duration) -> Duration {
        match self {
            Self::Full => full,
            Self::Smoke => full.min(Duration::from_secs(2)),
        }
    }
}

/// What one repetition has measured before it ended or failed.
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

/// All of them, the quick ones first.
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
