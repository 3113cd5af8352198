//! Frames that a carp device never sends, and addresses for which it answers.

use carp_proto::{Place, Work};

use super::lab::{Lab, eventually, on_a_cable, run, set, succeeds};
use super::{Kernel, addresses_of, carp, eth0};

const VIRTUAL_MAC: &str = "00:00:5e:00:01:01";

/// Returns the number of frames with the virtual MAC that reach the peer when another program looks for it.
fn frames_sent(lab: &Lab) -> usize {
    let capture = lab.capture(&format!("ether src {VIRTUAL_MAC}"));
    // arping(8) fails on a deaf device, which receives no reply.
    run("arping -D -c 2 -w 1 -I carp0 192.0.2.9 || true");
    capture.stop().len()
}

#[test]
fn device_of_a_backup_sends_nothing_for_any_program() {
    on_a_cable(async |lab| {
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        kernel.settle().await;
        assert_eq!(frames_sent(&lab), 0, "it was never MASTER");
        for _ in 0..2 {
            kernel.take(0, Place::Device, &["192.0.2.1/24"], 30);
            assert_eq!(kernel.settle().await, Vec::<String>::new());
            assert!(frames_sent(&lab) > 0, "a MASTER sends");
            kernel.leave(0);
            kernel.settle().await;
            assert_eq!(frames_sent(&lab), 0, "it has left");
        }
    });
}

#[test]
fn master_that_forwards_is_no_arp_proxy() {
    on_a_cable(async |lab| {
        set("ipv4/ip_forward", 1);
        set("ipv4/conf/all/proxy_arp", 1);
        set("ipv4/conf/default/proxy_arp_pvlan", 1);
        run("ip link add lan0 type veth peer name other0");
        run("ip link set lan0 up && ip link set other0 up");
        run("ip address add 198.51.100.1/24 dev lan0");
        let mut kernel = Kernel::start().await;
        kernel.handle.attach(eth0());
        kernel.ensure(0);
        kernel.take(0, Place::Device, &["192.0.2.1/24"], 30);
        kernel.settle().await;
        assert_eq!(lab.who_has("192.0.2.1"), [VIRTUAL_MAC]);
        let answers = lab.who_has("198.51.100.7");
        assert!(!answers.contains(&VIRTUAL_MAC.to_owned()), "{answers:?}");
        let answers = lab.who_has("192.0.2.77");
        assert!(!answers.contains(&VIRTUAL_MAC.to_owned()), "{answers:?}");
    });
}

#[test]
fn inherited_arp_filter_does_not_silence_a_device() {
    on_a_cable(async |lab| {
        set("ipv4/conf/default/arp_filter", 1);
        let mut kernel = Kernel::start().await;
        kernel.handle.attach(eth0());
        kernel.ensure(0);
        kernel.take(0, Place::Device, &["192.0.2.1/24"], 30);
        kernel.settle().await;
        assert_eq!(lab.who_has("192.0.2.1"), [VIRTUAL_MAC]);
    });
}

#[test]
fn addresses_moved_to_the_physical_interface_leave_no_device() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        let addresses = ["192.0.2.1/24", "2001:db8::1/64"];
        kernel.ensure(0);
        kernel.take(0, Place::Device, &addresses, 30);
        kernel.settle().await;
        kernel.handle.work(Work::Remove { unit: carp(0) });
        kernel.take(0, Place::Parent(eth0()), &addresses, 30);
        assert_eq!(kernel.settle().await, Vec::<String>::new());
        eventually("carp0 has gone", || !succeeds("ip link show dev carp0"));
        let there = addresses_of("eth0").join("\n");
        assert!(
            there.contains("192.0.2.1/32") && there.contains("2001:db8::1/64"),
            "{there}"
        );
    });
}
