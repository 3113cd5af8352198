//! Frames that show whether an ear hears: like advertisements, but sent from one macvlan device to
//! itself, which the kernel performs by receiving them on the physical interface; they are never
//! on the wire.
//!
//! Should one get there nevertheless, because somebody else changes the mode of the device at that
//! moment: it is for no virtual host (vhid 0), and its source is nobody's MAC.

use std::hash::{BuildHasher as _, RandomState};

use carp_proto::{Family, IfIndex, Mac};

/// How the MAC of every ear begins: administered locally.
pub(super) const PREFIX: [u8; 4] = [0x02, 0x63, 0x61, 0x72];

const ETHERNET: usize = 14;
const GROUPS: [[u8; 6]; 2] = [[0x01, 0, 0x5e, 0, 0, 0x12], [0x33, 0x33, 0, 0, 0, 0x12]];
const VERSION_AND_TYPE: u8 = 0x21;
const AUTHLEN: u8 = 7;

/// Who can hear a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Every ear: whole, and from a virtual MAC or for a group.
    Any,
    /// No ear, and it looks like an advertisement of CARP: to a host, from its own MAC.
    Unicast,
    /// What says nothing about an ear.
    Other,
}

/// From where the first part of an ear gets copies, besides probes: the virtual MACs of CARP and
/// of VRRP.
pub(crate) fn heard_from() -> impl Iterator<Item = Mac> {
    [1, 2]
        .into_iter()
        .flat_map(|group| (0..=u8::MAX).map(move |vhid| Mac([0x00, 0x00, 0x5e, 0x00, group, vhid])))
}

/// The MAC of the ear on `device`.
pub(crate) fn ear_mac(device: IfIndex) -> Mac {
    let [a, b, c, d] = PREFIX;
    let [.., high, low] = device.0.to_be_bytes();
    Mac([a, b, c, d, high, low])
}

/// What nobody else can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Secret(u64);

impl Secret {
    /// A new one.
    pub(super) fn new() -> Self {
        Self(RandomState::new().hash_one(0))
    }
}

/// A probe for the ear on `device`; whoever sends it puts the destination in.
pub(super) fn build(device: IfIndex, secret: Secret, number: u64, family: Family) -> Vec<u8> {
    let mut frame = vec![0; 6];
    frame.extend(ear_mac(device).0);
    match family {
        Family::V4 => {
            frame.extend([0x08, 0x00, 0x45, 0x10, 0, 56, 0, 0, 0x40, 0, 255, 112]);
            // Its checksum: nothing in it changes.
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

/// Which of our probes it is.
pub(super) fn read(frame: &[u8], secret: Secret) -> Option<(u64, Family)> {
    let (family, carp) = payload(frame)?;
    let number = carp.get(8..16)?.try_into().ok()?;
    let other = carp.get(16..24)?;
    (source(frame)?.starts_with(&PREFIX) && other == secret.0.to_be_bytes())
        .then_some((u64::from_be_bytes(number), family))
}

/// Whether it is from the MAC of an ear.
pub(super) fn is_from_ear(frame: &[u8]) -> bool {
    source(frame).is_some_and(|source| source.starts_with(&PREFIX))
}

pub(super) fn kind(frame: &[u8]) -> Kind {
    let Some((source, (family, carp))) = source(frame).zip(payload(frame)) else {
        return Kind::Other;
    };
    // The kernel puts fragments together before an ear gets them.
    let fragment = frame.get(ETHERNET + 6..ETHERNET + 8).unwrap_or_default();
    if family == Family::V4
        && fragment
            .iter()
            .zip([0x3f, 0xff])
            .any(|(byte, mask)| byte & mask != 0)
    {
        return Kind::Other;
    }
    let to_a_group = GROUPS.iter().any(|group| frame.starts_with(group));
    if heard_from_group(source) || to_a_group {
        Kind::Any
    } else if carp.len() >= 36
        && carp.first() == Some(&VERSION_AND_TYPE)
        && carp.get(3) == Some(&AUTHLEN)
    {
        Kind::Unicast
    } else {
        Kind::Other
    }
}

fn heard_from_group(source: &[u8]) -> bool {
    matches!(source, [0x00, 0x00, 0x5e, 0x00, 1 | 2, _])
}

fn source(frame: &[u8]) -> Option<&[u8]> {
    frame.get(6..12)
}

/// What comes after the IP header.
fn payload(frame: &[u8]) -> Option<(Family, &[u8])> {
    let packet = frame.get(ETHERNET..)?;
    let (family, header) = match packet.first()? >> 4 {
        4 => (Family::V4, usize::from(packet.first()? & 0x0f) * 4),
        6 => (Family::V6, 40),
        _ => return None,
    };
    Some((family, packet.get(header..)?))
}
