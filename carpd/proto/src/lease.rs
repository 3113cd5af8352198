//! Leases: the kernel's limited validity of virtual addresses.

use core::net::IpAddr;

use crate::link::IfIndex;
use crate::mac::Mac;
use crate::name::Unit;

/// Virtual address that the kernel still has from a previous instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lease {
    /// Device of the address.
    pub on: LeasedOn,
    /// The address.
    pub address: IpAddr,
}

/// Device of a leased address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeasedOn {
    /// Device of a carp interface that receives.
    Device {
        /// Carp interface.
        unit: Unit,
        /// Physical interface below it.
        parent: IfIndex,
        /// MAC of the device.
        mac: Mac,
    },
    /// A physical interface (`lladdr parent`).
    Parent(IfIndex),
}
