//! Command lines of tests.

use std::str::FromStr;

use carp_proto::{Change, ForcedState, Key, LinkLayer, Request, Unit, VirtualAddress};

/// Request of `carp0 destroy`, or of `carp0` with changes. An interface that is not in `units` is created.
pub(super) fn request(units: &[Unit], line: &str) -> Request {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let unit = name.parse().unwrap();
    let changes = || changes(rest);
    if rest == "destroy" {
        Request::Destroy(unit)
    } else if units.contains(&unit) {
        Request::Configure {
            unit,
            changes: changes(),
        }
    } else {
        Request::Create {
            unit: Some(unit),
            changes: changes(),
        }
    }
}

fn changes(line: &str) -> Vec<Change> {
    let mut words = line.split_whitespace();
    let mut changes = Vec::new();
    while let Some(word) = words.next() {
        let mut argument = || words.next().unwrap();
        changes.push(match word {
            "vhid" => Change::Vhid(number(argument()).try_into().unwrap()),
            "advbase" => Change::Advbase(number(argument()).try_into().unwrap()),
            "advskew" => Change::Advskew(number(argument()).try_into().unwrap()),
            "pass" => Change::Key(Key::password(argument().as_bytes()).unwrap()),
            "accept_pass" => Change::AcceptKey(Some(Key::password(argument().as_bytes()).unwrap())),
            "-accept_pass" => Change::AcceptKey(None),
            "carpdev" => Change::Carpdev(carp_proto::DeviceName::new(argument())),
            "lladdr" => Change::Lladdr(match argument() {
                "parent" => LinkLayer::Parent,
                _ => LinkLayer::Virtual,
            }),
            "state" => Change::State(match argument() {
                "master" => ForcedState::Master,
                _ => ForcedState::Backup,
            }),
            "up" => Change::Up(true),
            "down" => Change::Up(false),
            "-alias" => Change::RemoveAddress(argument().parse().unwrap()),
            address => Change::AddAddress(virtual_address(address)),
        });
    }
    changes
}

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}

fn virtual_address(text: &str) -> VirtualAddress {
    let (address, prefix) = text.split_once('/').unwrap();
    VirtualAddress {
        address: FromStr::from_str(address).unwrap(),
        prefix: FromStr::from_str(prefix).unwrap(),
    }
}
