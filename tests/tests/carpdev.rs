//! `carpdev` with the name of an interface, with an alternative name, and with a wrong one.

use anyhow::{Result, ensure};
use carp_tests::{Carpd, Lab, REACTION_TIMEOUT, master_down, wait_until};

const SUPPRESSED: &str = "sysctl -n net.inet.carp.suppress_preempt";

#[test]
fn carpdev_is_found_by_its_alternative_name() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    host.run("ip link property add dev eth0 altname uplink-to-the-office")?;
    let mut carpd = Carpd::start(&host)?;
    carpd.carpctl("carp0 create carpdev uplink-to-the-office vhid 1 192.168.1.1/24")?;
    let shown = carpd.carpctl("carp0")?;
    ensure!(shown.contains("\tcarpdev: eth0\n"), "{shown}");
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;

    // The same for a name that is added later, and after a restart.
    host.run("ip link property add dev eth0 altname lan0")?;
    wait_until("the new name is known", REACTION_TIMEOUT, || {
        let outcome = carpd.try_carpctl("carp0 carpdev lan0")?;
        Ok((outcome.code == 0).then_some(()))
    })?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    carpd.keep()?;
    carpd.restart()?;
    assert_eq!(carpd.state("carp0")?, "MASTER");

    host.run("ip link property del dev eth0 altname lan0")?;
    carpd.wait_for_state("carp0", "INIT", REACTION_TIMEOUT)?;
    carpd.wait_for_log("lan0: is gone")?;
    host.run("ip link property add dev eth0 altname lan0")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    assert_eq!(carpd.carpctl(SUPPRESSED)?.trim(), "0");
    carpd.check_alive()
}

#[test]
fn wrong_carpdev_is_named_and_demotes_no_other_group() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let configuration = "cloned_interfaces=\"carp0 carp1\"\n\
                         ifconfig_carp0=\"carpdev eth0 vhid 1 192.168.1.1/24\"\n\
                         ifconfig_carp1=\"carpdev eth0@if7 vhid 2 192.168.1.3/24\"\n";
    let mut carpd = Carpd::start_configured(&host, configuration, "")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    let reason = "there is no interface eth0@if7: write eth0, without what ip(8) shows behind @";
    let shown = carpd.carpctl("carp1")?;
    ensure!(shown.contains(&format!("\treason: {reason}\n")), "{shown}");
    carpd.wait_for_log(&format!("carp1: stays in INIT: {reason}"))?;
    assert_eq!(carpd.carpctl(SUPPRESSED)?.trim(), "0");

    let outcome = carpd.try_carpctl("carp2 create carpdev eth0@if7 vhid 3 192.168.1.4/24")?;
    assert_eq!(
        (outcome.code, outcome.stderr.trim_end()),
        (1, format!("carpctl: carp2: {reason}").as_str())
    );
    carpd.check_alive()
}

#[test]
fn carpdev_that_cannot_carry_carp_any_more_is_not_called_gone() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let mut carpd = Carpd::start(&host)?;
    carpd.carpctl("carp0 create carpdev eth0 vhid 1 192.168.1.1/24")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    host.run("ip link set eth0 multicast off")?;
    carpd.wait_for_state("carp0", "INIT", REACTION_TIMEOUT)?;
    carpd.wait_for_log("(eth0: cannot carry CARP)")?;
    assert_eq!(carpd.carpctl(SUPPRESSED)?.trim(), "1");
    host.run("ip link set eth0 multicast on")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    let log = carpd.log()?;
    ensure!(!log.contains("is gone"), "{log}");
    carpd.check_alive()
}
