//! Actions: everything that the engine asks of its caller.

use core::net::IpAddr;
use core::time::Duration;

use crate::input::RequestId;
use crate::link::IfIndex;
use crate::mac::Mac;
use crate::name::Unit;
use crate::obstacle::Obstacle;
use crate::refusal::Refusal;
use crate::settings::{DeviceName, VirtualAddress};
use crate::status::Transition;
use crate::suppression::HolderId;
use crate::warning::Warning;

/// One effect. The caller performs effects in list order: see
/// [`Engine::handle`](crate::Engine::handle).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send an advertisement at once. Report the result with [`Input::Sent`](crate::Input::Sent) after
    /// the whole list, so that its consequences do not overtake the rest.
    Transmit {
        /// Virtual host that advertises.
        unit: Unit,
        /// Physical interface.
        device: IfIndex,
        /// Whole Ethernet frame.
        frame: Vec<u8>,
    },
    /// Send at once a frame that resolves a virtual address: an announcement of an address that the
    /// kernel has, or the reply to an ARP request.
    Resolve {
        /// Physical interface.
        device: IfIndex,
        /// Whole Ethernet frame.
        frame: Vec<u8>,
    },
    /// Append to the kernel thread's queue.
    Work(Work),
    /// Start to receive on a physical interface: memberships, sockets, kernel sysctls.
    Attach(IfIndex),
    /// Stop receiving on a physical interface, which may be gone, and restore its kernel sysctls.
    Detach(IfIndex),
    /// Start or stop receiving ARP requests on a physical interface.
    ListenArp {
        /// Physical interface.
        device: IfIndex,
        /// True to start.
        on: bool,
    },
    /// Publish a change of state.
    Changed(Transition),
    /// Publish a new carp interface.
    Created(Unit),
    /// Publish a change of a carp interface other than that of its state or its counters.
    Updated(Unit),
    /// Publish that a carp interface no longer exists.
    Destroyed(Unit),
    /// Publish a change of a sysctl, including `suppress_preempt`.
    SysctlsChanged,
    /// Log a notice.
    Notice(Notice),
    /// Answer a request, in order with the effects of the request.
    Answer(RequestId, Result<Answer, Refusal>),
}

/// Item of the kernel thread's queue, which is first in, first out for each unit. Each item is
/// idempotent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Create the device on `parent` with `mac`, without addresses, and receiving nothing. Replace one
    /// on another parent or with another MAC.
    Ensure {
        /// Unit of the device.
        unit: Unit,
        /// Physical interface below it.
        parent: IfIndex,
        /// Virtual MAC.
        mac: Mac,
    },
    /// Become MASTER: let the device receive, and give it exactly `addresses`. Report the end with
    /// [`Input::Taken`](crate::Input::Taken).
    Take {
        /// Unit of the device.
        unit: Unit,
        /// Device of the addresses.
        place: Place,
        /// All virtual addresses.
        addresses: Vec<VirtualAddress>,
        /// Seconds after which the kernel removes them unless the lease is renewed; at least 2.
        lease: u32,
        /// Number of the takeover, for [`Input::Taken`](crate::Input::Taken).
        number: u32,
    },
    /// Stay MASTER: renew the lease of the addresses.
    Renew {
        /// Unit of the device.
        unit: Unit,
        /// In seconds.
        lease: u32,
    },
    /// Stop being MASTER: the device receives nothing from now on, and loses all addresses.
    Leave {
        /// Unit of the device.
        unit: Unit,
    },
    /// Send a bow-out once the addresses are removed.
    BowOut {
        /// Virtual host that bows out.
        unit: Unit,
        /// Physical interface.
        device: IfIndex,
        /// Whole Ethernet frames, one for each family.
        frames: Vec<Vec<u8>>,
    },
    /// Enter INIT: set the device down. This is slow, so it waits until the queue is empty, and another
    /// item for the same unit cancels it.
    Down {
        /// Unit of the device.
        unit: Unit,
    },
    /// Remove the device, if it exists.
    Remove {
        /// Unit of the device.
        unit: Unit,
    },
}

/// Device of virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The device of the carp interface. The kernel answers ARP requests.
    Device,
    /// The same, but carpd answers ARP requests (arpbalance).
    SilentDevice,
    /// The physical interface (`lladdr parent`).
    Parent(IfIndex),
}

/// Answer to a successful request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No value.
    Done,
    /// The new carp interface.
    Created(Unit),
    /// The old value.
    Old(u64),
    /// The number that releases the suppression.
    Held(HolderId),
}

/// Notice to an operator. Those about bad packets are rate-limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A received packet was refused (`log` 1 and above).
    BadPacket {
        /// Physical interface.
        device: IfIndex,
        /// Name of the physical interface, if it is known.
        name: Option<DeviceName>,
        /// Virtual host that it was for, if any.
        unit: Option<Unit>,
        /// Source address, if it had one.
        source: Option<IpAddr>,
        /// Fault in one line.
        text: String,
        /// Number of notices held back since the last one of this kind.
        held_back: u64,
    },
    /// Suppression changed.
    Suppression {
        /// Old count.
        from: u64,
        /// New count.
        to: u64,
        /// Cause that was added or removed.
        cause: String,
    },
    /// The kernel refused an address or the device.
    KernelRefused {
        /// Virtual host.
        unit: Unit,
        /// The address; `None` for the device.
        address: Option<IpAddr>,
        /// The kernel's message.
        error: String,
    },
    /// A carp interface that is up stays in INIT.
    NotRunning {
        /// Virtual host.
        unit: Unit,
        /// Reason.
        obstacle: Obstacle,
    },
    /// A setting works but is probably a mistake.
    Warning {
        /// Virtual host.
        unit: Unit,
        /// The mistake and its remedy.
        warning: Warning,
    },
    /// A MASTER heard another master.
    TwoMasters {
        /// Virtual host.
        unit: Unit,
        /// Source address of the other master.
        source: IpAddr,
        /// One line, which names the host that stays.
        text: String,
    },
    /// The clock was set back by more than the replay window. Counters start again at the clock.
    ClockSetBack {
        /// Virtual host.
        unit: Unit,
        /// Time by which its counters were ahead of the clock.
        ahead: Duration,
    },
    /// Advertisements could not be sent, or can be again.
    Sending {
        /// Virtual host.
        unit: Unit,
        /// True if they can be sent again.
        works: bool,
    },
}
