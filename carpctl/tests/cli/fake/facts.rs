//! Interfaces, sysctls and events of the fake daemon.

use std::collections::BTreeMap;

use carp_dbus::{AddressInfo, EventInfo, InterfaceInfo, MasterInfo, SysctlInfo, TransitionInfo};

/// 2026-11-23 01:02:03.456789 UTC
pub(super) const TIME: u64 = 1_795_395_723_456_789;

/// Returns two configured interfaces, one with and one without `advskew`.
pub(super) fn interfaces() -> Vec<InterfaceInfo> {
    let address = |address: &str, prefixlen, backing: &str, flags: &str| AddressInfo {
        address: address.to_owned(),
        prefixlen,
        backing: backing.to_owned(),
        flags: flags.to_owned(),
    };
    let statistics = |received: u64, sent: u64| {
        BTreeMap::from(
            [
                ("ipackets", received),
                ("ipackets6", 0),
                ("badif", 0),
                ("badttl", 1),
                ("hdrops", 0),
                ("badsum", 1),
                ("badver", 0),
                ("badlen", 0),
                ("badauth", 7),
                ("badvhid", 0),
                ("badaddrs", 0),
                ("opackets", sent),
                ("opackets6", sent),
                ("onomem", 0),
                ("ostates", 0),
                ("preempt", 1),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        )
    };
    let transition = |from: &str, to: &str, reason: &str| {
        Some(TransitionInfo {
            time: TIME,
            from: from.to_owned(),
            to: to.to_owned(),
            reason: reason.to_owned(),
        })
    };
    let common = InterfaceInfo {
        up: true,
        running: true,
        advbase: 1,
        mtu: 1500,
        link_layer: "virtual".to_owned(),
        master_down_time: 3_000_000,
        ..InterfaceInfo::default()
    };
    vec![
        InterfaceInfo {
            name: "carp0".to_owned(),
            state: "MASTER".to_owned(),
            vhid: 1,
            carpdev: "eth0".to_owned(),
            lladdr: "00:00:5e:00:01:01".to_owned(),
            description: "the gateway".to_owned(),
            has_password: true,
            addresses: vec![
                address("192.0.2.1", 24, "192.0.2.11", "A"),
                address("2001:db8::1", 64, "", ""),
            ],
            advertised: TIME,
            last_transition: transition("BACKUP", "MASTER", "master-timed-out"),
            statistics: statistics(0, 1),
            ..common.clone()
        },
        InterfaceInfo {
            name: "carp1".to_owned(),
            state: "BACKUP".to_owned(),
            vhid: 2,
            advskew: 100,
            effective_advskew: 240,
            demotion: 1,
            carpdev: "eth1".to_owned(),
            lladdr: "00:00:5e:00:01:02".to_owned(),
            has_password: true,
            addresses: vec![address("198.51.100.1", 24, "198.51.100.1", "OA")],
            master: Some(MasterInfo {
                source: "198.51.100.12".to_owned(),
                advbase: 1,
                advskew: 0,
                heard: TIME,
            }),
            last_transition: transition("INIT", "BACKUP", "became-runnable"),
            statistics: statistics(12, 0),
            ..common
        },
    ]
}

pub(super) fn sysctls() -> Vec<SysctlInfo> {
    [
        (
            "net.inet.carp.allow",
            1,
            "Accept incoming CARP packets",
            true,
        ),
        (
            "net.inet.carp.preempt",
            0,
            "Virtual hosts preempt slower masters",
            true,
        ),
        (
            "net.inet.carp.replay",
            1,
            "How strictly repetitions are refused",
            true,
        ),
        (
            "net.inet.carp.replay_window",
            60,
            "Seconds a clock may be off",
            true,
        ),
        (
            "net.inet.carp.suppress_preempt",
            1,
            "Number of problems now",
            false,
        ),
    ]
    .map(|(name, value, description, writable)| SysctlInfo {
        name: name.to_owned(),
        value,
        description: description.to_owned(),
        writable,
    })
    .into()
}

/// Returns event `number`.
pub(crate) fn event(number: u64, text: &str) -> EventInfo {
    EventInfo {
        number,
        time: TIME + number * 1_000_000,
        interface: "carp0".to_owned(),
        kind: "transition".to_owned(),
        text: format!("carp0: {text}"),
        details: BTreeMap::new(),
    }
}

pub(super) fn events() -> Vec<EventInfo> {
    vec![
        event(1, "INIT -> BACKUP (initialization complete)"),
        event(2, "BACKUP -> MASTER (master timed out)"),
    ]
}
