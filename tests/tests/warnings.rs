//! Warnings: printed by the command, logged by carpd, and shown by carpctl.

use anyhow::{Result, ensure};
use carp_tests::{Carpd, Lab, MARGIN, REACTION_TIMEOUT, master_down, wait_until};

/// Asserts that the command warns of `warning`, the log has it, and `carpctl carp0` shows it.
fn is_warned(carpd: &Carpd, line: &str, warning: &str) -> Result<()> {
    let warned = carpd.carpctl_warns(line)?;
    ensure!(
        warned.contains(&format!("carpctl: carp0: warning: {warning}\n")),
        "{warned}"
    );
    carpd.wait_for_log(&format!("WARN carp0: {warning}\n"))?;
    let shown = carpd.carpctl("carp0")?;
    ensure!(
        shown.contains(&format!("\twarning: {warning}\n")),
        "{shown}"
    );
    Ok(())
}

#[test]
fn probable_mistakes_are_printed_logged_and_shown() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24"), ("lan", "192.168.1.3/24")])?;
    host.run("ip route add default via 192.168.1.254")?;
    let mut carpd = Carpd::start(&host)?;
    is_warned(
        &carpd,
        "carp0 create vhid 1 192.168.1.1/24",
        "eth0 is used, and eth1 has an address in the subnet of 192.168.1.1 too: name one with \
         carpdev",
    )?;
    is_warned(
        &carpd,
        "carp0 carpdev eth0 192.168.1.2/24",
        "192.168.1.2 is also an address of eth0 itself, which never gives it away: while another \
         host is MASTER, both answer for it",
    )?;
    is_warned(
        &carpd,
        "carp0 192.168.1.254/24",
        "192.168.1.254 is the gateway of a default route of this host, which leads nowhere while \
         it is MASTER",
    )?;
    is_warned(
        &carpd,
        "carp0 10.9.9.9/32",
        "10.9.9.9/32 brings no route, and eth0 has no address in a subnet that holds it: hosts \
         there get no answers unless a route leads to them",
    )?;
    // carpd does not repeat a warning.
    carpd.carpctl("carp0 advskew 5")?;

    // A warning whose cause is gone is shown no more, and a new one is logged.
    host.run("ip route del default")?;
    carpd.carpctl("carp0 -alias 10.9.9.9 -alias 192.168.1.2")?;
    wait_until("no warning is left", REACTION_TIMEOUT, || {
        Ok((!carpd.carpctl("carp0")?.contains("warning:")).then_some(()))
    })?;
    let gateway = "WARN carp0: 192.168.1.254 is the gateway";
    let before = carpd.log()?.matches(gateway).count();
    host.run("ip route add default nexthop via 192.168.1.253 nexthop via 192.168.1.254")?;
    wait_until("the new gateway is named", MARGIN, || {
        Ok((carpd.log()?.matches(gateway).count() > before).then_some(()))
    })?;
    carpd.check_alive()
}

#[test]
fn link_local_address_alone_waits_for_a_carpdev() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", ""), ("dmz", "")])?;
    for name in ["eth0", "eth1"] {
        wait_until("its link-local address", MARGIN, || {
            let shown = host.run(&format!("ip -6 -o address show dev {name} scope link"))?;
            Ok((shown.contains("fe80:") && !shown.contains("tentative")).then_some(()))
        })?;
    }
    let mut carpd = Carpd::start(&host)?;
    let warned = carpd.carpctl_warns("carp0 create vhid 1 inet6 fe80::1/64")?;
    let reason = "eth0 and eth1 have an address in the subnet of fe80::1: name one with carpdev";
    assert_eq!(warned, format!("carpctl: carp0: {reason}\n"));
    carpd.wait_for_log(&format!("carp0: stays in INIT: {reason}"))?;
    carpd.carpctl("carp0 carpdev eth1")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    carpd.check_alive()
}

#[test]
fn interface_that_was_chosen_among_equals_stays_after_a_restart() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", ""), ("lan", "192.168.1.3/24")])?;
    let mut carpd = Carpd::start(&host)?;
    carpd.carpctl("carp0 create vhid 1 192.168.1.1/24")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    host.run("ip address add 192.168.1.2/24 dev eth0")?;
    carpd.wait_for_log("WARN carp0: eth1 is used, and eth0 has an address")?;
    carpd.keep()?;
    carpd.restart()?;
    let shown = carpd.carpctl("carp0")?;
    ensure!(shown.contains("carpdev: eth1\n"), "{shown}");
    assert_eq!(carpd.state("carp0")?, "MASTER");
    carpd.check_alive()
}
