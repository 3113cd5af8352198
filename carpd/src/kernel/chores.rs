//! Chores: slow work on devices that waits until the kernel thread has nothing else to do.

use core::future::pending;
use core::time::Duration;
use std::collections::VecDeque;

use carp_proto::{IfIndex, Unit};
use tokio::time::{Instant, sleep_until};

use super::news::Awaited;

/// Time for which a device stays up after its last use. Taking it down takes milliseconds under the
/// kernel's routing lock, for which another host that takes over may wait if it is in this kernel, and
/// is in vain if the device is soon used again.
const LINGER: Duration = Duration::from_secs(1);

/// Time for which a device stays that is to be removed.
const SHORT_LINGER: Duration = Duration::from_millis(50);

/// Work that is put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    /// Sets the device of a carp interface down.
    Down(Unit),
    /// Gives everything of a carp interface back.
    Remove(Unit),
    /// Removes the device with this number, which the carp interface does not use any more.
    Discard(Unit, u32),
    /// Sets the helper devices of a physical interface down.
    SetHelpersDown(IfIndex),
    /// Removes the helper device with this number.
    DeleteHelper(u32),
    /// Tries again to make the device of a carp interface, which the kernel refused.
    Retry(Unit),
    /// Confirms that the chores before it are done.
    Confirm(Awaited),
}

/// Chores in the order in which they may begin.
#[derive(Debug, Default)]
pub(super) struct Chores(VecDeque<(Instant, Chore)>);

impl Chores {
    /// Puts a chore off for the time that its kind waits.
    pub(super) fn put_off(&mut self, chore: Chore) {
        let time = match chore {
            Chore::Down(_) | Chore::Discard(..) | Chore::SetHelpersDown(_) => LINGER,
            Chore::Remove(_) | Chore::DeleteHelper(_) | Chore::Retry(_) | Chore::Confirm(_) => {
                SHORT_LINGER
            }
        };
        self.put_off_for(chore, time);
    }

    /// Puts a chore off for `time`.
    pub(super) fn put_off_for(&mut self, chore: Chore, time: Duration) {
        let start = Instant::now() + time;
        let position = self.0.partition_point(|(other, _)| *other <= start);
        self.0.insert(position, (start, chore));
    }

    pub(super) fn contains(&self, chore: Chore) -> bool {
        self.0.iter().any(|(_, other)| *other == chore)
    }

    pub(super) fn cancel(&mut self, chore: Chore) {
        self.0.retain(|(_, other)| *other != chore);
    }

    /// Cancels setting the device of a carp interface down and giving everything back.
    pub(super) fn cancel_end(&mut self, unit: Unit) {
        self.cancel(Chore::Down(unit));
        self.cancel(Chore::Remove(unit));
    }

    /// Cancels the removal of a device that the carp interface uses again.
    pub(super) fn cancel_discard(&mut self, unit: Unit) {
        self.0
            .retain(|(_, chore)| !matches!(chore, Chore::Discard(other, _) if *other == unit));
    }

    /// Returns true if everything of a carp interface is to be given back; with `None`, of any.
    pub(super) fn has_removal(&self, of: Option<Unit>) -> bool {
        self.0.iter().any(|(_, chore)| match chore {
            Chore::Remove(unit) => of.is_none_or(|of| of == *unit),
            Chore::Down(_)
            | Chore::Discard(..)
            | Chore::SetHelpersDown(_)
            | Chore::DeleteHelper(_)
            | Chore::Retry(_)
            | Chore::Confirm(_) => false,
        })
    }

    /// Waits for the time of the next chore and takes it out. Cancel safe: until then it stays.
    pub(super) async fn next(&mut self) -> Chore {
        loop {
            let Some(&(start, chore)) = self.0.front() else {
                return pending().await;
            };
            if Instant::now() >= start {
                self.0.pop_front();
                return chore;
            }
            sleep_until(start).await;
        }
    }
}
