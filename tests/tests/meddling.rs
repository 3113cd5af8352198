//! Other programs change what carpd has made: carpd restores it at once and logs the change.

use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carp_tests::{
    Carpd, Host, Lab, MARGIN, REACTION_TIMEOUT, master_down, ping, program, wait_until,
};

const ADDRESSES: &str = "192.168.1.1/24 192.168.1.5/24 inet6 2001:db8:1::1/64";

/// Returns everything of carp0 that others can change, and the sysctls of eth0 that carpd needs.
fn configuration(host: &Host) -> Result<String> {
    let addresses = host.run("ip -o address show dev carp0")?;
    let addresses: Vec<&str> = addresses
        .lines()
        .filter_map(|line| line.split_whitespace().nth(3))
        .collect();
    let link = host.run("ip -d -o link show dev carp0")?;
    let words = [
        "macvlan mode ",
        "link/ether ",
        "<",
        "mtu ",
        "master ",
        "protodown ",
    ];
    let link: Vec<&str> = words
        .iter()
        .filter_map(|word| link.split(*word).nth(1)?.split_whitespace().next())
        .collect();
    let sysctls = host.run(
        "sysctl net.ipv4.conf.carp0.rp_filter net.ipv4.conf.carp0.arp_ignore \
         net.ipv4.conf.carp0.arp_announce net.ipv6.conf.carp0.disable_ipv6 \
         net.ipv6.conf.carp0.accept_ra net.ipv6.conf.carp0.addr_gen_mode \
         net.ipv4.conf.eth0.arp_ignore net.ipv4.conf.eth0.arp_announce",
    )?;
    Ok(format!("{addresses:?}\n{link:?}\n{sysctls}"))
}

