//! Carp devices among those of other programs, and changes by other programs.

use carp_proto::{IfIndex, Mac, Place, Work};

use super::lab::{eventually, index_of, on_a_cable, run, succeeds};
use super::{Kernel, addresses_of, carp, mac};

#[test]
fn foreign_interface_with_that_name_is_left_alone() {
    on_a_cable(async |_lab| {
        run("ip link add carp0 type veth peer name other");
        let before = run("ip -o link show dev carp0");
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        kernel.take(0, Place::Device, &["192.0.2.1/24"], 30);
        assert_eq!(
            kernel.settle().await,
            ["carp0: there is an interface carp0 that carpd has not made"]
        );
        kernel.handle.work(Work::Remove { unit: carp(0) });
        kernel.finish().await;
        assert_eq!(run("ip -o link show dev carp0"), before);
    });
}

#[test]
fn new_mac_or_physical_interface_makes_a_new_device() {
    on_a_cable(async |_lab| {
        run("ip link add eth1 type veth peer name other && ip link set eth1 up");
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        kernel.settle().await;
        let first = index_of("carp0");
        kernel.ensure(0);
        kernel.settle().await;
        assert_eq!(index_of("carp0"), first, "the same is kept");

        let other = Mac([0x00, 0x00, 0x5e, 0x00, 0x01, 0x63]);
        kernel.handle.work(Work::Ensure {
            unit: carp(0),
            parent: super::eth0(),
            mac: other,
        });
        kernel.settle().await;
        assert!(run("ip -o link show dev carp0").contains("carp0@eth0"));
        assert!(run("ip -o link show dev carp0").contains("00:00:5e:00:01:63"));

        let eth1 = index_of("eth1");
        kernel.handle.work(Work::Ensure {
            unit: carp(0),
            parent: eth1,
            mac: other,
        });
        kernel.settle().await;
        assert!(run("ip -o link show dev carp0").contains("carp0@eth1"));
    });
}

#[test]
fn removed_device_is_made_anew_with_its_addresses() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        kernel.take(0, Place::Device, &["192.0.2.1/24", "2001:db8::1/64"], 30);
        kernel.settle().await;
        run("ip link delete carp0");
        eventually("it is back", || succeeds("ip link show dev carp0"));
        assert_eq!(kernel.settle().await, Vec::<String>::new());
        assert_eq!(addresses_of("carp0").len(), 2);
        assert!(run("ip -d link show dev carp0").contains("mode bridge"));
    });
}

#[test]
fn removed_addresses_are_put_back() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        kernel.take(0, Place::Device, &["192.0.2.1/24", "2001:db8::1/64"], 30);
        kernel.settle().await;
        run("ip address flush dev carp0");
        eventually("they are back", || addresses_of("carp0").len() == 2);
    });
}

#[test]
fn removal_of_a_device_is_cancelled_by_new_work() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        kernel.settle().await;
        kernel.handle.work(Work::Remove { unit: carp(0) });
        eventually("carp0 is gone", || !succeeds("ip link show dev carp0"));
        kernel.handle.work(Work::Remove { unit: carp(0) });

        kernel.ensure(0);
        kernel.take(0, Place::Device, &["192.0.2.1/24"], 30);
        kernel.handle.work(Work::Leave { unit: carp(0) });
        kernel.handle.work(Work::Remove { unit: carp(0) });
        kernel.ensure(0);
        kernel.settle().await;
        kernel.settle().await;
        assert!(succeeds("ip link show dev carp0"));
        assert_eq!(addresses_of("carp0"), Vec::<String>::new());
    });
}

#[test]
fn clean_stop_leaves_nothing_behind() {
    on_a_cable(async |_lab| {
        let links = || run("ip -o link show | cut -d: -f2");
        let before = (links(), run("ip -o address show dev eth0 scope global"));
        let kernel = Kernel::start().await;
        for unit in 0..20 {
            kernel.ensure(unit);
            kernel.take(
                unit,
                Place::Device,
                &[&format!("192.0.2.{}/24", 100 + unit)],
                30,
            );
        }
        kernel.take(50, Place::Parent(super::eth0()), &["192.0.2.1/24"], 30);
        kernel.finish().await;
        assert_eq!(
            (links(), run("ip -o address show dev eth0 scope global")),
            before
        );
    });
}

#[test]
fn refusal_is_reported_once_for_each_take() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        kernel.handle.work(Work::Ensure {
            unit: carp(0),
            parent: IfIndex(4711),
            mac: mac(0),
        });
        assert_eq!(kernel.settle().await, ["carp0: interface 4711 is gone"]);

        kernel.ensure(0);
        for _ in 0..2 {
            kernel.take(0, Place::Device, &["ff02::77/64", "192.0.2.1/24"], 30);
            kernel.handle.work(Work::Renew {
                unit: carp(0),
                lease: 30,
            });
            let refused = kernel.settle().await;
            assert_eq!(refused.len(), 1, "{refused:?}");
            assert!(refused[0].starts_with("carp0 ff02::77: "), "{refused:?}");
        }
        assert_eq!(addresses_of("carp0").len(), 1);
    });
}

#[test]
fn device_is_gone_with_its_physical_interface() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        kernel.take(0, Place::Device, &["192.0.2.1/24", "2001:db8::1/64"], 30);
        kernel.handle.attach(super::eth0());
        kernel.settle().await;
        let parent = super::eth0();
        run("ip link delete eth0 && ip link add eth0 type veth peer name other");
        kernel.handle.work(Work::Renew {
            unit: carp(0),
            lease: 30,
        });
        let refused = kernel.settle().await;
        assert_eq!(refused, [format!("carp0: interface {parent} is gone")]);
        kernel.leave(0);
        kernel.handle.work(Work::Down { unit: carp(0) });
        kernel.handle.detach(parent);
        assert_eq!(kernel.settle().await, Vec::<String>::new());

        kernel.ensure(0);
        kernel.take(0, Place::Device, &["192.0.2.1/24"], 30);
        assert_eq!(kernel.settle().await, Vec::<String>::new());
        assert_eq!(addresses_of("carp0").len(), 1);
    });
}
