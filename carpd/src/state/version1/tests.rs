//! Files that carpd wrote before version 2.

use std::net::IpAddr;

use carp_proto::{
    Advskew, DeviceAddress, DeviceName, Engine, IfIndex, Input, Key, Lease, LeasedOn, Link, Mac,
    Now, SavedState, Settings, StateName, Unit, Vhid, VirtualAddress,
};

use crate::state::format::parse;

/// Written by the versions of these commits: carp0 is MASTER on lan0, carp7 is down.
const FILES: [&[u8]; 2] = [
    include_bytes!("../written/266953e"),
    include_bytes!("../written/777ad35"),
];

fn unit(number: u16) -> Unit {
    Unit::try_from(number).unwrap()
}

fn address(address: &str, prefix: u8) -> VirtualAddress {
    let address = address.parse().unwrap();
    VirtualAddress { address, prefix }
}

/// Returns both interfaces as in rc.conf.
fn expected() -> [Settings; 2] {
    let gateway = Settings {
        vhid: Some(Vhid::LEAST),
        advskew: Advskew::try_from(100).unwrap(),
        key: Key::password(b"mekmitasdigoat").unwrap(),
        addresses: vec![
            address("192.0.2.1", 24),
            address("192.0.2.2", 24),
            address("2001:db8::1", 64),
        ],
        carpdev: DeviceName::new("lan0"),
        up: true,
        description: "the gateway".to_owned(),
        ..Settings::default()
    };
    let down = Settings {
        vhid: Vhid::try_from(7).ok(),
        accept_key: Key::password(b"older").ok(),
        addresses: vec![address("192.0.2.7", 24)],
        ..Settings::default()
    };
    [gateway, down]
}

/// Returns an engine that resumes `memory`, whose addresses the kernel still has.
fn resume(memory: SavedState) -> (Engine, Now) {
    let now = memory.interfaces[&unit(0)].at;
    let lan0 = Link {
        index: IfIndex(2),
        name: DeviceName::new("lan0").unwrap(),
        other_names: Vec::new(),
        mac: Mac([2, 0, 0, 0, 0, 10]),
        mtu: 1500,
        capable: true,
        up: true,
        carrier: true,
        addresses: vec![DeviceAddress {
            address: IpAddr::from([192, 0, 2, 10]),
            prefix: 24,
        }],
    };
    let on = LeasedOn::Device {
        unit: unit(0),
        parent: lan0.index,
        mac: Mac::virtual_of(Vhid::LEAST),
    };
    let leases = [Lease {
        on,
        address: IpAddr::from([192, 0, 2, 1]),
    }];
    let mut engine = Engine::new();
    let _attached = engine.handle(Input::Link(lan0), now);
    let leases = &leases.into();
    let _resumed = engine.handle(
        Input::Resume {
            saved: memory,
            leases,
        },
        now,
    );
    (engine, now)
}

#[test]
fn files_of_version_1_are_read_and_their_master_resumes() {
    for file in FILES {
        let memory = parse(file).unwrap().memory;
        assert!(memory.sysctls.preempt);
        let settings = memory.interfaces.values().map(|known| &known.settings);
        assert_eq!(settings.cloned().collect::<Vec<_>>(), expected());

        let (engine, now) = resume(memory);
        let state = |number| engine.status(unit(number), now).unwrap().state;
        assert_eq!((state(0), state(7)), (StateName::Master, StateName::Init));
    }
}