/// Makes a MASTER that renews nothing for 20 seconds, so that a renewal repairs nothing.
fn slow_master(lab: &Lab) -> Result<Carpd> {
    let host = lab.host("a", &[("lan", "192.168.1.2/24 2001:db8:1::2/64")])?;
    let carpd = Carpd::start(&host)?;
    carpd.carpctl("carp0 create")?;
    carpd.carpctl(&format!("carp0 vhid 1 advbase 20 {ADDRESSES}"))?;
    carpd.carpctl("carp0 state master")?;
    wait_until("it has its addresses", MARGIN, || {
        let all = host.addresses()?.matches(" carp0 ").count();
        Ok((all >= 3).then_some(()))
    })?;
    // The advertisement from which switches learn the port is the last frame for a while.
    carpd.wait_for_counter("carp0", "opackets", 0)?;
    Ok(carpd)
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one change after the other at one host"
)]
fn changes_to_a_masters_device_are_reverted_and_logged() -> Result<()> {
    let lab = Lab::new()?;
    let mut carpd = slow_master(&lab)?;
    let host = carpd.host().clone();
    host.run("ip link add br0 type bridge")?;
    let well = configuration(&host)?;
    ensure!(
        well.contains("192.168.1.5/24") && well.contains("bridge"),
        "{well}"
    );
    let before = carpd.footprint()?;
    let deeds = [
        (
            "ip address delete 192.168.1.5/24 dev carp0",
            "carp0: another program has removed 192.168.1.5: put back, but not others' routes by way of it",
        ),
        (
            "ip link set carp0 down",
            "carp0: another program has taken the device down: up again",
        ),
        (
            "ip link set carp0 type macvlan mode private",
            "carp0: another program has changed the device's mode: set back",
        ),
        (
            "ip link set carp0 address 02:00:00:00:00:99",
            "carp0: another program has changed the device's MAC: set back",
        ),
        (
            "ip link set carp0 name other0",
            "carp0: another program has renamed the device to other0: set back",
        ),
        (
            "ip link set carp0 arp off",
            "carp0: another program has turned the device's ARP off: on again",
        ),
        (
            "ip link set carp0 multicast off",
            "carp0: another program has turned the device's multicast off: on again",
        ),
        (
            "ip link set carp0 protodown on",
            "carp0: another program has set the device's protodown: ended",
        ),
        (
            "ip link set carp0 master br0",
            "carp0: another program has made the device another's port: taken out",
        ),
        (
            "sysctl -qw net.ipv4.conf.all.arp_filter=1",
            "net.ipv4.conf.all.arp_filter is 1: carp devices may not answer ARP requests",
        ),
        (
            "ip link delete carp0",
            "carp0: another program has deleted the device: made anew",
        ),
        (
            "sysctl -qw net.ipv4.conf.eth0.arp_ignore=0",
            "eth0: another program has set net.ipv4.conf.eth0.arp_ignore to 0: set back to 1",
        ),
        (
            "sysctl -qw net.ipv4.conf.eth0.arp_announce=0",
            "eth0: another program has set net.ipv4.conf.eth0.arp_announce to 0: set back to 2",
        ),
        (
            "sysctl -qw net.ipv4.conf.carp0.rp_filter=1",
            "carp0: another program has changed net.ipv4.conf.carp0.rp_filter: set back to 2",
        ),
        (
            "sysctl -qw net.ipv6.conf.carp0.disable_ipv6=1",
            "carp0: another program has changed net.ipv6.conf.carp0.disable_ipv6: set back to 0",
        ),
        (
            "sysctl -qw net.ipv6.conf.carp0.accept_ra=2",
            "carp0: another program has changed net.ipv6.conf.carp0.accept_ra: set back to 0",
        ),
    ];
    for (deed, line) in deeds {
        ensure!(!carpd.log()?.contains(line), "{line} before {deed}");
        let start = Instant::now();
        host.run(deed)?;
        wait_until(
            &format!("{deed} is mended"),
            REACTION_TIMEOUT + MARGIN,
            || {
                let now = configuration(&host)?;
                ensure!(now == well, "{now}\ninstead of\n{well}");
                Ok(Some(()))
            },
        )?;
        println!("{deed}: mended after {:.0?}", start.elapsed());
        carpd.wait_for_log(line)?;
    }
    // All at once. The line about single addresses came a moment ago, so it is held back.
    host.run("ip address flush dev carp0")?;
    wait_until("all addresses are back", REACTION_TIMEOUT + MARGIN, || {
        Ok((configuration(&host)? == well).then_some(()))
    })?;
    carpd.has_not_grown(before)?;
    assert_eq!(carpd.state("carp0")?, "MASTER");
    let transitions = carpd.counter("carp0", "ostates")?;
    assert_eq!(transitions, 2, "INIT -> BACKUP -> MASTER, and no more");
    ensure!(carpd.stop()?.success());
    let after = host.run("sysctl -n net.ipv4.conf.eth0.arp_ignore")?;
    assert_eq!(after, "0\n", "what was there before carpd");
    Ok(())
}

#[test]
fn deleted_device_of_a_backup_is_replaced_and_stays_silent() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("b", &[("lan", "192.168.1.3/24 2001:db8:1::3/64")])?;
    let carpd = Carpd::start(&host)?;
    carpd.carpctl("carp0 create")?;
    carpd.carpctl(&format!("carp0 vhid 1 advbase 20 {ADDRESSES}"))?;
    wait_until("the device is there", MARGIN, || {
        configuration(&host).map(Some)
    })?;
    let well = configuration(&host)?;
    ensure!(
        well.contains("source") && !well.contains("192.168.1.1"),
        "{well}"
    );
    for deed in [
        "ip link delete carp0",
        "ip link set carp0 type macvlan mode bridge",
        "sysctl -qw net.ipv6.conf.carp0.disable_ipv6=0",
    ] {
        host.run(deed)?;
        wait_until(
            &format!("{deed} is mended"),
            REACTION_TIMEOUT + MARGIN,
            || {
                let now = configuration(&host)?;
                ensure!(now == well, "{now}\ninstead of\n{well}");
                Ok(Some(()))
            },
        )?;
    }
    carpd.wait_for_log("carp0: another program has deleted the device: made anew")?;
    carpd.wait_for_state("carp0", "BACKUP", Duration::ZERO)
}

