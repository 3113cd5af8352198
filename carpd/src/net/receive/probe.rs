//! Probes, which show whether the helper devices receive. A probe looks like an advertisement. A carp
//! device sends it to its own MAC, so the kernel receives it on the physical interface, and it never
//! reaches the wire.
//!
//! If another program changes the mode of the device at that moment, a probe can reach the wire. It does
//! no harm: it is for no virtual host (vhid 0), and no host has its source MAC.

use std::hash::{BuildHasher as _, RandomState};

use carp_proto::{Family, IfIndex};

use super::helpers::{PREFIX, helper_mac};

const ETHERNET: usize = 14;
const GROUPS: [[u8; 6]; 2] = [[0x01, 0, 0x5e, 0, 0, 0x12], [0x33, 0x33, 0, 0, 0, 0x12]];
const VERSION_AND_TYPE: u8 = 0x21;
const AUTHLEN: u8 = 7;

/// Sources that can receive a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Both: a whole packet from a virtual MAC or for a group.
    Both,
    /// The direct socket alone, of what looks like an advertisement: from a host's own MAC to another's.
    DirectOnly,
    /// Unknown: the frame proves nothing.
    Unknown,
}

/// Random number that tells our probes from forged ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Secret(u64);

impl Secret {
    pub(super) fn new() -> Self {
        Self(RandomState::new().hash_one(0))
    }
}

/// Builds a probe for the helper devices of a physical interface. The sender fills in the destination.
pub(super) fn build(interface: IfIndex, secret: Secret, number: u64, family: Family) -> Vec<u8> {
    let mut frame = vec![0; 6];
    frame.extend(helper_mac(interface).0);
    match family {
        Family::V4 => {
            frame.extend([0x08, 0x00, 0x45, 0x10, 0, 56, 0, 0, 0x40, 0, 255, 112]);
            // The checksum is a constant, as the header is.
            frame.extend([0x9b, 0x33, 0, 0, 0, 0, 224, 0, 0, 18]);
        }
        Family::V6 => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 36, 112, 255]);
            frame.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            frame.extend([0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12]);
        }
    }
    frame.extend([VERSION_AND_TYPE, 0, 255, AUTHLEN, 0, 255, 0, 0]);
    frame.extend(number.to_be_bytes());
    frame.extend(secret.0.to_be_bytes());
    frame.extend([0; 12]);
    frame
}

/// Returns the number and address family of a probe of ours.
pub(super) fn read(frame: &[u8], secret: Secret) -> Option<(u64, Family)> {
    let (family, carp) = payload(frame)?;
    let number = carp.get(8..16)?.try_into().ok()?;
    let theirs = carp.get(16..24)?;
    (source(frame)?.starts_with(&PREFIX) && theirs == secret.0.to_be_bytes())
        .then_some((u64::from_be_bytes(number), family))
}

/// Returns true if the source of `frame` is the MAC of a helper device.
pub(super) fn is_from_helper(frame: &[u8]) -> bool {
    source(frame).is_some_and(|source| source.starts_with(&PREFIX))
}

/// Returns the sources that can receive `frame`.
pub(super) fn reach(frame: &[u8]) -> Reach {
    let Some((source, (family, carp))) = source(frame).zip(payload(frame)) else {
        return Reach::Unknown;
    };
    // The kernel reassembles fragments before a helper device receives them.
    let fragment = frame.get(ETHERNET + 6..ETHERNET + 8).unwrap_or_default();
    if family == Family::V4
        && fragment
            .iter()
            .zip([0x3f, 0xff])
            .any(|(byte, mask)| byte & mask != 0)
    {
        return Reach::Unknown;
    }
    let to_a_group = GROUPS.iter().any(|group| frame.starts_with(group));
    if is_virtual(source) || to_a_group {
        Reach::Both
    } else if carp.len() >= 36
        && carp.first() == Some(&VERSION_AND_TYPE)
        && carp.get(3) == Some(&AUTHLEN)
    {
        Reach::DirectOnly
    } else {
        Reach::Unknown
    }
}

fn is_virtual(source: &[u8]) -> bool {
    matches!(source, [0x00, 0x00, 0x5e, 0x00, 1 | 2, _])
}

fn source(frame: &[u8]) -> Option<&[u8]> {
    frame.get(6..12)
}

/// Returns the address family, and what follows the IP header.
fn payload(frame: &[u8]) -> Option<(Family, &[u8])> {
    let packet = frame.get(ETHERNET..)?;
    let (family, header) = match packet.first()? >> 4 {
        4 => (Family::V4, usize::from(packet.first()? & 0x0f) * 4),
        6 => (Family::V6, 40),
        _ => return None,
    };
    Some((family, packet.get(header..)?))
}
