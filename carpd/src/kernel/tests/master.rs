//! Addresses of a MASTER: their form, the replies for them, and the time that they stay.

use std::time::Duration;

use carp_proto::{IfIndex, Place, Work};

use super::lab::{eventually, on_a_cable, run, set, succeeds};
use super::{Awaited, Kernel, News, addresses_of, carp, eth0, mac};

const VIRTUAL_MAC: &str = "00:00:5e:00:01:01";

#[test]
fn addresses_have_a_lease_and_a_route_of_a_worse_metric() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        let wanted = ["192.0.2.1/24", "192.0.2.7/32", "2001:db8::1/64"];
        kernel.take(0, Place::Device, &wanted, 30);
        assert_eq!(kernel.settle().await, Vec::<String>::new());

        let addresses = addresses_of("carp0");
        assert_eq!(addresses.len(), 3, "{addresses:#?}");
        for (address, wanted) in addresses.iter().zip(wanted) {
            assert!(address.contains(wanted), "{address}");
            assert!(address.contains("valid_lft 30sec") || address.contains("valid_lft 29sec"));
        }
        assert!(addresses[2].contains(" nodad "), "{}", addresses[2]);
        assert!(
            addresses[2].contains("preferred_lft 0sec"),
            "{}",
            addresses[2]
        );
        assert!(!addresses[2].contains("tentative"), "{}", addresses[2]);
        let routes = run("ip route show dev carp0; ip -6 route show dev carp0");
        let lines: Vec<&str> = routes.lines().collect();
        assert_eq!(lines.len(), 2, "{routes}");
        assert!(lines[0].starts_with("192.0.2.0/24 "), "{routes}");
        assert!(
            lines[0].contains(" src 192.0.2.1 metric 11200000"),
            "{routes}"
        );
        assert!(lines[1].starts_with("2001:db8::/64 "), "{routes}");
        assert!(lines[1].contains(" metric 11200000 "), "{routes}");
        let way = run("ip route get 192.0.2.9; ip -6 route get 2001:db8::9");
        assert!(!way.contains("carp0"), "{way}");

        // The routes are put back and removed with the addresses.
        run("ip address flush dev carp0");
        eventually("the routes are back", || {
            run("ip route show dev carp0").contains("192.0.2.0/24")
                && run("ip -6 route show dev carp0").contains("2001:db8::/64")
        });
        kernel.leave(0);
        kernel.settle().await;
        let routes = run("ip route show dev carp0; ip -6 route show dev carp0");
        assert_eq!(routes, "");
    });
}

#[test]
fn virtual_mac_alone_answers() {
    on_a_cable(async |lab| {
        let mut kernel = Kernel::start().await;
        kernel.handle.attach(eth0());
        kernel.ensure(0);
        kernel.take(
            0,
            Place::Device,
            &["192.0.2.1/24", "192.0.2.7/32", "2001:db8::1/64"],
            30,
        );
        kernel.settle().await;

        assert_eq!(lab.who_has("192.0.2.1"), [VIRTUAL_MAC]);
        assert_eq!(lab.who_has("192.0.2.7"), [VIRTUAL_MAC]);
        let own = run("cat /sys/class/net/eth0/address; ip -o link show dev eth0");
        let answers = lab.who_has("192.0.2.2");
        assert_eq!(
            answers.len(),
            1,
            "the host's own address has one answer: {answers:?}"
        );
        assert!(
            own.contains(&answers[0]),
            "and that is the physical interface's"
        );

        // Strict reverse-path filtering drops nothing on the way in.
        set("ipv4/conf/all/rp_filter", 1);
        assert!(lab.peer_succeeds("ping -c 1 -W 2 192.0.2.1"));
        assert!(lab.peer_succeeds("ping -c 1 -W 2 2001:db8::1"));
        assert_eq!(lab.neighbour("192.0.2.1").as_deref(), Some(VIRTUAL_MAC));
        assert_eq!(lab.neighbour("2001:db8::1").as_deref(), Some(VIRTUAL_MAC));
    });
}

