//! Counters that survive a restart.
//!
//! **Invariant:** after a restart no counter is sealed or accepted that was sealed or accepted before,
//! however old the saved state is.

use core::time::Duration;

use super::Carp;
use super::seal::Sealed;
use crate::family::Family;
use crate::saved::{AcceptedCounters, SavedInterface};
use crate::status::StateName;
use crate::time::Now;

/// Allowance for a sealed counter that is ahead of the clock, and for a step of the clock that
/// [`Engine::take_unsaved`](crate::Engine::take_unsaved) does not notice.
const SEALED_AHEAD: Duration = Duration::from_millis(200);

/// Time that an advertisement can take, and difference of two clocks that are in step.
const TRANSIT_TIME: Duration = Duration::from_millis(50);

impl Carp {
    /// Last counter sealed, and the counters accepted, for each family.
    pub(crate) fn counters(&self) -> ([u64; 2], [AcceptedCounters; 2]) {
        let sealed = Family::ALL.map(|family| self.seals.of(family).last());
        let accepted = Family::ALL.map(|family| {
            let replay = self.replay.of(family);
            AcceptedCounters {
                counter: replay.spent().floor(),
                at: replay.accepted_at(),
                spent: replay.spent().counters().collect(),
            }
        });
        (sealed, accepted)
    }

    /// Continues above every counter of the previous instance. `is_leased`: the kernel still has the
    /// addresses.
    pub(crate) fn resume(&mut self, before: &SavedInterface, is_leased: bool, now: Now) {
        let counters = before.sealed.into_iter().zip(&before.accepted);
        for (family, (sealed, accepted)) in Family::ALL.into_iter().zip(counters) {
            let heard = accepted_until(accepted, now);
            let made = sealed_until(before, sealed, is_leased, now);
            let replay = self.replay.of_mut(family);
            replay.resume(made.max(heard), &accepted.spent, now.instant);
            let seal = self.seals.of_mut(family);
            seal.resume(made);
            seal.follow(heard);
        }
    }
}

/// Upper bound of the counters that the previous instance sealed. A MASTER continued to seal by its
/// clock after `sealed` was saved.
fn sealed_until(before: &SavedInterface, sealed: u64, is_leased: bool, now: Now) -> u64 {
    if before.state != StateName::Master && !is_leased {
        return sealed;
    }
    let elapsed = now.instant.since(before.at.instant) + SEALED_AHEAD;
    Sealed::later(sealed.max(Sealed::least(before.at.unix)), elapsed)
}

/// Upper bound of the counters that the previous instance accepted: those accepted after the save were
/// sealed later by the time since, but hardly later than now. The bound does not follow a sender whose
/// clock is ahead of ours, or this host would refuse the next sender, whose clock is right.
fn accepted_until(accepted: &AcceptedCounters, now: Now) -> u64 {
    if accepted.counter == 0 {
        return 0;
    }
    let elapsed = now.instant.since(accepted.at).saturating_sub(TRANSIT_TIME);
    let present = Sealed::least(now.unix - TRANSIT_TIME);
    Sealed::later(accepted.counter, elapsed)
        .min(present)
        .max(accepted.counter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use crate::time::{Instant, UnixTime};

    fn at(millis: u64, clock: u64) -> Now {
        Now {
            instant: Instant::from_micros(millis * 1000),
            unix: UnixTime::from_micros((1_700_000_000_000 + clock) * 1000),
        }
    }

    fn sealed(clock: u64) -> u64 {
        Sealed::least(at(0, clock).unix)
    }

    fn saved(state: StateName) -> SavedInterface {
        SavedInterface {
            settings: Settings::default(),
            state,
            sealed: [sealed(0), 0],
            accepted: <[AcceptedCounters; 2]>::default(),
            at: at(5000, 4000),
        }
    }

    #[test]
    fn master_counters_continue_above_those_sealed_after_a_save() {
        let master = saved(StateName::Master);
        // Nine seconds later, by a clock that was set back by an hour.
        let now = at(14_000, 0);
        assert!(sealed_until(&master, sealed(0), false, now) >= sealed(13_000));
        assert!(sealed_until(&master, sealed(0), false, now) <= sealed(14_000));
        // The saved counter was ahead of the clock.
        assert!(sealed_until(&master, sealed(60_000), false, now) >= sealed(69_000));
        // No counter of that family was saved, but some may have been sealed.
        assert!(sealed_until(&master, 0, false, now) >= sealed(13_000));
    }

    #[test]
    fn backup_counters_continue_at_the_save_unless_leased() {
        let backup = saved(StateName::Backup);
        let now = at(14_000, 0);
        assert_eq!(sealed_until(&backup, sealed(0), false, now), sealed(0));
        assert!(sealed_until(&backup, sealed(0), true, now) >= sealed(13_000));
    }

    #[test]
    fn counters_accepted_after_the_save_are_refused() {
        let last = AcceptedCounters {
            counter: sealed(1000),
            at: Instant::from_micros(1_000_000),
            spent: Vec::new(),
        };
        // Three seconds later: everything sealed until just now.
        let until = accepted_until(&last, at(4000, 4000));
        assert!(until >= sealed(3940) && until < sealed(4000), "{until:x}");
        // The sender's clock is behind ours: until just now by that clock.
        let until = accepted_until(&last, at(4000, 9000));
        assert!(until >= sealed(3940) && until < sealed(4000), "{until:x}");
        // The sender's clock is ahead of ours. The next sender's clock may be right.
        assert_eq!(accepted_until(&last, at(4000, 500)), last.counter);
        assert_eq!(accepted_until(&last, at(1000, 1000)), last.counter);
        assert_eq!(
            accepted_until(&AcceptedCounters::default(), at(4000, 4000)),
            0
        );
    }
}
