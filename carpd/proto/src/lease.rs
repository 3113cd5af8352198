//! Leases: the kernel's limited validity of virtual addresses.

use core::net::IpAddr;

use crate::link::IfIndex;
use crate::mac::Mac;
use crate::name::Unit;

/// A virtual address that the kernel still has from a carpd that is gone: its lease has not run
/// out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lease {
    /// Where it is.
    pub on: LeasedOn,
    /// The address.
    pub address: IpAddr,
}

/// What a leased address is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeasedOn {
    /// A carp device that hears.
    Device {
        /// Whose.
        unit: Unit,
        /// The physical interface below it.
        parent: IfIndex,
        /// Its MAC.
        mac: Mac,
    },
    /// A physical interface (`lladdr parent`).
    Parent(IfIndex),
}
