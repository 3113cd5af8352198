//! Resumption after a restart, without a failover.

use std::collections::BTreeSet;

use carp_proto::{Input, Lease, StateName};
use tracing::info;

use super::Daemon;
use crate::state::Past;

impl Daemon {
    /// Resumes with the state of the previous instance.
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
        self.handle(Input::Resume {
            saved: memory,
            leases,
        });
        self.kernel.sweep();
        self.saving.complete();
        let now = self.clock.now();
        let states = self.engine.units().filter_map(|unit| {
            let status = self.engine.status(unit, now)?;
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
}
