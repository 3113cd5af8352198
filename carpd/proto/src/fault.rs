//! Faults of received packets, and the counter that each raises.

use crate::counters::Counter;
use crate::dialect::carp::replay::ReplayRefusal;
use crate::name::Unit;

/// Fault for which a received packet is refused, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("no carp interface here")]
    NoInterface,
    #[error("shorter than its IP header says")]
    IpHeader,
    #[error("TTL {0} instead of 255: forwarded by a router")]
    Ttl(u8),
    #[error("{0} bytes, 36 at least")]
    Short(usize),
    /// VRRP, which shares CARP's protocol number, groups and virtual MACs. `unit` is the virtual host
    /// whose MAC the group has.
    #[error("VRRPv{version} group {group}{}", MacClash(*.unit))]
    Vrrp {
        version: u8,
        group: u8,
        unit: Option<Unit>,
    },
    #[error("checksum wrong")]
    Checksum,
    #[error("no virtual host with vhid {0} here")]
    NoVhid(u8),
    #[error("version {0} instead of 2")]
    Version(u8),
    #[error("wrong digest")]
    Digest,
    #[error("our own advertisement came back: network loop")]
    Loop,
    #[error(transparent)]
    Replay(#[from] ReplayRefusal),
}

impl Fault {
    pub(crate) const fn counter(self) -> Counter {
        match self {
            Self::NoInterface => Counter::Badif,
            Self::IpHeader => Counter::Hdrops,
            Self::Ttl(_) => Counter::Badttl,
            Self::Short(_) | Self::Vrrp { .. } => Counter::Badlen,
            Self::Checksum => Counter::Badsum,
            Self::NoVhid(_) => Counter::Badvhid,
            Self::Version(_) => Counter::Badver,
            Self::Digest | Self::Loop | Self::Replay(_) => Counter::Badauth,
        }
    }
}

/// Remark that a VRRP group has the virtual MAC of a virtual host.
struct MacClash(Option<Unit>);

impl core::fmt::Display for MacClash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(unit) => write!(f, ": its virtual MAC is that of {unit}; use another vhid"),
        }
    }
}