#[test]
fn address_on_the_physical_interface_is_restored_too() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let carpd = Carpd::start(&host)?;
    carpd.carpctl("carp0 create")?;
    carpd.carpctl("carp0 vhid 1 advbase 20 lladdr parent 192.168.1.1/24")?;
    carpd.carpctl("carp0 state master")?;
    let has_it = || Ok(host.addresses()?.contains("192.168.1.1/32").then_some(()));
    wait_until("eth0 has the address", MARGIN, has_it)?;
    host.run("ip address delete 192.168.1.1/32 dev eth0")?;
    wait_until("it is back", MARGIN, has_it)?;
    carpd.wait_for_log("carp0: another program has removed 192.168.1.1: put back")
}

#[test]
fn repeated_meddling_is_logged_with_the_number_held_back() -> Result<()> {
    let lab = Lab::new()?;
    let carpd = slow_master(&lab)?;
    let host = carpd.host().clone();
    let has_it = || Ok(host.addresses()?.contains("192.168.1.5/24").then_some(()));
    // One line in ten seconds, however often the address is removed.
    let mut deeds = 0;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(10_500) {
        host.run("ip address delete 192.168.1.5/24 dev carp0")?;
        wait_until("it is back", MARGIN, has_it)?;
        deeds += 1;
    }
    carpd.wait_for_log("times more since it was last said)")?;
    let log = carpd.log()?;
    let lines = log
        .matches("another program has removed 192.168.1.5")
        .count();
    println!("removed {deeds} times, said {lines} times");
    ensure!(deeds > 4 && lines == 2, "{deeds} times:\n{log}");
    Ok(())
}

#[test]
fn return_of_a_killed_carpd_blames_no_other_program() -> Result<()> {
    // carpd checks sysctls every two seconds.
    const TWO_ROUNDS: Duration = Duration::from_secs(5);
    let lease_is_over = Duration::from_secs(4);
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24 2001:db8:1::2/64")])?;
    let mut carpd = Carpd::start(&host)?;
    carpd.carpctl(&format!("carp0 create vhid 1 {ADDRESSES}"))?;
    for pause in [Duration::ZERO, lease_is_over] {
        carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
        carpd.kill()?;
        thread::sleep(pause);
        carpd.restart()?;
        carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
        thread::sleep(TWO_ROUNDS);
        let log = carpd.log()?;
        ensure!(!log.contains("another program has"), "{log}");
    }
    Ok(())
}

#[test]
fn read_only_sysctls_are_set_by_netlink_without_blame() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24 2001:db8:1::2/64")])?;
    let peer = lab.host("peer", &[("lan", "192.168.1.9/24")])?;
    host.run("sysctl -qw net.ipv6.conf.default.forwarding=1")?;
    let mut carpd = Carpd::start(&host)?;
    let script = host.file("container", "sh");
    std::fs::write(
        &script,
        format!(
            "#!/bin/sh\nmount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && \
             exec {} \"$@\"\n",
            program("carpd")?.display()
        ),
    )?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    ensure!(carpd.stop()?.success());
    carpd.replace(script, "--log-level=info");
    carpd.restart()?;
    carpd.carpctl("carp0 create")?;
    carpd.carpctl(&format!("carp0 vhid 1 advbase 1 advskew 200 {ADDRESSES}"))?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 200))?;
    let sysctls = "sysctl -n net.ipv4.conf.eth0.arp_ignore net.ipv4.conf.eth0.arp_announce \
                   net.ipv4.conf.carp0.rp_filter net.ipv4.conf.carp0.medium_id";
    wait_until("they are set by netlink", MARGIN, || {
        Ok((host.run(sysctls)? == "1\n2\n2\n-1\n").then_some(()))
    })?;
    ping(&peer, "192.168.1.1", 30)?;
    let log = carpd.log()?;
    ensure!(!log.contains("another program has"), "{log}");
    assert_eq!(log.matches("accept_ra").count(), 1, "{log}");
    Ok(())
}
