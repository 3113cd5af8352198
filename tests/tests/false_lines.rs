//! Log lines that reported faults that did not exist.

use anyhow::{Result, ensure};
use carp_tests::{Bus, Carpd, Lab, MARGIN, REACTION_TIMEOUT, master_down, wait_until};

#[test]
fn clean_stop_logs_no_lost_connection_to_the_bus() -> Result<()> {
    let lab = Lab::new()?;
    let bus = Bus::start(&lab)?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    // Whether the line came depended on the order in which two tasks woke up.
    for _ in 0..8 {
        let mut carpd = Carpd::start_on(&host, bus.address())?;
        carpd.wait_for_log("org.carpd1 is on ")?;
        ensure!(carpd.stop()?.success());
        let log = carpd.log()?;
        ensure!(!log.contains("connection was lost"), "{log}");
    }
    Ok(())
}

#[test]
fn interface_that_goes_away_under_a_master_is_named_once() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let mut carpd = Carpd::start(&host)?;
    carpd.carpctl("carp0 create carpdev eth0 vhid 1 192.168.1.1/24")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    wait_until("the helper devices hear in its place", MARGIN * 3, || {
        Ok((!carpd.has_direct_socket("eth0")?).then_some(()))
    })?;
    host.run("ip link del eth0")?;
    carpd.wait_for_state("carp0", "INIT", REACTION_TIMEOUT)?;
    let gone = "there is no interface eth0";
    carpd.wait_for_log(gone)?;
    let log = carpd.log()?;
    assert_eq!(log.matches(gone).count(), 1, "{log}");
    ensure!(!log.contains("cannot"), "{log}");
    carpd.check_alive()
}
