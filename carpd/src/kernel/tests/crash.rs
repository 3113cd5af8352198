//! Removal of what a killed instance has left in the kernel.

use carp_proto::{Place, Work};
use tokio::sync::mpsc::unbounded_channel;

use super::super::attached::Attached;
use super::super::holdings::Holdings;
use super::super::netlink::Netlink;
use super::super::queue::Job;
use super::super::worker::Worker;
use super::lab::{on_a_cable, run, succeeds};
use super::{Kernel, RunDir, addresses_of, carp, eth0, mac, virtual_addresses};
use crate::clock::Clock;
use crate::net::Sender;

#[test]
fn next_instance_removes_everything_of_the_killed_one() {
    on_a_cable(async |_lab| {
        let run_dir = RunDir::new();
        work_and_be_killed(&run_dir).await;
        assert!(succeeds("ip link show dev carp0") && succeeds("ip link show dev carp1"));
        assert!(addresses_of("eth0").join("\n").contains("192.0.2.3/32"));
        run("ip link add macvlan0 link eth0 type macvlan mode bridge");

        let kernel = Kernel::start_in(run_dir).await;
        assert!(!succeeds("ip link show dev carp0") && !succeeds("ip link show dev carp1"));
        assert!(succeeds("ip link show dev macvlan0"));
        let addresses = addresses_of("eth0").join("\n");
        assert!(!addresses.contains("192.0.2.3/32") && addresses.contains("192.0.2.2/24"));
        assert_eq!(super::lab::get("ipv4/conf/eth0/arp_ignore"), 0);
        let names: Vec<&str> = kernel.links.iter().map(|link| link.name.as_str()).collect();
        assert!(
            names.contains(&"eth0") && !names.contains(&"carp0"),
            "{names:?}"
        );
    });
}

#[test]
fn foreign_device_in_our_link_group_is_left_alone() {
    on_a_cable(async |_lab| {
        let run_dir = RunDir::new();
        work_and_be_killed(&run_dir).await;
        run("ip link add stranger group 1667330672 type veth peer name other");
        let kernel = Kernel::start_in(run_dir).await;
        assert!(succeeds("ip link show dev stranger"));
        assert!(!succeeds("ip link show dev carp0") && !succeeds("ip link show dev carp1"));
        kernel.finish().await;
        assert!(succeeds("ip link show dev stranger"));
    });
}

/// Makes two devices, one of them of a MASTER, and an address on the physical interface, and leaves them.
pub(super) async fn work_and_be_killed(run_dir: &RunDir) {
    let netlink = Netlink::connect().unwrap();
    let attached = Attached::load(&run_dir.0.join("sysctls"), &netlink);
    let (news, _) = unbounded_channel();
    let holdings = Holdings::new(netlink, Sender::open().unwrap(), news, attached);
    let mut worker = Worker::start(holdings, false);
    worker.perform(Job::Attach(eth0()));
    let take = |unit, place, addresses: &[&str]| {
        let addresses = virtual_addresses(addresses);
        let take = Work::Take {
            unit: carp(unit),
            place,
            addresses,
            lease: 60,
            number: 0,
        };
        Job::Work(take, Clock.now().instant)
    };
    for unit in [0, 1] {
        let ensure = Work::Ensure {
            unit: carp(unit),
            parent: eth0(),
            mac: mac(unit),
        };
        worker.perform(Job::Work(ensure, Clock.now().instant));
    }
    worker.perform(take(0, Place::Device, &["192.0.2.1/24", "2001:db8::1/64"]));
    worker.perform(take(2, Place::Parent(eth0()), &["192.0.2.3/24"]));
}
