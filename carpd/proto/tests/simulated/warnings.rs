//! Warnings: each is reported once, and lasts as long as its reason.

use std::collections::BTreeSet;

use carp_proto::{
    Action, Change, DeviceAddress, DeviceName, Engine, Gateway, IfIndex, Input, Instant, Link, Mac,
    Notice, Now, Request, RequestId, Unit, UnixTime, VirtualAddress,
};

const NOW: Now = Now {
    instant: Instant::from_micros(1),
    unix: UnixTime::from_micros(1),
};

/// Host and its notices.
#[derive(Default)]
struct Host {
    engine: Engine,
    reports: Vec<String>,
}

impl Host {
    fn handle(&mut self, input: Input<'_>) {
        for action in self.engine.handle(input, NOW) {
            if let Action::Notice(Notice::Warning { unit, warning }) = &action {
                self.reports.push(format!("{unit}: {warning}"));
            }
            if let Action::Notice(Notice::NotRunning { unit, obstacle }) = &action {
                self.reports.push(format!("{unit}: {obstacle}"));
            }
        }
    }

    /// Adds an interface that works, or `lo`.
    fn link(&mut self, index: u32, name: &str, addresses: &[&str]) {
        let own = addresses.iter().map(|text| {
            let (address, prefix) = text.split_once('/').unwrap();
            DeviceAddress {
                address: address.parse().unwrap(),
                prefix: prefix.parse().unwrap(),
            }
        });
        self.handle(Input::Link(Link {
            index: IfIndex(index),
            name: DeviceName::new(name).unwrap(),
            other_names: Vec::new(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            capable: name != "lo",
            up: true,
            carrier: true,
            addresses: own.collect(),
        }));
    }

    /// Creates a carp interface with vhid 1, and returns the notices.
    fn create(&mut self, unit: u16, changes: Vec<Change>) -> Vec<String> {
        let unit = Some(Unit::try_from(unit).unwrap());
        let vhid = Change::Vhid(1_u64.try_into().unwrap());
        let changes = [vec![vhid], changes].concat();
        self.handle(Input::Request(
            RequestId(1),
            Request::Create { unit, changes },
        ));
        self.take_reports()
    }

    fn take_reports(&mut self) -> Vec<String> {
        core::mem::take(&mut self.reports)
    }

    fn carpdev(&self) -> Option<String> {
        let status = self.engine.status(Unit::try_from(0).unwrap(), NOW);
        let (_, name) = status.unwrap().device?;
        Some(name.to_string())
    }

    fn warnings(&self) -> usize {
        let status = self.engine.status(Unit::try_from(0).unwrap(), NOW);
        status.unwrap().warnings.len()
    }
}

fn address(text: &str) -> Change {
    let (address, prefix) = text.split_once('/').unwrap();
    Change::AddAddress(VirtualAddress {
        address: address.parse().unwrap(),
        prefix: prefix.parse().unwrap(),
    })
}

fn carpdev(name: &str) -> Change {
    Change::Carpdev(DeviceName::new(name))
}

#[test]
fn choice_among_equal_interfaces_causes_a_warning() {
    let mut host = Host::default();
    host.link(2, "eth0", &["192.0.2.2/24"]);
    host.link(3, "eth1", &["192.0.2.3/24"]);
    host.link(4, "eth2", &["192.0.0.4/16"]);
    assert_eq!(
        host.create(0, vec![address("192.0.2.1/24")]),
        [
            "carp0: eth0 is used, and eth1 has an address in the subnet of 192.0.2.1 too: name one \
             with carpdev"
        ]
    );
    host.link(3, "eth1", &["198.51.100.3/24"]);
    assert_eq!(host.warnings(), 0);
    host.link(3, "eth1", &["192.0.2.3/24"]);
    assert_eq!(host.take_reports().len(), 1);
    let named = Request::Configure {
        unit: Unit::try_from(0).unwrap(),
        changes: vec![carpdev("eth0")],
    };
    host.handle(Input::Request(RequestId(2), named));
    assert_eq!((host.warnings(), host.take_reports()), (0, Vec::new()));
}

#[test]
fn link_local_address_chooses_none_of_several_interfaces() {
    let mut host = Host::default();
    host.link(2, "eth0", &["192.0.2.2/24", "fe80::2/64"]);
    host.link(3, "eth1", &["198.51.100.2/24", "fe80::3/64"]);
    assert_eq!(
        host.create(0, vec![address("fe80::1/64")]),
        ["carp0: eth0 and eth1 have an address in the subnet of fe80::1: name one with carpdev"]
    );
    assert_eq!(host.carpdev(), None);
    // A second address decides, in any position.
    let more = Request::Configure {
        unit: Unit::try_from(0).unwrap(),
        changes: vec![address("198.51.100.1/24")],
    };
    host.handle(Input::Request(RequestId(2), more));
    assert_eq!(host.carpdev().as_deref(), Some("eth1"));
    assert_eq!((host.warnings(), host.take_reports()), (0, Vec::new()));
    host.link(3, "eth1", &["fe80::3/64"]);
    host.link(2, "eth0", &["198.51.100.3/24", "fe80::2/64"]);
    assert_eq!(
        host.carpdev().as_deref(),
        Some("eth0"),
        "not held by fe80::1"
    );
}

#[test]
fn link_local_address_chooses_the_only_interface() {
    let mut host = Host::default();
    host.link(2, "eth0", &["fe80::2/64"]);
    assert_eq!(host.create(0, vec![address("fe80::1/64")]), [""; 0]);
    assert_eq!(host.carpdev().as_deref(), Some("eth0"));
    host.link(3, "eth1", &["fe80::3/64"]);
    assert_eq!(host.carpdev().as_deref(), Some("eth0"), "it stays");
    assert_eq!(
        host.take_reports(),
        [
            "carp0: eth0 is used, and eth1 has an address in the subnet of fe80::1 too: name one \
             with carpdev"
        ]
    );
}

#[test]
fn own_address_as_virtual_address_causes_a_warning() {
    let mut host = Host::default();
    host.link(1, "lo", &["127.0.0.1/8", "192.0.2.7/32"]);
    host.link(2, "eth0", &["192.0.2.1/24"]);
    let reports = host.create(0, vec![address("192.0.2.1/24"), address("192.0.2.7/24")]);
    assert_eq!(
        reports,
        [
            "carp0: 192.0.2.1 is also an address of eth0 itself, which never gives it away: while \
             another host is MASTER, both answer for it",
            "carp0: 192.0.2.7 is also an address of lo: while another host is MASTER, what this \
             host sends to it stays here",
        ]
    );
    host.link(1, "lo", &["127.0.0.1/8"]);
    host.link(2, "eth0", &["192.0.2.2/24"]);
    assert_eq!((host.warnings(), host.take_reports()), (0, Vec::new()));
}

#[test]
fn address_without_a_route_causes_a_warning() {
    let no_route = |address: &str| {
        format!(
            "carp0: {address} brings no route, and eth0 has no address in a subnet that holds it: \
             hosts there get no answers unless a route leads to them"
        )
    };
    for (own, settings, warned) in [
        (
            "198.51.100.2/24",
            vec![address("192.0.2.1/32")],
            "192.0.2.1/32",
        ),
        ("192.0.2.2/24", vec![address("192.0.2.1/32")], ""),
        ("198.51.100.2/24", vec![address("192.0.2.1/24")], ""),
        (
            "192.0.2.2/32",
            vec![address("192.0.2.1/32")],
            "192.0.2.1/32",
        ),
        (
            "198.51.100.2/24",
            vec![address("192.0.2.1/32"), address("192.0.2.9/24")],
            "",
        ),
        (
            "192.0.2.2/24",
            vec![address("2001:db8::1/128")],
            "2001:db8::1/128",
        ),
        ("2001:db8::2/64", vec![address("2001:db8::1/128")], ""),
    ] {
        let mut host = Host::default();
        host.link(2, "eth0", &[own]);
        let expected: Vec<String> = (!warned.is_empty())
            .then(|| no_route(warned))
            .into_iter()
            .collect();
        let reports = host.create(0, [vec![carpdev("eth0")], settings.clone()].concat());
        assert_eq!(reports, expected, "{own} {settings:?}");
    }
}

#[test]
fn virtual_address_of_the_default_gateway_causes_a_warning() {
    let mut host = Host::default();
    let gateways = |all: &[(&str, u32)]| -> BTreeSet<Gateway> {
        let gateway = |(address, device): &(&str, u32)| Gateway {
            address: address.parse().unwrap(),
            device: IfIndex(*device),
        };
        all.iter().map(gateway).collect()
    };
    host.link(2, "eth0", &["192.0.2.2/24", "fe80::2/64"]);
    host.handle(Input::Gateways(gateways(&[("192.0.2.1", 2)])));
    let warning = "carp0: 192.0.2.1 is the gateway of a default route of this host, which leads \
                   nowhere while it is MASTER";
    assert_eq!(host.create(0, vec![address("192.0.2.1/24")]), [warning]);
    host.handle(Input::Gateways(gateways(&[("192.0.2.254", 2)])));
    assert_eq!((host.warnings(), host.take_reports()), (0, Vec::new()));
    host.handle(Input::Gateways(gateways(&[
        ("192.0.2.254", 2),
        ("192.0.2.1", 2),
    ])));
    assert_eq!(host.take_reports(), [warning]);

    // fe80::1 of another network is another router.
    let more = Request::Configure {
        unit: Unit::try_from(0).unwrap(),
        changes: vec![address("fe80::1/64")],
    };
    host.handle(Input::Gateways(gateways(&[("fe80::1", 3)])));
    host.handle(Input::Request(RequestId(2), more));
    assert_eq!((host.warnings(), host.take_reports()), (0, Vec::new()));
    host.handle(Input::Gateways(gateways(&[("fe80::1", 2)])));
    assert_eq!(host.warnings(), 1);
}
