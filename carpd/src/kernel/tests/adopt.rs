//! Adoption of what the previous instance left in the kernel.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use carp_proto::{LeasedOn, Place, Work};

use super::crash::work_and_be_killed;
use super::lab::{eventually, get, index_of, on_a_cable, run, succeeds};
use super::{Kernel, RunDir, addresses_of, carp, eth0, mac};

const ALL: [&str; 2] = ["192.0.2.1/24", "2001:db8::1/64"];

/// Recorder of the changes of addresses and links that the kernel reports.
struct Monitor(Child);

impl Monitor {
    fn start() -> Self {
        let child = Command::new("ip")
            .args(["-o", "monitor", "address", "link"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let monitor = Self(child);
        // It records once it has its socket.
        let sockets = format!("/proc/{}/fd", monitor.0.id());
        eventually("ip monitor listens", || {
            let targets = std::fs::read_dir(&sockets).unwrap();
            let mut targets =
                targets.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
            targets.any(|target| target.to_string_lossy().starts_with("socket:"))
        });
        monitor
    }

    fn stop(mut self) -> String {
        self.0.kill().unwrap();
        let output = self.0.wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn master_keeps_its_addresses_without_a_gap() {
    on_a_cable(async |lab| {
        let run_dir = RunDir::new();
        work_and_be_killed(&run_dir).await;
        let before = [addresses_of("carp0").len(), addresses_of("eth0").len()];
        let monitor = Monitor::start();
        let mut kernel = Kernel::adopt_in(run_dir).await;
        let on: Vec<LeasedOn> = kernel.leases.iter().map(|lease| lease.on).collect();
        let device = LeasedOn::Device {
            unit: carp(0),
            parent: eth0(),
            mac: mac(0),
        };
        assert_eq!(on, [device, device, LeasedOn::Parent(eth0())]);

        kernel.handle.attach(eth0());
        kernel.take(0, Place::Device, &ALL, 30);
        kernel.take(2, Place::Parent(eth0()), &["192.0.2.3/24"], 30);
        kernel.handle.sweep();
        assert_eq!(kernel.settle().await, Vec::<String>::new());
        assert!(lab.peer_succeeds("ping -c 1 -W 2 192.0.2.1"));
        // No work asked for carp1, whose device is removed when there is no other work.
        eventually("carp1 is gone", || !succeeds("ip link show dev carp1"));
        let told = monitor.stop();
        let gone: Vec<&str> = told
            .lines()
            .filter(|line| line.starts_with("Deleted") && !line.contains("carp1"))
            .collect();
        assert!(gone.is_empty(), "{gone:#?}");
        assert_eq!(
            [addresses_of("carp0").len(), addresses_of("eth0").len()],
            before
        );
        assert_eq!(get("ipv4/conf/eth0/arp_ignore"), 1);
        let addresses = addresses_of("carp0").join("\n");
        assert!(addresses.contains("valid_lft 30sec") || addresses.contains("valid_lft 29sec"));

        kernel.finish().await;
        assert!(!succeeds("ip link show dev carp0"));
        assert_eq!(get("ipv4/conf/eth0/arp_ignore"), 0);
        assert!(!addresses_of("eth0").join("\n").contains("192.0.2.3/32"));
    });
}

#[test]
fn sysctls_that_an_older_version_did_not_set_are_set() {
    on_a_cable(async |_lab| {
        let run_dir = RunDir::new();
        work_and_be_killed(&run_dir).await;
        let device = "/proc/sys/net/ipv4/conf/carp0";
        run(&format!(
            "echo 0 >{device}/medium_id; echo 1 >{device}/arp_filter"
        ));
        let mut kernel = Kernel::adopt_in(run_dir).await;
        kernel.take(0, Place::Device, &ALL, 30);
        assert_eq!(kernel.settle().await, Vec::<String>::new());
        // The first inspection comes later.
        assert_eq!(run(&format!("cat {device}/medium_id")), "-1\n");
        assert_eq!(get("ipv4/conf/carp0/arp_filter"), 0);
    });
}

#[test]
fn leftovers_without_work_are_removed() {
    on_a_cable(async |_lab| {
        let run_dir = RunDir::new();
        work_and_be_killed(&run_dir).await;
        run("ip link add macvlan0 link eth0 type macvlan mode bridge");
        let mut kernel = Kernel::adopt_in(run_dir).await;
        kernel.handle.sweep();
        kernel.settle().await;
        assert!(!succeeds("ip link show dev carp0") && !succeeds("ip link show dev carp1"));
        assert!(succeeds("ip link show dev macvlan0"));
        let addresses = addresses_of("eth0").join("\n");
        assert!(!addresses.contains("192.0.2.3/32") && addresses.contains("192.0.2.2/24"));
        assert_eq!(get("ipv4/conf/eth0/arp_ignore"), 0);
    });
}

#[test]
fn backup_keeps_its_device_and_loses_its_addresses() {
    on_a_cable(async |lab| {
        let run_dir = RunDir::new();
        work_and_be_killed(&run_dir).await;
        let index = index_of("carp0");
        let mut kernel = Kernel::adopt_in(run_dir).await;
        kernel.ensure(0);
        kernel.handle.sweep();
        kernel.settle().await;
        assert_eq!(index_of("carp0"), index);
        assert_eq!(addresses_of("carp0"), Vec::<String>::new());
        assert_eq!(lab.who_has("192.0.2.1"), Vec::<String>::new());
    });
}

#[test]
fn device_with_another_mac_is_replaced() {
    on_a_cable(async |_lab| {
        let run_dir = RunDir::new();
        work_and_be_killed(&run_dir).await;
        let mut kernel = Kernel::adopt_in(run_dir).await;
        kernel.handle.work(Work::Ensure {
            unit: carp(0),
            parent: eth0(),
            mac: mac(7),
        });
        // The addresses of carp1 move to the physical interface.
        kernel.take(1, Place::Parent(eth0()), &["192.0.2.5/24"], 30);
        kernel.handle.sweep();
        kernel.settle().await;
        assert!(run("ip -o link show dev carp0").contains("00:00:5e:00:01:08"));
        eventually("carp1 is gone", || !succeeds("ip link show dev carp1"));
        let addresses = addresses_of("eth0").join("\n");
        assert!(addresses.contains("192.0.2.5/32") && !addresses.contains("192.0.2.3/32"));
    });
}

#[test]
fn instance_that_died_on_the_way_to_master_is_no_master() {
    on_a_cable(async |lab| {
        let run_dir = RunDir::new();
        work_and_be_killed(&run_dir).await;
        // It died when it had added the addresses, and its device was still deaf.
        run("ip link set carp0 type macvlan mode source");
        let mut kernel = Kernel::adopt_in(run_dir).await;
        let on_device = |on| matches!(on, LeasedOn::Device { .. });
        assert!(!kernel.leases.iter().any(|lease| on_device(lease.on)));
        assert_eq!(addresses_of("carp0"), Vec::<String>::new());
        kernel.ensure(0);
        kernel.settle().await;
        assert_eq!(lab.who_has("192.0.2.1"), Vec::<String>::new());
        kernel.take(0, Place::Device, &ALL, 30);
        kernel.settle().await;
        assert_eq!(addresses_of("carp0").len(), 2);
    });
}

#[test]
fn kept_addresses_stay_as_long_as_their_lease() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        kernel.handle.attach(eth0());
        kernel.ensure(0);
        kernel.take(0, Place::Device, &ALL, 2);
        kernel.settle().await;
        let Kernel {
            handle, run_dir, ..
        } = kernel;
        assert!(handle.keep().await);
        assert_eq!(addresses_of("carp0").len(), 2);
        assert_eq!(get("ipv4/conf/eth0/arp_ignore"), 1);
        let gone = eventually("the lease has run out", || addresses_of("carp0").is_empty());
        assert!(gone < Duration::from_millis(3500), "{gone:?}");
        let kernel = Kernel::adopt_in(run_dir).await;
        assert!(kernel.leases.is_empty());
        kernel.finish().await;
    });
}

#[test]
fn addresses_that_all_moved_to_the_parent_are_renewed() {
    on_a_cable(async |_lab| {
        let run_dir = RunDir::new();
        work_and_be_killed(&run_dir).await;
        let mut kernel = Kernel::adopt_in(run_dir).await;
        for (unit, address) in [(0, "192.0.2.1/24"), (1, "192.0.2.5/24")] {
            kernel.take(unit, Place::Parent(eth0()), &[address], 30);
        }
        kernel.handle.sweep();
        kernel.handle.renew(vec![(carp(0), 300), (carp(1), 300)]);
        assert_eq!(kernel.settle().await, Vec::<String>::new());
        eventually("both devices are gone", || {
            !succeeds("ip link show dev carp0") && !succeeds("ip link show dev carp1")
        });
        for address in ["192.0.2.1", "192.0.2.5"] {
            let shown = run(&format!("ip -o address show dev eth0 to {address}"));
            let is_renewed = (280..=300).any(|left| shown.contains(&format!("_lft {left}sec")));
            assert!(is_renewed, "{shown}");
        }
    });
}
