//! A restart without a failover, as the loop sees it.

use std::collections::BTreeSet;

use carp_proto::{Input, Lease, StateName};
use tracing::info;

use super::Daemon;
use crate::state::Past;

impl Daemon {
    /// Goes on where the carpd before was ended.
    pub(super) fn resume(&mut self, leases: &BTreeSet<Lease>) {
        let Some(Past {
            memory,
            leases_count,
        }) = self.past.take()
        else {
            return;
        };
        let none = BTreeSet::new();
        let leases = if leases_count { leases } else { &none };
        self.handle(Input::Resume { memory, leases });
        self.kernel.sweep();
        self.complete = true;
        let now = self.clock.now();
        let states = self.engine.units().filter_map(|unit| {
            let status = self.engine.status(unit, now)?;
            Some(status.state)
        });
        let states: Vec<StateName> = states.collect();
        let masters = states.iter().filter(|state| **state == StateName::Master);
        info!(
            "resumed what ran before a restart: carp interfaces: {}, MASTER as before: {}; \
             rc.conf was not read (carpctl reload reads it)",
            states.len(),
            masters.count()
        );
    }
}
