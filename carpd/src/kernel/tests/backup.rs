//! Device of a BACKUP: deaf, mute and without addresses.

use std::time::{Duration, Instant};

use carp_proto::{Place, Work};

use super::lab::{eventually, on_a_cable, run, set};
use super::{Kernel, addresses_of, carp, eth0};

const ALL: [&str; 3] = ["192.0.2.1/24", "192.0.2.7/32", "2001:db8::1/64"];

#[test]
fn backup_answers_nothing_before_and_after_it_was_master() {
    on_a_cable(async |lab| {
        let mut kernel = Kernel::start().await;
        kernel.handle.attach(eth0());
        kernel.ensure(0);
        for round in ["before", "after"] {
            kernel.settle().await;
            assert_eq!(addresses_of("carp0"), Vec::<String>::new(), "{round}");
            assert_eq!(lab.who_has("192.0.2.1"), Vec::<String>::new(), "{round}");
            lab.on_peer("ip neighbour replace 192.0.2.1 lladdr 00:00:5e:00:01:01 dev eth0");
            assert!(!lab.peer_succeeds("ping -c 1 -W 1 192.0.2.1"), "{round}");
            // It does not answer for an own address of the host either.
            lab.on_peer("ip neighbour replace 192.0.2.2 lladdr 00:00:5e:00:01:01 dev eth0");
            assert!(!lab.peer_succeeds("ping -c 1 -W 1 192.0.2.2"), "{round}");
            lab.on_peer("ip neighbour flush dev eth0");

            kernel.take(0, Place::Device, &ALL, 30);
            kernel.leave(0);
        }
    });
}

#[test]
fn backup_forwards_no_flooded_packet() {
    on_a_cable(async |lab| {
        set("ipv4/ip_forward", 1);
        run("ip link add far0 type veth peer name far1");
        run(
            "ip address add 198.51.100.1/24 dev far0 && ip link set far0 up && ip link set far1 up",
        );
        run("ip neighbour add 198.51.100.9 lladdr 02:00:00:00:00:09 dev far0");
        lab.on_peer("ip neighbour add 192.0.2.1 lladdr 00:00:5e:00:01:01 dev eth0");
        lab.on_peer("ip route add 198.51.100.0/24 via 192.0.2.1");
        let forwarded = || {
            let before = forwarded_datagrams();
            lab.peer_succeeds("ping -c 1 -W 1 198.51.100.9");
            forwarded_datagrams() - before
        };
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        kernel.settle().await;
        assert_eq!(forwarded(), 0, "as BACKUP");
        kernel.take(0, Place::Device, &ALL, 30);
        kernel.settle().await;
        assert_eq!(forwarded(), 1, "as MASTER");
        kernel.leave(0);
        kernel.settle().await;
        assert_eq!(forwarded(), 0, "as BACKUP again");
    });
}

#[test]
fn backup_sends_nothing_with_the_virtual_mac() {
    on_a_cable(async |lab| {
        // A router joins further groups.
        set("ipv6/conf/all/forwarding", 1);
        set("ipv4/ip_forward", 1);
        let mut kernel = Kernel::start().await;
        let capture = lab.capture("ether src 00:00:5e:00:01:01");
        kernel.ensure(0);
        kernel.settle().await;
        // Longer than the kernel delays a report, twice.
        std::thread::sleep(Duration::from_millis(2500));
        assert_eq!(capture.stop(), Vec::<String>::new(), "a new one");

        let capture = lab.capture("ether src 00:00:5e:00:01:01");
        kernel.take(0, Place::Device, &ALL, 30);
        kernel.settle().await;
        std::thread::sleep(Duration::from_millis(1500));
        assert_ne!(
            capture.stop(),
            Vec::<String>::new(),
            "a MASTER reports its groups"
        );

        kernel.leave(0);
        kernel.settle().await;
        let capture = lab.capture("ether src 00:00:5e:00:01:01");
        std::thread::sleep(Duration::from_millis(1500));
        // When the carrier comes back, the kernel reports groups again.
        lab.on_peer("ip link set eth0 down");
        lab.on_peer("ip link set eth0 up");
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(capture.stop(), Vec::<String>::new(), "one that was MASTER");
    });
}

#[test]
fn master_leaves_without_setting_its_device_down() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        let mut times = Vec::new();
        for _ in 0..20 {
            kernel.take(0, Place::Device, &ALL, 30);
            kernel.settle().await;
            let start = Instant::now();
            kernel.leave(0);
            kernel.settle().await;
            times.push(start.elapsed());
        }
        times.sort();
        // Setting a device down takes 7 to 28 ms each time, and as much again to set it up.
        assert!(times[0] < Duration::from_millis(7), "{times:?}");
    });
}

#[test]
fn setting_a_device_down_waits_and_is_cancelled_by_new_work() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        kernel.settle().await;
        let asked = std::time::Instant::now();
        kernel.handle.work(Work::Down { unit: carp(0) });
        eventually("carp0 is down", || !is_up("carp0"));
        let rest = asked.elapsed();
        assert!(rest >= Duration::from_secs(1), "went down after {rest:?}");

        kernel.ensure(0);
        kernel.settle().await;
        assert!(is_up("carp0"), "a BACKUP's device is up");

        kernel.handle.work(Work::Down { unit: carp(0) });
        kernel.take(0, Place::Device, &ALL, 30);
        kernel.settle().await;
        eventually("carp0 is up", || is_up("carp0"));
        assert_eq!(addresses_of("carp0").len(), 3);
    });
}

fn is_up(device: &str) -> bool {
    run(&format!("ip -o link show dev {device}")).contains(",UP")
}

fn forwarded_datagrams() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let mut rows = text.lines().filter(|line| line.starts_with("Ip:"));
    let names = rows.next().unwrap().split_ascii_whitespace();
    let mut values = rows.next().unwrap().split_ascii_whitespace();
    let place = names
        .into_iter()
        .position(|name| name == "ForwDatagrams")
        .unwrap();
    values.nth(place).unwrap().parse().unwrap()
}
