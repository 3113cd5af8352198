//! Requests to the host.

use std::net::IpAddr;

use carp_proto::{
    Advbase, Advskew, Change, DeviceName, ForcedState, HolderId, Key, LinkLayer, Request, Settings,
    Sysctl, Unit, Vhid, VirtualAddress,
};

use super::UNITS;
use crate::bytes::Bytes;

/// Few addresses, so that interfaces share them. The last ones are invalid.
const ADDRESSES: [&str; 10] = [
    "192.0.2.100",
    "192.0.2.101",
    "198.51.100.100",
    "203.0.113.1",
    "192.0.2.1",
    "2001:db8::100",
    "fe80::100",
    "2001:db8::",
    "224.0.0.18",
    "::1",
];

/// Two virtual hosts that can run together, with different passwords.
pub(super) fn first() -> [Request; 2] {
    let new = |number: u16, vhid: u64, pass: &[u8], addresses: &[&str]| {
        let mut changes = vec![
            Change::Vhid(Vhid::try_from(vhid).unwrap()),
            Change::Key(Key::password(pass).unwrap()),
        ];
        changes.extend(addresses.iter().map(|address| added(address)));
        let unit = Some(Unit::try_from(number).unwrap());
        Request::Create { unit, changes }
    };
    [
        new(0, 1, b"secret", &["192.0.2.100/24", "2001:db8::100/64"]),
        new(1, 2, b"", &["192.0.2.101/24"]),
    ]
}

fn added(address: &str) -> Change {
    let (address, prefix) = address.split_once('/').unwrap();
    Change::AddAddress(VirtualAddress {
        address: address.parse().unwrap(),
        prefix: prefix.parse().unwrap(),
    })
}

/// Any request.
pub(super) fn request(bytes: &mut Bytes<'_>, holders: &[HolderId]) -> Request {
    match bytes.byte() % 16 {
        0..=5 => Request::Configure {
            unit: unit(bytes),
            changes: changes(bytes),
        },
        6 => Request::Create {
            unit: bytes.flag().then(|| unit(bytes)),
            changes: changes(bytes),
        },
        7 => Request::Destroy(unit(bytes)),
        8 => install(bytes),
        9..=11 => {
            let sysctl = bytes.one_of(&Sysctl::ALL);
            Request::Set(sysctl, bytes.one_of(&[0, 1, 2, 60, 256, u64::MAX]))
        }
        12 => {
            let text = String::from_utf8_lossy(bytes.some(8)).into_owned();
            Request::Suppress {
                who: text.clone(),
                why: text,
            }
        }
        13 => Request::Release(if holders.is_empty() {
            HolderId(bytes.long())
        } else {
            bytes.one_of(holders)
        }),
        14 => Request::ResetStatistics,
        _ => Request::Stop,
    }
}

/// Settings of a configuration file. Invalid ones become empty ones.
fn install(bytes: &mut Bytes<'_>) -> Request {
    let unit = unit(bytes);
    let settings = Settings::configured(unit, &changes(bytes)).unwrap_or_default();
    Request::Install {
        unit,
        settings: Box::new(settings),
    }
}

fn changes(bytes: &mut Bytes<'_>) -> Vec<Change> {
    (0..=bytes.byte() % 4).map(|_| change(bytes)).collect()
}

fn change(bytes: &mut Bytes<'_>) -> Change {
    match bytes.byte() % 14 {
        0 => Change::Advbase(Advbase::try_from(u64::from(bytes.byte() % 255)).unwrap()),
        1 => Change::Advskew(Advskew::try_from(u64::from(bytes.byte() % 255)).unwrap()),
        2 => Change::AcceptKey(bytes.flag().then(|| key(bytes))),
        3..=5 => Change::AddAddress(VirtualAddress {
            address: address(bytes),
            prefix: bytes.one_of(&[0, 24, 32, 64, 128, 129, 255]),
        }),
        6 => {
            let name = bytes.one_of(&["eth0", "eth1", "lan", "none"]);
            Change::Carpdev(bytes.flag().then(|| DeviceName::new(name).unwrap()))
        }
        7 => Change::Description(String::from_utf8_lossy(bytes.some(255)).into_owned()),
        8 => Change::Key(key(bytes)),
        9 => Change::Lladdr(bytes.one_of(&[LinkLayer::Virtual, LinkLayer::Parent])),
        10 => Change::RemoveAddress(address(bytes)),
        11 => Change::State(bytes.one_of(&[ForcedState::Backup, ForcedState::Master])),
        12 => Change::Up(bytes.flag()),
        _ => Change::Vhid(Vhid::try_from(bytes.one_of(&[1, 2, 3, 255])).unwrap()),
    }
}

fn key(bytes: &mut Bytes<'_>) -> Key {
    Key::password(bytes.one_of(&[&b""[..], b"secret", b"1234567890123456789"])).unwrap()
}

pub(super) fn unit(bytes: &mut Bytes<'_>) -> Unit {
    Unit::try_from(u16::from(bytes.byte()) % UNITS).unwrap()
}

pub(super) fn address(bytes: &mut Bytes<'_>) -> IpAddr {
    bytes.one_of(&ADDRESSES).parse().unwrap()
}
