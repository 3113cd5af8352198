//! `lladdr parent`: virtual addresses on the physical interface itself.

use std::time::Duration;

use carp_proto::{Place, Work};

use super::lab::{eventually, on_a_cable, run};
use super::{Kernel, addresses_of, carp, eth0};

#[test]
fn addresses_are_leased_on_the_parent_and_taken_away() {
    on_a_cable(async |lab| {
        let mut kernel = Kernel::start().await;
        kernel.handle.attach(eth0());
        kernel.take(
            0,
            Place::Parent(eth0()),
            &["192.0.2.1/24", "2001:db8::1/64"],
            30,
        );
        assert_eq!(kernel.settle().await, Vec::<String>::new());
        let addresses = addresses_of("eth0").join("\n");
        assert!(addresses.contains("192.0.2.1/32") && addresses.contains("2001:db8::1/64"));
        assert!(addresses.contains("valid_lft 30sec") || addresses.contains("valid_lft 29sec"));
        assert_eq!(lab.who_has("192.0.2.1"), lab.who_has("192.0.2.2"));
        assert!(lab.peer_succeeds("ping -c 1 -W 2 2001:db8::1"));

        kernel.leave(0);
        kernel.settle().await;
        let addresses = addresses_of("eth0").join("\n");
        assert!(!addresses.contains("192.0.2.1/32") && !addresses.contains("2001:db8::1/64"));
        assert!(addresses.contains("192.0.2.2/24") && addresses.contains("2001:db8::2/64"));
    });
}

#[test]
fn own_address_of_the_parent_is_not_leased() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        kernel.take(
            0,
            Place::Parent(eth0()),
            &["192.0.2.2/24", "192.0.2.1/24"],
            2,
        );
        kernel.handle.work(Work::Renew {
            unit: carp(0),
            lease: 2,
        });
        kernel.settle().await;
        let gone = eventually("the lease has run out", || {
            !addresses_of("eth0").join("\n").contains("192.0.2.1/32")
        });
        assert!(gone < Duration::from_millis(3500), "{gone:?}");
        kernel.leave(0);
        kernel.settle().await;
        let own = run("ip -o address show dev eth0 to 192.0.2.2");
        assert!(own.contains("valid_lft forever"), "{own}");
    });
}

#[test]
fn addresses_move_when_their_place_changes() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        kernel.take(0, Place::Device, &["192.0.2.1/24", "2001:db8::1/64"], 30);
        kernel.take(
            0,
            Place::Parent(eth0()),
            &["192.0.2.1/24", "2001:db8::1/64"],
            30,
        );
        assert_eq!(kernel.settle().await, Vec::<String>::new());
        assert_eq!(addresses_of("carp0"), Vec::<String>::new());
        assert!(addresses_of("eth0").join("\n").contains("192.0.2.1/32"));

        kernel.take(0, Place::Device, &["192.0.2.1/24", "2001:db8::1/64"], 30);
        assert_eq!(kernel.settle().await, Vec::<String>::new());
        assert_eq!(addresses_of("carp0").len(), 2);
        assert!(!addresses_of("eth0").join("\n").contains("192.0.2.1/32"));
    });
}
