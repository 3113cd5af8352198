//! The programs under test.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A program under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Engine {
    Carpd,
    Ucarp,
    Keepalived,
    KeepalivedVmac,
}

impl Engine {
    /// All of them, in the order of the tables' columns.
    pub(crate) const ALL: [Self; 4] = [
        Self::Carpd,
        Self::Ucarp,
        Self::Keepalived,
        Self::KeepalivedVmac,
    ];

    /// Returns whether the addresses have a virtual MAC.
    pub(crate) const fn has_virtual_mac(self) -> bool {
        match self {
            Self::Carpd | Self::KeepalivedVmac => true,
            Self::Ucarp | Self::Keepalived => false,
        }
    }

    /// Returns whether the program speaks CARP, not VRRP.
    pub(crate) const fn speaks_carp(self) -> bool {
        match self {
            Self::Carpd | Self::Ucarp => true,
            Self::Keepalived | Self::KeepalivedVmac => false,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Carpd => "carpd",
            Self::Ucarp => "ucarp",
            Self::Keepalived => "keepalived",
            Self::KeepalivedVmac => "keepalived vmac",
        })
    }
}
