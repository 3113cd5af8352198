//! ucarp, as Debian packages it, in one group with carpd, both ways.
//!
//! Its frames come from 00:00:5e:00:00:VHID instead of the virtual MAC; carpd accepts them.

use anyhow::{Result, ensure};
use carp_tests::{
    Capture, Carpd, Frame, Host, Lab, MARGIN, Ucarp, VIRTUAL_MAC, master_down, ping, wait_until,
};

const ADDRESS: &str = "192.168.1.1";

struct Network {
    carpd: Carpd,
    ucarp_host: Host,
    client: Host,
    lab: Lab,
}

impl Network {
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let carpd = Carpd::start(&lab.host("a", &[("lan", "192.168.1.2/24")])?)?;
        carpd.carpctl("carp0 create")?;
        let ucarp_host = lab.host("u", &[("lan", "192.168.1.3/24")])?;
        let client = lab.host("client", &[("lan", "192.168.1.100/24")])?;
        Ok(Self {
            carpd,
            ucarp_host,
            client,
            lab,
        })
    }

    fn ucarp(&self, options: &str) -> Result<Ucarp> {
        let group = "--vhid=1 --pass=mekmitasdigoat --srcip=192.168.1.3";
        Ucarp::start(&self.ucarp_host, ADDRESS, &format!("{group} {options}"))
    }

    fn configure(&self, skew: u8) -> Result<()> {
        let line = format!("carp0 vhid 1 advskew {skew} pass mekmitasdigoat {ADDRESS}/24");
        self.carpd.carpctl(&line).map(drop)
    }

    fn carpd_is(&self, state: &str) -> Result<()> {
        self.carpd
            .wait_for_state("carp0", state, master_down(1, 200))
    }

    /// Waits until only `mac` answers whenever a client asks with an empty neighbour table.
    ///
    /// ucarp runs a script to remove its address, some time after it has become BACKUP.
    fn is_answered_by(&self, mac: &str) -> Result<()> {
        wait_until(&format!("{mac} answers for {ADDRESS}"), MARGIN, || {
            self.client.run("ip neighbour flush all")?;
            ping(&self.client, ADDRESS, 2)?;
            let answering = self.client.neighbour(ADDRESS)?;
            ensure!(answering.as_deref() == Some(mac), "{answering:?} answers");
            Ok(Some(()))
        })
    }
}

#[test]
fn carpd_takes_over_from_ucarp() -> Result<()> {
    let network = Network::new()?;
    let mut segment = Capture::on_segment(&network.lab, "lan")?;
    let mut ucarp = network.ucarp("--advskew=0 --preempt")?;
    ucarp.wait_for("MASTER", 1, master_down(1, 0))?;
    network.configure(100)?;
    network.carpd_is("BACKUP")?;
    network.carpd.wait_for_counter("carp0", "ipackets", 4)?;
    assert_eq!(network.carpd.state("carp0")?, "BACKUP");
    network.is_answered_by(&network.ucarp_host.mac("eth0")?)?;
    let frames = segment.stop()?;
    let heard = frames
        .iter()
        .filter(|frame| frame.advertisement().is_some());
    let sources: Vec<_> = heard.map(Frame::source).collect();
    ensure!(
        sources.iter().all(|mac| mac == "00:00:5e:00:00:01"),
        "{sources:?}"
    );

    ucarp.stop()?;
    network.carpd_is("MASTER")?;
    network.is_answered_by(VIRTUAL_MAC)?;
    Ok(())
}

#[test]
fn ucarp_takes_over_from_carpd() -> Result<()> {
    let network = Network::new()?;
    network.configure(0)?;
    network.carpd_is("MASTER")?;
    let mut ucarp = network.ucarp("--advskew=100")?;
    ucarp.wait_for("BACKUP", 1, master_down(1, 100))?;
    // Longer than ucarp waits for a master that it does not hear.
    let mut sent = Capture::sent_by(network.carpd.host(), "eth0")?;
    wait_until("carpd advertises five times", master_down(2, 0), || {
        let count = sent
            .frames()?
            .iter()
            .filter_map(Frame::advertisement)
            .count();
        Ok((count >= 5).then_some(()))
    })?;
    assert_eq!(ucarp.times("MASTER")?, 0);
    network.is_answered_by(VIRTUAL_MAC)?;
    sent.stop()?;

    network.carpd.carpctl("carp0 down")?;
    ucarp.wait_for("MASTER", 1, master_down(1, 100))?;
    network.is_answered_by(&network.ucarp_host.mac("eth0")?)?;
    Ok(())
}

#[test]
fn carpd_preempts_ucarp() -> Result<()> {
    let network = Network::new()?;
    let mut ucarp = network.ucarp("--advskew=100 --preempt")?;
    ucarp.wait_for("MASTER", 1, master_down(1, 100))?;
    network.carpd.carpctl("sysctl net.inet.carp.preempt=1")?;
    network.configure(0)?;
    network.carpd_is("MASTER")?;
    // It starts as BACKUP, too.
    ucarp.wait_for("BACKUP", 2, master_down(1, 100))?;
    network.is_answered_by(VIRTUAL_MAC)?;
    Ok(())
}

#[test]
fn ucarp_preempts_carpd() -> Result<()> {
    let network = Network::new()?;
    network.configure(100)?;
    network.carpd_is("MASTER")?;
    let mut ucarp = network.ucarp("--advskew=0 --preempt")?;
    ucarp.wait_for("MASTER", 1, master_down(1, 0))?;
    network.carpd_is("BACKUP")?;
    network.is_answered_by(&network.ucarp_host.mac("eth0")?)?;
    Ok(())
}
