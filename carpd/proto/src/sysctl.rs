//! The tree `net.inet.carp`.

use core::time::Duration;

/// A name below `net.inet.carp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sysctl {
    /// Accept incoming carp packets.
    Allow,
    /// Balance local traffic using ARP.
    ArpBalance,
    /// How much is logged.
    Log,
    /// Virtual hosts preempt each other.
    Preempt,
    /// How strictly repeated advertisements are refused.
    Replay,
    /// How far a peer's clock may be off in replay mode 2.
    ReplayWindow,
    /// How many problems suppress preemption now.
    SuppressPreempt,
}

impl Sysctl {
    /// Every sysctl in alphabetical order of its name.
    pub const ALL: [Self; 7] = [
        Self::Allow,
        Self::ArpBalance,
        Self::Log,
        Self::Preempt,
        Self::Replay,
        Self::ReplayWindow,
        Self::SuppressPreempt,
    ];

    /// The last part of its name, as in `preempt`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::ArpBalance => "arpbalance",
            Self::Log => "log",
            Self::Preempt => "preempt",
            Self::Replay => "replay",
            Self::ReplayWindow => "replay_window",
            Self::SuppressPreempt => "suppress_preempt",
        }
    }

    /// One sentence for `sysctl -d`.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Allow => "Accept incoming CARP packets",
            Self::ArpBalance => "Balance local traffic using ARP",
            Self::Log => "0: log nothing, 1: bad packets, 2 and above: state changes too",
            Self::Preempt => {
                "Virtual hosts preempt slower masters, and fail over together as a group"
            }
            Self::Replay => {
                "0: no check, 1: drop exact repetitions, 2: strict, for groups of carpd hosts alone"
            }
            Self::ReplayWindow => "Seconds a peer's clock may be off when replay is 2",
            Self::SuppressPreempt => "Number of problems that suppress preemption now",
        }
    }

    /// The least and the greatest value; `None` for a read-only one.
    #[must_use]
    pub const fn range(self) -> Option<(u64, u64)> {
        match self {
            Self::Allow | Self::ArpBalance | Self::Preempt => Some((0, 1)),
            Self::Log => Some((0, 255)),
            Self::Replay => Some((0, 2)),
            Self::ReplayWindow => Some((1, 86400)),
            Self::SuppressPreempt => None,
        }
    }
}

/// The values of the sysctls that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sysctls {
    /// `net.inet.carp.allow`
    pub allow: bool,
    /// `net.inet.carp.arpbalance`
    pub arpbalance: bool,
    /// `net.inet.carp.log`
    pub log: u8,
    /// `net.inet.carp.preempt`
    pub preempt: bool,
    /// `net.inet.carp.replay`, 0 to 2
    pub replay: u8,
    /// `net.inet.carp.replay_window`
    pub replay_window: Duration,
}

impl Default for Sysctls {
    fn default() -> Self {
        Self {
            allow: true,
            arpbalance: false,
            log: 1,
            preempt: false,
            replay: 1,
            replay_window: Duration::from_secs(60),
        }
    }
}
