//! Everything the engine can ask of the world, in the order in which it must happen.

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

/// One effect. Effects are performed in list order; see [`Engine::handle`](crate::Engine::handle).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send an advertisement at once, and say what became of it with
    /// [`Input::Sent`](crate::Input::Sent) once the whole list is performed: what follows from that
    /// must not overtake the rest.
    Transmit {
        /// Who advertises.
        unit: Unit,
        /// Where.
        device: IfIndex,
        /// A whole Ethernet frame.
        frame: Vec<u8>,
    },
    /// Send a frame at once that says which MAC a virtual address has: an announcement of one that
    /// the kernel has already, or the reply to an ARP request.
    Resolve {
        /// Where.
        device: IfIndex,
        /// A whole Ethernet frame.
        frame: Vec<u8>,
    },
    /// Append to the kernel thread's queue.
    Work(Work),
    /// Start to receive on a physical interface: memberships, sockets, its sysctls.
    Attach(IfIndex),
    /// Stop to receive on a physical interface and put its sysctls back. It may be gone already.
    Detach(IfIndex),
    /// Start or stop to receive ARP requests on a physical interface.
    ListenArp {
        /// Where.
        device: IfIndex,
        /// Start, or stop.
        on: bool,
    },
    /// A state changed: log it, publish it, tell everybody.
    Changed(Transition),
    /// An interface came into being: publish it.
    Created(Unit),
    /// Something shown of an interface changed, other than its state and its counters.
    Updated(Unit),
    /// An interface is no more.
    Destroyed(Unit),
    /// A sysctl's value changed, `suppress_preempt` among them.
    SysctlsChanged,
    /// Something an operator may want to know.
    Notice(Notice),
    /// The answer to a request, in its place among the request's effects.
    Answer(RequestId, Result<Answer, Refusal>),
}

/// What the kernel thread does, for each unit first in, first out, each piece idempotent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// The carp device exists on `parent` with `mac`, deaf and without addresses; one on another
    /// parent or with another MAC is replaced.
    Ensure {
        /// Which device.
        unit: Unit,
        /// The physical interface below it.
        parent: IfIndex,
        /// The virtual MAC.
        mac: Mac,
    },
    /// Becoming MASTER: the device hears, and has all `addresses` (and no others). Then say
    /// [`Input::Taken`](crate::Input::Taken).
    Take {
        /// Which device.
        unit: Unit,
        /// Where the addresses go.
        place: Place,
        /// What it shall have.
        addresses: Vec<VirtualAddress>,
        /// How long the kernel keeps them if nobody renews them, in seconds; at least 2.
        lease: u32,
        /// Which of the unit's takeovers this is.
        number: u32,
    },
    /// Still MASTER: the addresses' lease starts anew.
    Renew {
        /// Which device.
        unit: Unit,
        /// Seconds.
        lease: u32,
    },
    /// Leaving MASTER: deaf at once, and no address left.
    Leave {
        /// Which device.
        unit: Unit,
    },
    /// Send a bow-out once the addresses are gone.
    BowOut {
        /// On whose behalf.
        unit: Unit,
        /// Where it goes out.
        device: IfIndex,
        /// Whole Ethernet frames, one for each family.
        frames: Vec<Vec<u8>>,
    },
    /// INIT: the device is down. Slow, so done when nothing else waits, and dropped if another
    /// piece of work for the same unit comes first.
    Down {
        /// Which device.
        unit: Unit,
    },
    /// The device is removed, if it is there.
    Remove {
        /// Which device.
        unit: Unit,
    },
}

/// Where virtual addresses are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the carp device; the kernel answers ARP requests for them.
    Device,
    /// On the carp device, but carpd answers ARP requests for them (arpbalance).
    SilentDevice,
    /// On the physical interface (`lladdr parent`).
    Parent(IfIndex),
}

/// What a successful request gives back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Done,
    /// Created, and this is its name.
    Created(Unit),
    /// The value before.
    Old(u64),
    /// The number to let go with.
    Held(HolderId),
}

/// Something an operator may want to know. Bad packets come rate-limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A received packet was refused (`log` 1 and above).
    BadPacket {
        /// Where it came in.
        device: IfIndex,
        /// The device's name, if we know it.
        name: Option<DeviceName>,
        /// The virtual host it was for, if any.
        unit: Option<Unit>,
        /// Its source, if it had one.
        source: Option<IpAddr>,
        /// What was wrong, in one line.
        text: String,
        /// How many were held back since the last such notice.
        held_back: u64,
    },
    /// Suppression changed.
    Suppression {
        /// The counter before.
        from: u64,
        /// The counter now.
        to: u64,
        /// What was added or taken away.
        cause: String,
    },
    /// The kernel refused an address or the device.
    KernelRefused {
        /// For whom.
        unit: Unit,
        /// The address; `None` if the device.
        address: Option<IpAddr>,
        /// The kernel's words.
        error: String,
    },
    /// An interface that is up stays in INIT.
    NotRunning {
        /// Which virtual host.
        unit: Unit,
        /// What it lacks.
        obstacle: Obstacle,
    },
    /// A setting works but is probably a mistake.
    Warning {
        /// Which virtual host.
        unit: Unit,
        /// The mistake, and what to do about it.
        warning: Warning,
    },
    /// Another master's advertisement was heard while MASTER; `text` says who stays.
    TwoMasters {
        /// Which virtual host.
        unit: Unit,
        /// The other.
        source: IpAddr,
        /// One line.
        text: String,
    },
    /// The clock was set back by more than the replay window: counters start again at it.
    ClockSetBack {
        /// Which virtual host.
        unit: Unit,
        /// How far its counters were ahead of the clock.
        ahead: Duration,
    },
    /// Advertisements could not be sent, or can be again.
    Sending {
        /// Which virtual host.
        unit: Unit,
        /// Whether they can.
        works: bool,
    },
}
