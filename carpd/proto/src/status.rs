//! What is shown of a carp interface: a snapshot, without the password.

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

/// The state of a virtual host, without its timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateName {
    /// Something is missing; nothing is sent.
    #[default]
    Init,
    /// Listening for the master.
    Backup,
    /// Advertising, and holding the addresses.
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

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Which virtual host.
    pub unit: Unit,
    /// Its virtual host ID then, if it had one.
    pub vhid: Option<Vhid>,
    /// The physical interface it was on then, or had been on last.
    pub device: Option<DeviceName>,
    /// When.
    pub at: UnixTime,
    /// The state before.
    pub from: StateName,
    /// The state after.
    pub to: StateName,
    /// Why.
    pub reason: Reason,
    /// The host whose advertisement caused it, if one did.
    pub peer: Option<IpAddr>,
}

/// The sender of an advertisement, as last heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its source address.
    pub source: IpAddr,
    /// Seconds.
    pub advbase: u8,
    /// 1/256 seconds.
    pub advskew: u8,
    /// Its demotion byte.
    pub demotion: u8,
    /// When it was heard.
    pub heard: UnixTime,
}

impl Peer {
    pub(crate) const fn interval(self) -> Interval {
        Interval::new(self.advbase, self.advskew)
    }
}

/// A virtual address with what DragonFly's `ifconfig carpN vhaddr` shows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressStatus {
    /// The address as configured.
    pub address: VirtualAddress,
    /// The physical interface's address whose subnet holds it.
    pub backing: Option<IpAddr>,
    /// It is the physical interface's own address too: flag `O`.
    pub owner: bool,
    /// The kernel has it now: flag `A`.
    pub active: bool,
}

/// Everything that is shown of a carp interface.
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
    /// What keeps it in INIT.
    pub obstacle: Option<Obstacle>,
    /// Settings that work but are probably a mistake.
    pub warnings: Vec<Warning>,
    /// The virtual host ID.
    pub vhid: Option<Vhid>,
    /// Configured, in seconds.
    pub advbase: u8,
    /// Configured, in 1/256 seconds.
    pub advskew: u8,
    /// What is advertised now: 240 at least while preemption is suppressed, 0 for an owner.
    pub effective_advskew: u8,
    /// The demotion byte advertised now.
    pub demotion: u8,
    /// The physical interface, chosen or named, if it is there.
    pub device: Option<(IfIndex, DeviceName)>,
    /// The `carpdev` that was named.
    pub carpdev: Option<DeviceName>,
    /// Virtual or parent.
    pub lladdr: LinkLayer,
    /// The link-layer address of the virtual addresses, once vhid (or device) is known.
    pub mac: Option<Mac>,
    /// The physical interface's MTU in bytes; 1500 while there is none.
    pub mtu: u32,
    /// Every virtual address in configured order.
    pub addresses: Vec<AddressStatus>,
    /// Whether a password is set.
    pub has_password: bool,
    /// Free text.
    pub description: String,
    /// Who is master: the last accepted advertisement's sender while BACKUP; `None` while MASTER
    /// ourselves or INIT, or before anything was heard.
    pub master: Option<Peer>,
    /// When our last own advertisement was sent, while MASTER.
    pub advertised: Option<UnixTime>,
    /// The master-down time in microseconds; while preemption is suppressed, with the skew that is
    /// advertised.
    pub master_down_micros: u64,
    /// The last change of state.
    pub last_transition: Option<Transition>,
    /// The counters.
    pub counters: Counters,
}