#[test]
fn host_sends_no_arp_request_from_a_virtual_address() {
    on_a_cable(async |lab| {
        let mut kernel = Kernel::start().await;
        kernel.handle.attach(eth0());
        kernel.ensure(0);
        kernel.take(0, Place::Device, &["192.0.2.1/24"], 30);
        kernel.settle().await;

        let capture = lab.capture("arp");
        run("ping -c 1 -W 1 -I 192.0.2.1 192.0.2.77 || true");
        let requests = capture.stop();
        assert!(
            requests
                .iter()
                .any(|line| line.contains("who-has 192.0.2.77 tell 192.0.2.2"))
        );
        assert!(
            !requests.iter().any(|line| line.contains("tell 192.0.2.1,")),
            "{requests:#?}"
        );
    });
}

#[test]
fn addresses_end_with_a_lease_that_is_not_renewed() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        kernel.ensure(1);
        kernel.take(0, Place::Device, &["192.0.2.1/24", "2001:db8::1/64"], 2);
        kernel.take(1, Place::Device, &["192.0.2.11/24", "2001:db8::11/64"], 2);
        kernel.settle().await;
        let gone = eventually("carp0 has no address", || {
            kernel.handle.work(Work::Renew {
                unit: carp(1),
                lease: 2,
            });
            addresses_of("carp0").is_empty()
        });
        assert!(gone < Duration::from_millis(3500), "{gone:?}");
        assert_eq!(addresses_of("carp1").len(), 2);
    });
}

#[test]
fn other_addresses_stay_when_the_first_is_removed() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        kernel.take(
            0,
            Place::Device,
            &["192.0.2.1/24", "192.0.2.3/24", "192.0.2.4/24"],
            30,
        );
        kernel.take(0, Place::Device, &["192.0.2.3/24", "192.0.2.4/24"], 30);
        assert_eq!(kernel.settle().await, Vec::<String>::new());
        let addresses = addresses_of("carp0");
        assert_eq!(addresses.len(), 2, "{addresses:#?}");
        assert!(addresses[0].contains("192.0.2.3/24") && addresses[1].contains("192.0.2.4/24"));
    });
}

#[test]
fn prefix_can_be_changed() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        kernel.take(0, Place::Device, &["192.0.2.1/24", "2001:db8::1/64"], 30);
        kernel.take(0, Place::Device, &["192.0.2.1/25", "2001:db8::1/80"], 30);
        assert_eq!(kernel.settle().await, Vec::<String>::new());
        let addresses = addresses_of("carp0");
        assert_eq!(addresses.len(), 2, "{addresses:#?}");
        assert!(addresses[0].contains("192.0.2.1/25") && addresses[1].contains("2001:db8::1/80"));
    });
}

#[test]
fn kernel_answers_no_arp_request_on_a_silent_device() {
    on_a_cable(async |lab| {
        let mut kernel = Kernel::start().await;
        kernel.handle.attach(eth0());
        kernel.ensure(0);
        kernel.take(0, Place::SilentDevice, &["192.0.2.1/24"], 30);
        kernel.settle().await;
        assert_eq!(lab.who_has("192.0.2.1"), Vec::<String>::new());

        // Packets to the virtual MAC arrive.
        lab.on_peer(&format!(
            "ip neighbour add 192.0.2.1 lladdr {VIRTUAL_MAC} dev eth0"
        ));
        assert!(lab.peer_succeeds("ping -c 1 -W 2 192.0.2.1"));

        kernel.take(0, Place::Device, &["192.0.2.1/24"], 30);
        kernel.settle().await;
        assert_eq!(lab.who_has("192.0.2.1"), [VIRTUAL_MAC]);
    });
}

