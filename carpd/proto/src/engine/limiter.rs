//! Rate limit of reports about bad packets.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::counters::Counter;
use crate::link::IfIndex;
use crate::time::Instant;

/// Minimum time between two reports of one kind on one physical interface.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Times of the last reports, and numbers of packets held back since.
#[derive(Clone, Debug, Default)]
pub(super) struct Limiter {
    reported: BTreeMap<(IfIndex, Counter), Reported>,
}

#[derive(Clone, Debug)]
struct Reported {
    at: Instant,
    held_back: u64,
}

impl Limiter {
    /// If a packet may be reported, returns the number of those held back since the last report.
    pub(super) fn admit(&mut self, device: IfIndex, kind: Counter, now: Instant) -> Option<u64> {
        match self.reported.get_mut(&(device, kind)) {
            Some(last) if now.since(last.at) < REPORT_INTERVAL => {
                last.held_back = last.held_back.saturating_add(1);
                None
            }
            Some(last) => {
                last.at = now;
                Some(core::mem::take(&mut last.held_back))
            }
            None => {
                self.reported.insert(
                    (device, kind),
                    Reported {
                        at: now,
                        held_back: 0,
                    },
                );
                Some(0)
            }
        }
    }

    /// Forgets a physical interface that disappeared.
    pub(super) fn forget(&mut self, device: IfIndex) {
        self.reported.retain(|(each, _), _| *each != device);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limiter_counts_the_packets_that_it_holds_back() {
        let mut limiter = Limiter::default();
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        assert_eq!(limiter.admit(IfIndex(1), Counter::Badsum, at(0)), Some(0));
        assert_eq!(limiter.admit(IfIndex(1), Counter::Badsum, at(1)), None);
        assert_eq!(limiter.admit(IfIndex(1), Counter::Badsum, at(9)), None);
        assert_eq!(limiter.admit(IfIndex(2), Counter::Badsum, at(9)), Some(0));
        assert_eq!(limiter.admit(IfIndex(1), Counter::Badsum, at(10)), Some(2));
    }
}
