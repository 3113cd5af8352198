//! Log line about a resumption: a restart without a failover.

use carp_proto::{Engine, Now, StateName};
use tracing::info;

/// Logs the states with which carpd has resumed.
pub(super) fn log(engine: &Engine, now: Now) {
    let states = engine.units().filter_map(|unit| {
        let status = engine.status(unit, now)?;
        Some(status.state)
    });
    let states: Vec<StateName> = states.collect();
    let masters = states.iter().filter(|state| **state == StateName::Master);
    info!(
        "resumed after a restart: carp interfaces: {}, still MASTER: {}; \
         rc.conf was not read (carpctl reload reads it)",
        states.len(),
        masters.count()
    );
}
