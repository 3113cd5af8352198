//! News of the kernel thread for the protocol loop.

use core::net::IpAddr;
use std::collections::BTreeSet;

use carp_proto::{Gateway, IfIndex, Lease, Link, RequestId, Unit};

/// One piece of news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A link that carpd has not made exists, or has changed.
    Link(Link),
    /// A link is gone.
    LinkGone(IfIndex),
    /// Gateways of all default routes of this host.
    Gateways(BTreeSet<Gateway>),
    /// Virtual addresses of the previous instance whose lease still runs. Sent first of all.
    Found(BTreeSet<Lease>),
    /// All links that there were at the start have been sent.
    Ready,
    /// [`Work::Take`](carp_proto::Work::Take) was performed: the kernel has the addresses, or has refused
    /// them.
    Taken {
        /// The carp interface.
        unit: Unit,
        /// Number of the work.
        number: u32,
    },
    /// Helper devices of a physical interface, after a request for them.
    HelperDevices {
        /// Number of the physical interface.
        interface: IfIndex,
        /// Numbers of the devices, which are up: for frames from virtual MACs, and for all others.
        /// `None` if they cannot be made.
        devices: Option<[IfIndex; 2]>,
    },
    /// The probe with this number was sent, for this physical interface.
    ProbeSent(IfIndex, u64),
    /// The kernel refused a device or an address.
    Refused {
        /// The carp interface.
        unit: Unit,
        /// The address; `None` for the device.
        address: Option<IpAddr>,
        /// Reason, in one line.
        error: String,
    },
    /// The kernel has a device, or an address that it refused before.
    Granted {
        /// The carp interface.
        unit: Unit,
        /// The address; `None` for the device.
        address: Option<IpAddr>,
    },
    /// All work was done or refused that was asked for before this confirmation.
    Confirmed(Awaited),
}

/// Reason for a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// The reply to a request.
    Request(RequestId),
    /// News of a carp interface, with its number. It does not wait for the removal of the device.
    News(Unit, u64),
}
