//! Sysctls of physical interfaces: set while attached, put back afterwards.

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
fn they_are_set_while_attached_and_put_back_when_detached() {
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
fn what_is_strict_enough_is_not_touched_and_what_somebody_changed_stays() {
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
fn a_clean_stop_puts_them_back() {
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
fn they_are_put_back_after_a_crash_whatever_became_of_the_run_directory() {
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
fn somebody_elses_tag_stays() {
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
fn a_file_of_an_older_version_is_heeded() {
    on_a_cable(async |_lab| {
        // As a carpd that was killed leaves it.
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
