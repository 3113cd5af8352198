//! Protocols between the hosts of a group, one file each.

pub(crate) mod carp;
