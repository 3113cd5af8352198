//! Sysctls of physical interfaces: set while the interface is attached, put back afterwards.

use super::crash::work_and_be_killed;
use super::lab::{get, index_of, on_a_cable, run, set};
use super::{Kernel, RunDir, eth0};

fn arp_of(device: &str) -> (u8, u8) {
    (
        get(&format!("ipv4/conf/{device}/arp_ignore")),
        get(&format!("ipv4/conf/{device}/arp_announce")),
    )
}

fn tag_of(device: &str) -> i32 {
    let line = run(&format!("cat /proc/sys/net/ipv4/conf/{device}/tag"));
    line.trim().parse().unwrap()
}

#[test]
fn sysctls_are_set_while_attached_and_put_back_after_that() {
    on_a_cable(async |_lab| {
        run("ip link set eth0 down && ip link set eth0 name eth0.7 && ip link set eth0.7 up");
        set("ipv4/conf/eth0.7/arp_announce", 1);
        let mut kernel = Kernel::start().await;
        let device = index_of("eth0.7");
        kernel.handle.attach(device);
        kernel.handle.attach(device);
        kernel.handle.detach(device);
        kernel.handle.attach(device);
        kernel.settle().await;
        assert_eq!(arp_of("eth0.7"), (1, 2));
        assert_ne!(tag_of("eth0.7"), 0);

        run("ip link set eth0.7 down && ip link set eth0.7 name lan && ip link set lan up");
        kernel.handle.detach(device);
        kernel.settle().await;
        assert_eq!(arp_of("lan"), (0, 1), "under its new name too");
        assert_eq!(tag_of("lan"), 0);
    });
}

#[test]
fn stricter_and_later_values_of_an_administrator_stay() {
    on_a_cable(async |_lab| {
        set("ipv4/conf/eth0/arp_ignore", 2);
        let mut kernel = Kernel::start().await;
        kernel.handle.attach(eth0());
        kernel.settle().await;
        assert_eq!(arp_of("eth0"), (2, 2));
        set("ipv4/conf/eth0/arp_announce", 1);
        kernel.finish().await;
        assert_eq!(arp_of("eth0"), (2, 1));
    });
}

#[test]
fn clean_stop_puts_sysctls_back() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        kernel.handle.attach(eth0());
        kernel.settle().await;
        assert_eq!(arp_of("eth0"), (1, 2));
        kernel.finish().await;
        assert_eq!(arp_of("eth0"), (0, 0));
    });
}

#[test]
fn sysctls_are_put_back_after_a_crash_without_any_file() {
    on_a_cable(async |_lab| {
        set("ipv4/conf/eth0/arp_announce", 1);
        work_and_be_killed(&RunDir::new()).await;
        assert_eq!(arp_of("eth0"), (1, 2));
        let mut kernel = Kernel::start().await;
        assert_eq!(arp_of("eth0"), (0, 1));
        kernel.handle.attach(eth0());
        kernel.settle().await;
        assert_eq!(arp_of("eth0"), (1, 2));
        kernel.finish().await;
        assert_eq!((arp_of("eth0"), tag_of("eth0")), ((0, 1), 0));
    });
}

#[test]
fn tag_of_another_program_stays() {
    on_a_cable(async |_lab| {
        set("ipv4/conf/eth0/tag", 7);
        let mut kernel = Kernel::start().await;
        kernel.handle.attach(eth0());
        kernel.settle().await;
        assert_eq!((arp_of("eth0"), tag_of("eth0")), ((1, 2), 7));
        kernel.finish().await;
        assert_eq!((arp_of("eth0"), tag_of("eth0")), ((0, 0), 7));
    });
}

#[test]
fn file_of_an_older_version_is_read() {
    on_a_cable(async |_lab| {
        // A killed instance leaves it so.
        let run_dir = RunDir::new();
        let file = run_dir.0.join("sysctls");
        let index = eth0();
        std::fs::write(
            &file,
            format!("{index} arp_ignore 0 1\n{index} arp_announce 1 2\n"),
        )
        .unwrap();
        set("ipv4/conf/eth0/arp_ignore", 1);
        set("ipv4/conf/eth0/arp_announce", 2);
        let mut kernel = Kernel::start_in(run_dir).await;
        assert_eq!(arp_of("eth0"), (0, 1));
        kernel.handle.attach(index);
        kernel.settle().await;
        assert_eq!(arp_of("eth0"), (1, 2));
        kernel.finish().await;
        assert_eq!(arp_of("eth0"), (0, 1));
    });
}
