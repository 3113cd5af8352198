//! Values on the bus, decoded.

use serde::{Deserialize, Serialize};
use zbus::{OwnedVariant, Type, Variant};

/// One virtual address.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type, Variant, OwnedVariant,
)]
pub struct AddressInfo {
    /// The address.
    pub address: String,
    /// In bits.
    pub prefixlen: u8,
    /// The physical interface's address whose subnet holds it; empty if none.
    pub backing: String,
    /// Letters: `O` owner (also the physical interface's own), `A` active in the kernel now.
    pub flags: String,
}

/// The sender of the last accepted advertisement; on the bus with an empty source if there is none.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type, Variant, OwnedVariant,
)]
pub struct MasterInfo {
    /// Its source address.
    pub source: String,
    /// In seconds.
    pub advbase: u8,
    /// In 1/256 seconds.
    pub advskew: u8,
    /// Time of its last advertisement, in microseconds since the epoch.
    pub heard: u64,
}

/// A change of state; on the bus with an empty new state before the first.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type, Variant, OwnedVariant,
)]
pub struct TransitionInfo {
    /// In microseconds since the epoch.
    pub time: u64,
    /// The state before.
    pub from: String,
    /// The state after.
    pub to: String,
    /// One word, such as `master-timed-out`.
    pub reason: String,
}

/// One cause of suppressed preemption.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SuppressionInfo {
    /// The holder, or the interface with the problem.
    pub who: String,
    /// The reason.
    pub why: String,
    /// Time of its begin, in microseconds since the epoch.
    pub since: u64,
}

/// One sysctl below `net.inet.carp`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SysctlInfo {
    /// Name, such as `net.inet.carp.preempt`.
    pub name: String,
    /// Value.
    pub value: u64,
    /// Description, one sentence.
    pub description: String,
    /// True if it can be set.
    pub writable: bool,
}
