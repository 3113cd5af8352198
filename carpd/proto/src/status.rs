//! Status of a carp interface: a snapshot, without the password.

use core::net::IpAddr;

use crate::counters::Counters;
use crate::election::Interval;
use crate::link::IfIndex;
use crate::mac::Mac;
use crate::name::Unit;
use crate::numbers::Vhid;
use crate::obstacle::Obstacle;
use crate::reason::Reason;
use crate::settings::{DeviceName, LinkLayer, VirtualAddress};
use crate::time::UnixTime;
use crate::warning::Warning;

/// State of a virtual host, without its timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateName {
    /// A condition of running is missing. Nothing is sent.
    #[default]
    Init,
    /// Listens for the master.
    Backup,
    /// Advertises, and has the addresses.
    Master,
}

impl StateName {
    /// `INIT`, `BACKUP` or `MASTER`, as ifconfig(8) prints it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
        }
    }
}

/// A change of the state of a virtual host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Virtual host.
    pub unit: Unit,
    /// Its vhid then, if it had one.
    pub vhid: Option<Vhid>,
    /// Its physical interface then, or the last one before.
    pub device: Option<DeviceName>,
    /// Time.
    pub at: UnixTime,
    /// Old state.
    pub from: StateName,
    /// New state.
    pub to: StateName,
    /// Reason.
    pub reason: Reason,
    /// Host whose advertisement caused it, if one did.
    pub peer: Option<IpAddr>,
}

/// A peer, as its last advertisement describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Source address.
    pub source: IpAddr,
    /// Seconds.
    pub advbase: u8,
    /// 1/256 seconds.
    pub advskew: u8,
    /// Demotion byte.
    pub demotion: u8,
    /// Time of the advertisement.
    pub heard: UnixTime,
}

impl Peer {
    pub(crate) const fn interval(self) -> Interval {
        Interval::new(self.advbase, self.advskew)
    }
}

/// Status of a virtual address, as DragonFly's `ifconfig carpN vhaddr` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressStatus {
    /// The address as configured.
    pub address: VirtualAddress,
    /// Address of the physical interface whose subnet holds it.
    pub backing: Option<IpAddr>,
    /// It is also an address of the physical interface: flag `O`.
    pub owner: bool,
    /// The kernel has it now: flag `A`.
    pub active: bool,
}

/// Status of a carp interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub unit: Unit,
    /// Its state.
    pub state: StateName,
    /// Administratively up.
    pub up: bool,
    /// Not INIT.
    pub running: bool,
    /// Reason why it is in INIT.
    pub obstacle: Option<Obstacle>,
    /// Settings that work but are probably mistakes.
    pub warnings: Vec<Warning>,
    /// The virtual host ID.
    pub vhid: Option<Vhid>,
    /// Configured value in seconds.
    pub advbase: u8,
    /// Configured value in 1/256 seconds.
    pub advskew: u8,
    /// Advertised value: at least 240 while preemption is suppressed, otherwise 0 for an owner.
    pub effective_advskew: u8,
    /// Advertised demotion byte.
    pub demotion: u8,
    /// Physical interface, chosen or named, if it exists.
    pub device: Option<(IfIndex, DeviceName)>,
    /// Configured `carpdev`.
    pub carpdev: Option<DeviceName>,
    /// Virtual or parent.
    pub lladdr: LinkLayer,
    /// Link-layer address of the virtual addresses, once the vhid (with `lladdr parent`, the physical
    /// interface) is known.
    pub mac: Option<Mac>,
    /// MTU of the physical interface in bytes; 1500 without one.
    pub mtu: u32,
    /// Every virtual address in configured order.
    pub addresses: Vec<AddressStatus>,
    /// True if a password is set.
    pub has_password: bool,
    /// Free text.
    pub description: String,
    /// While BACKUP, the sender of the last accepted advertisement, if one was heard.
    pub master: Option<Peer>,
    /// While MASTER, the time of our last advertisement.
    pub advertised: Option<UnixTime>,
    /// Master-down time in microseconds. While preemption is suppressed it includes the advertised
    /// advskew.
    pub master_down_micros: u64,
    /// The last change of state.
    pub last_transition: Option<Transition>,
    /// The counters.
    pub counters: Counters,
}