#[test]
fn device_forwards_exactly_if_the_physical_interface_does() {
    on_a_cable(async |_lab| {
        set("ipv4/conf/eth0/forwarding", 1);
        set("ipv6/conf/eth0/forwarding", 1);
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        kernel.take(0, Place::Device, &["192.0.2.1/24", "2001:db8::1/64"], 30);
        kernel.settle().await;
        assert_eq!(super::lab::get("ipv4/conf/carp0/forwarding"), 1);
        assert_eq!(super::lab::get("ipv6/conf/carp0/forwarding"), 1);

        kernel.leave(0);
        set("ipv4/conf/eth0/forwarding", 0);
        kernel.take(0, Place::Device, &["192.0.2.1/24", "2001:db8::1/64"], 30);
        kernel.settle().await;
        assert_eq!(super::lab::get("ipv4/conf/carp0/forwarding"), 0);
    });
}

#[test]
fn ipv6_address_is_refused_where_ipv6_is_disabled() {
    on_a_cable(async |_lab| {
        set("ipv6/conf/eth0/disable_ipv6", 1);
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        kernel.take(0, Place::Device, &["192.0.2.1/24", "2001:db8::1/64"], 30);
        assert_eq!(
            kernel.settle().await,
            ["carp0 2001:db8::1: IPv6 is disabled on eth0"]
        );
        assert_eq!(
            addresses_of("carp0").len(),
            1,
            "the IPv4 address is there all the same"
        );
    });
}

#[test]
fn lease_of_a_removed_device_does_not_stop_other_renewals() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        for unit in 0..3 {
            kernel.ensure(unit);
            let address = format!("192.0.2.{}/24", 10 + unit);
            kernel.take(unit, Place::Device, &[&address], 4);
        }
        assert_eq!(kernel.settle().await, Vec::<String>::new());
        // Interfaces that are not MASTER, or do not exist, are passed over.
        kernel.ensure(3);
        run("ip link delete carp1");
        let units = [0, 1, 2, 3, 4].map(|unit| (carp(unit), 30));
        kernel.handle.renew(units.to_vec());
        assert_eq!(kernel.settle().await, Vec::<String>::new());
        for unit in 0..3 {
            let shown = run(&format!("ip -o address show dev carp{unit}"));
            let left = shown
                .split("valid_lft ")
                .nth(1)
                .and_then(|rest| rest.split("sec").next())
                .and_then(|number| number.parse::<u32>().ok());
            assert!(left.is_some_and(|left| left > 20), "{shown}");
        }
        assert_eq!(addresses_of("carp3"), Vec::<String>::new());
        kernel.finish().await;
    });
}

#[test]
fn renewal_does_not_wait_for_other_devices() {
    const OTHERS: u16 = 200;
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        kernel.take(0, Place::Device, &["192.0.2.1/24"], 30);
        kernel.settle().await;
        // The last of them is reported, because the kernel refuses it.
        let (parent, nowhere) = (eth0(), IfIndex(u32::MAX >> 1));
        for unit in 1..=OTHERS {
            kernel.handle.work(Work::Ensure {
                unit: carp(unit),
                parent: if unit == OTHERS { nowhere } else { parent },
                mac: mac(unit),
            });
        }
        kernel.handle.renew(vec![(carp(0), 300)]);
        kernel
            .handle
            .confirm(Some(carp(0)), Awaited::News(carp(0), 1));
        loop {
            match kernel.news().await {
                News::Confirmed(_) => break,
                News::Refused { unit, error, .. } => panic!("first {unit}: {error}"),
                News::Found(_)
                | News::Link(_)
                | News::LinkGone(_)
                | News::HelperDevices { .. }
                | News::ProbeSent(..)
                | News::Gateways(_)
                | News::Granted { .. }
                | News::Taken { .. }
                | News::Ready => {}
            }
        }
        let shown = run("ip -o address show dev carp0");
        let renewed = (280..=300).any(|left| shown.contains(&format!("valid_lft {left}sec")));
        assert!(renewed, "{shown}");
        // The end does not wait either: devices that would be removed at once are not made.
        kernel.finish().await;
        assert!(!succeeds("ip link show dev carp0") && !succeeds("ip link show dev carp1"));
    });
}
