//! Everything that can happen to the engine.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::config::{Change, DeviceName, Settings};
use crate::memory::{Lease, Memory};
use crate::name::Unit;
use crate::suppression::HolderId;
use crate::wire::ethernet::Mac;

/// One thing that happened. It comes with the time at which it happened, see
/// [`Engine::handle`](crate::Engine::handle).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// An Ethernet frame that may be an advertisement, or an ARP request while
    /// [`Action::ListenArp`](crate::Action::ListenArp) is on.
    Packet {
        /// Where it came in.
        device: IfIndex,
        /// From the destination MAC to the last byte of the payload.
        frame: &'a [u8],
    },
    /// [`Engine::deadline`](crate::Engine::deadline) has come.
    Deadline,
    /// A physical interface exists, or something about it changed.
    Link(Link),
    /// A physical interface is gone.
    LinkGone(IfIndex),
    /// What became of a [`Transmit`](crate::Action::Transmit).
    Sent {
        /// The virtual host that advertised.
        unit: Unit,
        /// Whether the kernel took the frame.
        result: Result<(), SendFailure>,
    },
    /// The kernel thread performed [`Work::Announce`](crate::Work::Announce), and so everything
    /// queued before it.
    Announced(Unit),
    /// The kernel would not have a device or an address.
    Refused {
        /// The carp interface it was for.
        unit: Unit,
        /// The address; `None` if it was the device itself.
        address: Option<IpAddr>,
        /// The kernel's words.
        error: String,
    },
    /// The kernel has a device or an address that it may have refused before.
    Granted {
        /// The carp interface it is for.
        unit: Unit,
        /// The address; `None` if it is the device itself.
        address: Option<IpAddr>,
    },
    /// A carpd comes back: what the one before remembered, and what the kernel still has of it.
    /// Comes before any request, and once the physical interfaces are known.
    Resume {
        /// What was remembered.
        memory: Memory,
        /// The virtual addresses whose leases have not run out.
        leases: &'a BTreeSet<Lease>,
    },
    /// Somebody wants something.
    Request(RequestId, Request),
}

/// Why the kernel did not take a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// `ENOBUFS` or `ENOMEM`.
    NoMemory,
    /// Anything else, such as `ENETDOWN`.
    Refused,
}

/// The kernel's number of an interface; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfIndex(pub u32);

impl fmt::Display for IfIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A physical interface: any interface of the kernel's that is not one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: IfIndex,
    /// Its name.
    pub name: DeviceName,
    /// Its own link-layer address.
    pub mac: Mac,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Ethernet-like and multicast-capable: can carry carp interfaces.
    pub capable: bool,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// Has carrier (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// Its own addresses, virtual ones not among them, tentative ones neither.
    pub addresses: Vec<DeviceAddress>,
}

impl Link {
    /// Up and with carrier.
    #[must_use]
    pub const fn works(&self) -> bool {
        self.up && self.carrier
    }

    /// Whether `address` is one of its own.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.address == address)
    }
}

/// An address of a physical interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceAddress {
    /// The address.
    pub address: IpAddr,
    /// Its prefix length in bits.
    pub prefix: u8,
}

impl DeviceAddress {
    /// Whether `address` is in its subnet.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        IpNet::new(self.address, self.prefix).is_ok_and(|subnet| subnet.contains(&address))
    }
}

/// The caller's number for a request; its [`Answer`](crate::Action::Answer) carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What somebody may want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A new carp interface, all its settings at once. `None` takes the lowest free unit.
    Create {
        /// Which one.
        unit: Option<Unit>,
        /// Applied as one change.
        changes: Vec<Change>,
    },
    /// All of `changes` or none.
    Configure {
        /// Which one.
        unit: Unit,
        /// Applied as one change.
        changes: Vec<Change>,
    },
    /// The interface shall exist with exactly these settings, as a configuration file says it.
    /// One that has them already is not touched. A `carpdev` that does not exist is waited for.
    Install {
        /// Which one.
        unit: Unit,
        /// All of them: see [`Settings::configured`].
        settings: Box<Settings>,
    },
    /// Bow out and remove.
    Destroy(Unit),
    /// Set a sysctl; the answer is the old value.
    Set(Sysctl, u64),
    /// Hold preemption suppressed.
    Suppress {
        /// Who holds it, for people to read.
        who: String,
        /// Why.
        why: String,
    },
    /// Let go.
    Release(HolderId),
    /// All counters back to zero.
    ResetStatistics,
    /// Bow out everywhere, give everything back and forget all interfaces.
    Stop,
}

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
