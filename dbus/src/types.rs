//! What clients see of carp interfaces, decoded from the bus.

use std::collections::BTreeMap;

use serde::Serialize;

/// Everything the bus shows of one carp interface: the properties of `org.carpd1.Interface`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InterfaceInfo {
    /// `carp0`
    pub name: String,
    /// `INIT`, `BACKUP` or `MASTER`; treat anything else as unknown.
    pub state: String,
    /// Administratively up.
    pub up: bool,
    /// Not INIT.
    pub running: bool,
    /// Why it is INIT, in words; empty otherwise.
    pub reason: String,
    /// 1 to 255; 0 while unset.
    pub vhid: u8,
    /// Seconds.
    pub advbase: u8,
    /// 1/256 seconds.
    pub advskew: u8,
    /// What is advertised now: at least 240 while preemption is suppressed.
    pub effective_advskew: u8,
    /// The demotion byte advertised now.
    pub demotion: u8,
    /// The physical interface; empty while there is none.
    pub carpdev: String,
    /// `00:00:5e:00:01:01`; empty while there is no vhid.
    pub lladdr: String,
    /// `virtual` or `parent`.
    pub link_layer: String,
    /// Bytes.
    pub mtu: u32,
    /// Free text; empty if unset.
    pub description: String,
    /// Whether a password is set.
    pub has_password: bool,
    /// In configured order.
    pub addresses: Vec<AddressInfo>,
    /// Who is master, as last heard; `None` while this host is MASTER or nothing was heard.
    pub master: Option<MasterInfo>,
    /// When this host last advertised, in microseconds since the epoch; 0 if it is not MASTER.
    pub advertised: u64,
    /// After how many microseconds without an advertisement a BACKUP takes over.
    pub master_down_time: u64,
    /// The last change of state.
    pub last_transition: Option<TransitionInfo>,
    /// The counters by their names of `netstat -s -p carp`.
    pub statistics: BTreeMap<String, u64>,
}

/// One virtual address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AddressInfo {
    /// The address.
    pub address: String,
    /// Bits.
    pub prefixlen: u8,
    /// The physical interface's address whose subnet holds it; empty if none.
    pub backing: String,
    /// Letters: `O` owner (also the physical interface's own), `A` active in the kernel now.
    pub flags: String,
}

/// The sender of the last accepted advertisement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MasterInfo {
    /// Its source address.
    pub source: String,
    /// Seconds.
    pub advbase: u8,
    /// 1/256 seconds.
    pub advskew: u8,
    /// When it was heard, in microseconds since the epoch.
    pub heard: u64,
}

/// A change of state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TransitionInfo {
    /// Microseconds since the epoch.
    pub time: u64,
    /// The state before.
    pub from: String,
    /// The state after.
    pub to: String,
    /// One word, such as `master-timed-out`.
    pub reason: String,
}

/// One event of the ring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventInfo {
    /// Counts up by one from the daemon's start.
    pub number: u64,
    /// Microseconds since the epoch.
    pub time: u64,
    /// The carp interface; empty if none in particular.
    pub interface: String,
    /// `transition`, `suppression`, `bad-packet`, …
    pub kind: String,
    /// One line for people.
    pub text: String,
    /// Facts by name, as text.
    pub details: BTreeMap<String, String>,
}

/// One cause of suppressed preemption.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SuppressionInfo {
    /// Who suppresses.
    pub who: String,
    /// Why.
    pub why: String,
    /// Since when, in microseconds since the epoch.
    pub since: u64,
}

/// One sysctl below `net.inet.carp`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SysctlInfo {
    /// `net.inet.carp.preempt`
    pub name: String,
    /// Its value.
    pub value: u64,
    /// One sentence.
    pub description: String,
    /// Whether it can be set.
    pub writable: bool,
}
