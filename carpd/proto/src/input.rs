//! Everything that can happen to the engine.

use core::net::IpAddr;

use std::collections::BTreeSet;

use crate::lease::Lease;
use crate::link::{Gateway, IfIndex, Link};
use crate::memory::Memory;
use crate::name::Unit;
use crate::settings::{Change, Settings};
use crate::suppression::HolderId;
use crate::sysctl::Sysctl;

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
    /// The gateways of this host's default routes, all of them.
    Gateways(BTreeSet<Gateway>),
    /// What became of a [`Transmit`](crate::Action::Transmit).
    Sent {
        /// The virtual host that advertised.
        unit: Unit,
        /// Whether the kernel took the frame.
        result: Result<(), SendFailure>,
    },
    /// The kernel thread performed [`Work::Take`](crate::Work::Take): the kernel has the addresses,
    /// or has refused them.
    Taken {
        /// The carp interface.
        unit: Unit,
        /// That of the work.
        number: u32,
    },
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
