//! Inputs: everything that the engine handles.

use core::net::IpAddr;

use std::collections::BTreeSet;

use crate::lease::Lease;
use crate::link::{Gateway, IfIndex, Link};
use crate::name::Unit;
use crate::saved::SavedState;
use crate::settings::{Change, Settings};
use crate::suppression::HolderId;
use crate::sysctl::Sysctl;

/// One input of [`Engine::handle`](crate::Engine::handle), which also takes its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// An Ethernet frame that may be an advertisement, or an ARP request while
    /// [`Action::ListenArp`](crate::Action::ListenArp) is on.
    Packet {
        /// Physical interface.
        device: IfIndex,
        /// From the destination MAC to the last byte of the payload.
        frame: &'a [u8],
    },
    /// [`Engine::deadline`](crate::Engine::deadline) expired.
    Deadline,
    /// A physical interface appeared or changed.
    Link(Link),
    /// A physical interface disappeared.
    LinkGone(IfIndex),
    /// The gateways of all default routes of this host.
    Gateways(BTreeSet<Gateway>),
    /// The caller performed a [`Transmit`](crate::Action::Transmit).
    Sent {
        /// Virtual host that advertised.
        unit: Unit,
        /// `Ok` if the kernel accepted the frame.
        result: Result<(), SendFailure>,
    },
    /// The kernel thread performed [`Work::Take`](crate::Work::Take): the kernel has the addresses, or
    /// refused them.
    Taken {
        /// Carp interface.
        unit: Unit,
        /// Number of the takeover.
        number: u32,
    },
    /// The kernel refused a device or an address.
    Refused {
        /// Carp interface.
        unit: Unit,
        /// The address; `None` for the device.
        address: Option<IpAddr>,
        /// The kernel's message.
        error: String,
    },
    /// The kernel has a device or an address that it may have refused before.
    Granted {
        /// Carp interface.
        unit: Unit,
        /// The address; `None` for the device.
        address: Option<IpAddr>,
    },
    /// carpd restarted. This comes after the physical interfaces and before any request.
    Resume {
        /// State of the previous instance.
        saved: SavedState,
        /// Virtual addresses that the kernel still has.
        leases: &'a BTreeSet<Lease>,
    },
    /// An administrator or a program requests something.
    Request(RequestId, Request),
}

/// Reason why the kernel did not accept a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// `ENOBUFS` or `ENOMEM`.
    NoMemory,
    /// Anything else, such as `ENETDOWN`.
    Refused,
}

/// Number that the caller gives a request, and that its [`Answer`](crate::Action::Answer) carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Request of an administrator or a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Create a carp interface.
    Create {
        /// Its name; `None` for the lowest free unit.
        unit: Option<Unit>,
        /// Applied as one change.
        changes: Vec<Change>,
    },
    /// Make all of `changes` or none.
    Configure {
        /// Carp interface.
        unit: Unit,
        /// Applied as one change.
        changes: Vec<Change>,
    },
    /// Create a carp interface, or configure it, as a configuration file defines it. An interface that
    /// has these settings does not change. One whose `carpdev` does not exist waits for it.
    Install {
        /// Carp interface.
        unit: Unit,
        /// All settings: see [`Settings::configured`].
        settings: Box<Settings>,
    },
    /// Bow out, and remove the carp interface.
    Destroy(Unit),
    /// Set a sysctl. The answer is the old value.
    Set(Sysctl, u64),
    /// Suppress preemption.
    Suppress {
        /// Name of the holder, for people to read.
        who: String,
        /// Reason.
        why: String,
    },
    /// End a suppression.
    Release(HolderId),
    /// Set all counters to zero.
    ResetStatistics,
    /// Bow out everywhere, and remove all carp interfaces.
    Stop,
}
