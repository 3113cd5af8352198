//! Warnings about what other programs do, the same one at most once in a while.

use core::fmt::Display;
use core::time::Duration;
use std::collections::BTreeMap;

use carp_proto::{Instant, Unit};
use tracing::warn;

use crate::clock::Clock;

/// Least time between two warnings of one kind about one subject.
const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// Warnings of the last time.
#[derive(Debug, Default)]
pub(super) struct LimitedLog(BTreeMap<(String, &'static str), Logged>);

#[derive(Debug)]
struct Logged {
    at: Instant,
    held_back: u64,
}

impl LimitedLog {
    /// Logs a warning, or counts it if there was one of its kind lately. `subject` is the name of a
    /// network device.
    pub(super) fn warn(&mut self, subject: &str, kind: &'static str, warning: &dyn Display) {
        let now = Clock.now().instant;
        let mut held_back = 0;
        if let Some(logged) = self.0.get_mut(&(subject.to_owned(), kind)) {
            if now.since(logged.at) < MIN_INTERVAL {
                logged.held_back += 1;
                return;
            }
            held_back = logged.held_back;
        }
        let logged = Logged {
            at: now,
            held_back: 0,
        };
        self.0.insert((subject.to_owned(), kind), logged);
        if held_back == 0 {
            warn!("{subject}: {warning}");
        } else {
            warn!("{subject}: {warning} ({held_back} times more since it was last said)");
        }
    }

    /// Forgets a carp interface that does not exist any more.
    pub(super) fn forget(&mut self, unit: Unit) {
        let name = unit.to_string();
        self.0.retain(|(subject, _), _| *subject != name);
    }
}
