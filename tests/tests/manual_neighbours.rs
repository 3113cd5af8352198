//! The examples of carp(4) for other programs that configure a host's network: packet filters,
//! NetworkManager and systemd-networkd, each as it really runs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{
    Bus, Carpd, Host, Lab, MARGIN, Pair, Process, example, master_down, ping, wait_until,
};

const PAGE: &str = "carp.4";

/// Time that a large daemon may take to start on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

fn load(carpd: &Carpd, rules: &str) -> Result<()> {
    let path = carpd.host().file("rules", "nft");
    fs::write(&path, format!("flush ruleset\n{rules}\n"))?;
    carpd
        .host()
        .run(&format!("nft -f {}", path.display()))
        .map(drop)
}

#[test]
fn nftables_example_admits_advertisements_and_client_traffic() -> Result<()> {
    let pair = Pair::new()?;
    let counting = example(PAGE, "nftables")?
        .replace("ttl 255 accept", "ttl 255 counter accept")
        .replace("hoplimit 255 accept", "hoplimit 255 counter accept");
    for carpd in [&pair.a, &pair.b] {
        load(carpd, &counting)?;
    }
    pair.form_group("192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    pair.client_reaches("192.168.1.1")?;
    // Advertisements from the virtual MAC end at the silent device; others reach the filter.
    for carpd in [&pair.a, &pair.b] {
        carpd.carpctl("carp1 create vhid 2 lladdr parent 192.168.1.9/24 2001:db8:1::9/64")?;
    }
    let bound = master_down(1, 0) + MARGIN;
    wait_until("both rules have accepted something", bound, || {
        let listed = pair.b.host().run("nft list ruleset")?;
        let counters = listed.matches("counter packets").count();
        let idle = listed.matches("counter packets 0 ").count();
        ensure!((counters, idle) == (2, 0), "{listed}");
        Ok(Some(()))
    })?;

    // Packets that the client sends through the virtual address are forwarded, and replies return.
    let server = pair.lab.host("server", &[("dmz", "192.168.2.100/24")])?;
    server.run("ip route add 192.168.1.0/24 via 192.168.2.2")?;
    pair.client
        .run("ip route add 192.168.2.0/24 via 192.168.1.1")?;
    pair.a.host().run("sysctl -qw net.ipv4.ip_forward=1")?;
    ping(&pair.client, "192.168.2.100", 1)?;

    // As the page says: rules for eth0 alone match neither packets to the virtual address nor
    // packets that are sent through it.
    let narrow = counting.replace("{ \"eth0\", \"carp0\" }", "\"eth0\"");
    load(&pair.a, &narrow)?;
    ping(&pair.client, "192.168.1.2", 1)?;
    ensure!(ping(&pair.client, "192.168.1.1", 1).is_err(), "{narrow}");
    // conntrack would admit packets of the known connection.
    ensure!(ping(&pair.client, "192.168.2.100", 1).is_err(), "{narrow}");
    assert_eq!(pair.b.state("carp0")?, "BACKUP");
    Ok(())
}

#[test]
fn firewalld_example_puts_the_device_into_the_right_zone() -> Result<()> {
    let pair = Pair::new()?;
    let policy = Path::new("/usr/share/dbus-1/system.d/FirewallD.conf");
    let bus = Bus::start_with(&pair.lab, policy)?;
    let host = pair.a.host();
    let etc = pair.lab.path("firewalld");
    fs::create_dir(&etc)?;
    let on_bus = |program: &str| {
        let mut command = host.command(program);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", bus.address());
        command
    };
    let mut command = on_bus("firewalld");
    command.args(["--nofork", "--nopid"]);
    command.arg(format!("--system-config={}", etc.display()));
    command.arg(format!(
        "--log-file={}",
        pair.lab.path("firewalld.log").display()
    ));
    let mut firewalld = host.spawn("firewalld", command)?;
    wait_until("firewalld runs", START_TIMEOUT, || {
        firewalld.check_alive()?;
        let output = on_bus("firewall-cmd").arg("--state").output()?;
        Ok(output.status.success().then_some(()))
    })?;

    let script = example(PAGE, "firewalld")?;
    let output = on_bus("sh").args(["-e", "-c", &script]).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{errors}");
    let rules = host.run("nft list table inet firewalld")?;
    for wanted in [
        "iifname \"eth0\" goto filter_IN_internal",
        "iifname \"carp0\" goto filter_IN_internal",
        "meta l4proto vrrp accept",
    ] {
        ensure!(rules.contains(wanted), "{wanted} in {rules}");
    }
    pair.form_group("192.168.1.1/24")?;
    pair.client_reaches("192.168.1.1")
}

/// Returns a system program whose writes stay in file systems of its own: `/run` is empty, and
/// `/sys`, read-only, shows it that there is no udev to wait for.
fn confined(host: &Host, bus: &Bus, script: &str) -> Command {
    let mut command = host.command("unshare");
    command.args(["--mount", "--propagation=private", "sh", "-e", "-c"]);
    command.arg(format!(
        "mount -o remount,ro,bind /sys\nmount -t tmpfs tmpfs /run\n{script}"
    ));
    command.env("DBUS_SYSTEM_BUS_ADDRESS", bus.address());
    command
}

/// Makes a MASTER with a virtual address on each of its links; that of eth1 is `lladdr parent`.
fn masters(lab: &Lab) -> Result<Carpd> {
    let host = lab.host("a", &[("lan", "192.168.1.2/24"), ("dmz", "192.168.2.2/24")])?;
    let carpd = Carpd::start(&host)?;
    carpd.carpctl("carp0 create vhid 1 192.168.1.1/24")?;
    carpd.carpctl("carp1 create vhid 2 lladdr parent 192.168.2.1/24")?;
    for interface in ["carp0", "carp1"] {
        carpd.carpctl(&format!("{interface} state master"))?;
        carpd.wait_for_state(interface, "MASTER", Duration::ZERO)?;
    }
    Ok(carpd)
}

#[test]
fn networkd_leaves_the_devices_alone() -> Result<()> {
    let lab = Lab::new()?;
    let bus = Bus::start(&lab)?;
    let carpd = masters(&lab)?;
    let files = lab.path("network");
    fs::create_dir(&files)?;
    fs::write(files.join("10-carp.network"), example(PAGE, "networkd")?)?;
    // The file matches every interface, also carp0, and removes foreign addresses, as by default.
    fs::write(
        files.join("90-all.network"),
        "[Match]\nName=*\n[Network]\nLinkLocalAddressing=no\nKeepConfiguration=static\n\
         Address=10.9.9.9/24\n",
    )?;
    let script = format!(
        "mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases \
         /run/systemd/netif/lldp\n\
         cp {}/* /run/systemd/network\nchown -R systemd-network /run/systemd/netif\n\
         export SYSTEMD_LOG_LEVEL=debug SYSTEMD_LOG_TARGET=console\n\
         exec /lib/systemd/systemd-networkd",
        files.display()
    );
    let command = confined(carpd.host(), &bus, &script);
    let networkd = carpd.host().spawn("networkd", command)?;
    for line in [
        "carp0: State changed: initialized -> unmanaged",
        "eth1: State changed: configuring -> configured",
        "eth0: State changed: configuring -> configured",
    ] {
        networkd.wait_for_log(line, START_TIMEOUT)?;
    }
    let addresses = carpd.host().addresses()?;
    let on = |interface: &str, address: &str| {
        addresses
            .lines()
            .any(|line| line.contains(&format!(" {interface} ")) && line.contains(address))
    };
    ensure!(on("eth0", "10.9.9.9/24"), "{addresses}");
    ensure!(!on("carp0", "10.9.9.9/24"), "{addresses}");
    ensure!(on("carp0", "192.168.1.1/24"), "{addresses}");
    // With `lladdr parent` the prefix is 32: an own address must not become secondary.
    ensure!(on("eth1", "192.168.2.1/32"), "{addresses}");
    still_master(&carpd)
}

#[test]
fn networkmanager_leaves_the_devices_alone() -> Result<()> {
    let lab = Lab::new()?;
    let policy = Path::new("/usr/share/dbus-1/system.d/org.freedesktop.NetworkManager.conf");
    let bus = Bus::start_with(&lab, policy)?;
    let carpd = masters(&lab)?;
    let conf = lab.path("conf.d");
    fs::create_dir(&conf)?;
    fs::write(conf.join("90-carp.conf"), example(PAGE, "networkmanager")?)?;
    let main = lab.path("NetworkManager.conf");
    fs::write(&main, "[main]\nplugins=keyfile\nauth-polkit=false\n")?;
    let script = format!(
        "mkdir /run/NetworkManager\nexec NetworkManager --no-daemon --config={} --config-dir={} \
         --system-config-dir=/nonexistent --intern-config={} --state-file={} --pid-file=/run/pid",
        main.display(),
        conf.display(),
        lab.path("intern").display(),
        lab.path("state").display(),
    );
    let command = confined(carpd.host(), &bus, &script);
    let mut daemon: Process = carpd.host().spawn("NetworkManager", command)?;
    wait_until("NetworkManager has looked at carp0", START_TIMEOUT, || {
        daemon.check_alive()?;
        let mut command = carpd.host().command("nmcli");
        command.args(["--terse", "--fields", "DEVICE,STATE", "device"]);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", bus.address());
        let output = command.output()?;
        let listed = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<&str> = listed.lines().collect();
        ensure!(lines.contains(&"carp0:unmanaged"), "{listed}");
        let eth0 = lines.iter().find(|line| line.starts_with("eth0:"));
        let eth0 = eth0.context("eth0 is not listed")?;
        ensure!(!eth0.contains("unmanaged"), "it manages nothing: {listed}");
        Ok(Some(()))
    })?;
    let addresses = carpd.host().addresses()?;
    ensure!(addresses.contains("192.168.1.1/24"), "{addresses}");
    still_master(&carpd)
}

fn still_master(carpd: &Carpd) -> Result<()> {
    for interface in ["carp0", "carp1"] {
        let last = carpd.interface(interface)?.last_transition;
        let reason = last.map(|last| last.reason);
        assert_eq!(reason.as_deref(), Some("forced"), "{interface}");
    }
    Ok(())
}
