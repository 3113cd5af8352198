//! Suppression of preemption: `net.inet.carp.suppress_preempt` is the number of the causes.

use std::collections::BTreeMap;

use crate::name::Unit;
use crate::time::UnixTime;

/// Number of an outside holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HolderId(pub u64);

/// Cause of suppression. Each one adds one to the sysctl while it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The physical interface of a virtual host is down or has no carrier.
    Link(Unit),
    /// Three advertisements in a row could not be sent.
    Sending(Unit),
    /// The kernel refused the device of a virtual host.
    Refused(Unit),
    /// An outside holder.
    Holder(HolderId),
}

/// A cause with its description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// The cause.
    pub cause: Cause,
    /// Name of the physical interface, of the virtual host or of the holder.
    pub who: String,
    /// Reason.
    pub why: String,
    /// Time at which it began.
    pub since: UnixTime,
}

/// All present causes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Suppressions {
    causes: BTreeMap<Cause, Suppression>,
    last_holder: u64,
}

impl Suppressions {
    /// Value of `net.inet.carp.suppress_preempt`.
    pub(crate) fn count(&self) -> u64 {
        self.causes.len() as u64
    }

    /// Every cause in a stable order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Suppression> {
        self.causes.values()
    }

    /// Returns the number of a new outside holder, which was never used before.
    pub(crate) fn new_holder(&mut self) -> HolderId {
        self.last_holder += 1;
        HolderId(self.last_holder)
    }

    /// Adds a cause. One that exists keeps the time at which it began.
    pub(crate) fn set(&mut self, cause: Cause, who: String, why: String, since: UnixTime) {
        let entry = self.causes.entry(cause).or_insert_with(|| Suppression {
            cause,
            who: String::new(),
            why: String::new(),
            since,
        });
        entry.who = who;
        entry.why = why;
    }

    /// Removes a cause.
    pub(crate) fn clear(&mut self, cause: Cause) -> Option<Suppression> {
        self.causes.remove(&cause)
    }
}
