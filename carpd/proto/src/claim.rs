//! Claims: what an election compares of an advertisement, whatever protocol carried it.

use crate::election::{Interval, Priority};

/// Content of an advertisement: heard from a peer, or about to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// In seconds.
    pub(crate) advbase: u8,
    /// In 1/256 seconds.
    pub(crate) advskew: u8,
    /// 0 for a healthy host.
    pub(crate) demotion: u8,
    /// The sender stops being MASTER, or stops altogether.
    pub(crate) bows_out: bool,
}

impl Claim {
    /// Time until the sender's next advertisement.
    pub(crate) const fn interval(self) -> Interval {
        Interval::new(self.advbase, self.advskew)
    }

    /// Rank of the sender.
    pub(crate) const fn priority(self) -> Priority {
        Priority {
            demotion: self.demotion,
            interval: self.interval(),
        }
    }
}
