//! The scenarios, with the figures that each measures.

mod commands;
mod failover;
mod flood;
mod forwarding;
mod many;
mod micro;
mod scaling;
mod subsecond;

use crate::engine::Engine;
use crate::figures::Id;
use crate::scenario::Scenario;

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
