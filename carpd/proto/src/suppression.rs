//! What suppresses preemption: named causes that add up to `net.inet.carp.suppress_preempt`.
//!
//! **Invariant:** the sum is recomputed from the causes, never adjusted.

use std::collections::BTreeMap;

use crate::name::Unit;
use crate::time::UnixTime;

/// The number of an outside holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HolderId(pub u64);

/// One problem. Each adds one while it lasts.
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

/// One cause with what is shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// The cause.
    pub cause: Cause,
    /// Who suppresses: the physical interface's or the virtual host's name, or what the holder
    /// said.
    pub who: String,
    /// Why.
    pub why: String,
    /// Since when.
    pub since: UnixTime,
}

/// All causes now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Suppressions {
    causes: BTreeMap<Cause, Suppression>,
    last_holder: u64,
}

impl Suppressions {
    /// The value of `net.inet.carp.suppress_preempt`.
    pub(crate) fn count(&self) -> u64 {
        self.causes.len() as u64
    }

    /// Every cause in a stable order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Suppression> {
        self.causes.values()
    }

    /// A number for a new outside holder, never given twice.
    pub(crate) fn new_holder(&mut self) -> HolderId {
        self.last_holder += 1;
        HolderId(self.last_holder)
    }

    /// The cause is there. Since when stays as it was if it was there before.
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

    /// The cause is gone; what was shown of it, if it was there.
    pub(crate) fn clear(&mut self, cause: Cause) -> Option<Suppression> {
        self.causes.remove(&cause)
    }
}
