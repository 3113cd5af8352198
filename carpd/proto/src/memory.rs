//! What a carpd that comes back must know of the one before.
//!
//! **Invariant:** what is resumed is never less than what was sent or accepted before, however long
//! before the end it was remembered.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::dialect::carp::seal::Sealed;
use crate::name::Unit;
use crate::settings::Settings;
use crate::status::StateName;
use crate::sysctl::Sysctls;
use crate::time::{Instant, Now};

/// How far a counter that was sealed may be ahead of the clock, and a clock be stepped without that
/// being noticed.
const AHEAD: Duration = Duration::from_millis(200);

/// How long an advertisement may be under way, and how far two clocks that are in step may differ.
const UNDER_WAY: Duration = Duration::from_millis(50);

/// Everything that one carpd tells the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The sysctls as they were set.
    pub sysctls: Sysctls,
    /// Every carp interface.
    pub interfaces: BTreeMap<Unit, Remembered>,
}

/// What changed since it was last asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsaved {
    /// The sysctls, whether they changed or not.
    pub sysctls: Sysctls,
    /// What changed of the carp interfaces; `None` for one that is gone.
    pub interfaces: BTreeMap<Unit, Option<Remembered>>,
}

/// What is remembered of one carp interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Everything that is set on it.
    pub settings: Settings,
    /// The state it was in.
    pub state: StateName,
    /// The last counter sealed for IPv4 and for IPv6; 0 if there was none.
    pub sealed: [u64; 2],
    /// The last one accepted in replay mode 2 for IPv4 and for IPv6, and when.
    pub accepted: [Accepted; 2],
    /// When all this was so.
    pub at: Now,
}

/// What was accepted in replay mode 2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The greatest counter that counts; 0 if there was none.
    pub counter: u64,
    /// When the last one came in.
    pub at: Instant,
    /// Counters that were accepted or sent lately, at most [`Spent::MOST`](crate::Spent::MOST),
    /// ascending: a clock that is set back may come to them again.
    pub spent: Vec<u64>,
}

impl Memory {
    /// Takes in what changed.
    pub fn update(&mut self, unsaved: Unsaved) {
        self.sysctls = unsaved.sysctls;
        let before = core::mem::take(&mut self.interfaces);
        let kept = before.into_iter().map(|(unit, known)| (unit, Some(known)));
        // Made as a whole, a map has no room for more: for thousands of interfaces that is
        // half of it. Of two values for a key it has the second.
        let all: BTreeMap<_, _> = kept.chain(unsaved.interfaces).collect();
        let there = all
            .into_iter()
            .filter_map(|(unit, known)| Some((unit, known?)));
        self.interfaces = there.collect();
    }
}

impl Remembered {
    /// Behind every counter that was sealed for the address family whose last known one is
    /// `sealed`: a MASTER went on to seal after this was remembered, by its clock.
    pub(crate) fn sealed_until(&self, sealed: u64, leased: bool, now: Now) -> u64 {
        if self.state != StateName::Master && !leased {
            return sealed;
        }
        let elapsed = now.instant.since(self.at.instant) + AHEAD;
        Sealed::later(sealed.max(Sealed::least(self.at.unix)), elapsed)
    }
}

impl Accepted {
    /// Behind every counter that was accepted: what came after this was remembered was sealed
    /// later by as much, but hardly later than now. A sender whose clock is ahead of ours is not
    /// held against the clock, or the next one, whose clock is not, would not be heard.
    pub(crate) fn until(&self, now: Now) -> u64 {
        if self.counter == 0 {
            return 0;
        }
        let elapsed = now.instant.since(self.at).saturating_sub(UNDER_WAY);
        let present = Sealed::least(now.unix - UNDER_WAY);
        Sealed::later(self.counter, elapsed)
            .min(present)
            .max(self.counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixTime;

    fn at(millis: u64, clock: u64) -> Now {
        Now {
            instant: Instant::from_micros(millis * 1000),
            unix: UnixTime::from_micros((1_700_000_000_000 + clock) * 1000),
        }
    }

    fn sealed(clock: u64) -> u64 {
        Sealed::least(at(0, clock).unix)
    }

    fn remembered(state: StateName) -> Remembered {
        Remembered {
            settings: Settings::default(),
            state,
            sealed: [sealed(0), 0],
            accepted: <[Accepted; 2]>::default(),
            at: at(5000, 4000),
        }
    }

    #[test]
    fn a_master_that_went_on_after_it_was_remembered_is_caught_up_with() {
        let master = remembered(StateName::Master);
        // Nine seconds later, by a clock that somebody has set back by an hour meanwhile.
        let now = at(14_000, 0);
        assert!(master.sealed_until(sealed(0), false, now) >= sealed(13_000));
        assert!(master.sealed_until(sealed(0), false, now) <= sealed(14_000));
        // It had run ahead of its clock by then.
        assert!(master.sealed_until(sealed(60_000), false, now) >= sealed(69_000));
        // Nothing was known of that family, but something may have been sent.
        assert!(master.sealed_until(0, false, now) >= sealed(13_000));
    }

    #[test]
    fn a_backup_has_sent_nothing_unless_the_kernel_knows_better() {
        let backup = remembered(StateName::Backup);
        let now = at(14_000, 0);
        assert_eq!(backup.sealed_until(sealed(0), false, now), sealed(0));
        assert!(backup.sealed_until(sealed(0), true, now) >= sealed(13_000));
    }

    #[test]
    fn what_was_accepted_after_the_last_one_remembered_counts_as_accepted() {
        let last = Accepted {
            counter: sealed(1000),
            at: Instant::from_micros(1_000_000),
            spent: Vec::new(),
        };
        // Three seconds later: whatever was sealed until just now.
        let until = last.until(at(4000, 4000));
        assert!(until >= sealed(3940) && until < sealed(4000), "{until:x}");
        // The sender's clock is behind ours: until just now by that clock.
        let until = last.until(at(4000, 9000));
        assert!(until >= sealed(3940) && until < sealed(4000), "{until:x}");
        // Its clock is ahead: the next sender's need not be.
        assert_eq!(last.until(at(4000, 500)), last.counter);
        assert_eq!(last.until(at(1000, 1000)), last.counter);
        assert_eq!(Accepted::default().until(at(4000, 4000)), 0);
    }
}
