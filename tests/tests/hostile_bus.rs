//! Attacks on carpd that any user can try over the message bus.
//!
//! The private socket is open to root alone (its directory is 0700, the socket 0600). All attacks
//! but one need no privilege.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Bus, Capture, Carpd, Host, Lab, MARGIN, Process, master_down, wait_until};

const ATTACKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/hostile-bus.py");

/// Time that an attack may take on a busy machine.
const ATTACK_TIMEOUT: Duration = Duration::from_secs(90);

/// Most memory that carpd may gain, in kB. The bus lets a user have 256 connections with 128
/// pending calls each, at about 6 kB a call in carpd; or messages of 32 MiB, one at a time.
const MAX_GROWTH: u64 = 256 * 1024;

/// A MASTER on a bus, and a capture of everything that it sends.
struct Site {
    carpd: Carpd,
    host: Host,
    bus: Bus,
    capture: Capture,
    _lab: Lab,
}

impl Site {
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let bus = Bus::start(&lab)?;
        let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
        let carpd = Carpd::start_on(&host, bus.address())?;
        carpd.carpctl("carp0 create vhid 1 pass mekmitasdigoat 192.168.1.1/24")?;
        carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
        carpd.wait_for_log("org.carpd1 is on")?;
        let capture = Capture::sent_by(&host, "eth0")?;
        Ok(Self {
            carpd,
            host,
            bus,
            capture,
            _lab: lab,
        })
    }

    /// Starts an attack.
    fn start(&self, attack: &str) -> Result<Process> {
        let own = self.carpd.address();
        let address = if attack == "oversized" {
            &own
        } else {
            self.bus.address()
        };
        let path = address.strip_prefix("unix:path=");
        let path = path.and_then(|path| path.split(',').next());
        let mut command = self.host.command("python3");
        command.args([ATTACKS, path.context("a path")?, attack]);
        command.stdin(Stdio::null());
        self.host.spawn("attack", command)
    }

    /// Returns memory in kB and the number of descriptors.
    fn costs(&self) -> Result<(u64, usize)> {
        let process = format!("/proc/{}", self.carpd.id());
        let status = fs::read_to_string(format!("{process}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let memory = line.and_then(|line| line.split_whitespace().nth(1));
        let descriptors = fs::read_dir(format!("{process}/fd"))?.count();
        Ok((memory.context("VmRSS")?.parse()?, descriptors))
    }

    /// Runs `attack` until it has printed `sign`, while a client of the private socket is served.
    /// Asserts that carpd is still MASTER, on time and not much larger.
    fn survives(&mut self, attack: &str, sign: &str) -> Result<()> {
        let before = self.carpd.interface("carp0")?.last_transition;
        let (memory, _) = self.costs()?;
        let mut attacker = self.start(attack)?;
        wait_until(&format!("{attack} is over"), ATTACK_TIMEOUT, || {
            ensure!(self.carpd.state("carp0")? == "MASTER");
            let log = attacker.log()?;
            Ok((log.contains(sign) || attacker.ended()?.is_some()).then_some(()))
        })?;
        ensure!(attacker.log()?.contains(sign), "{}", attacker.log()?);
        self.carpd.check_alive()?;
        assert_eq!(self.carpd.interface("carp0")?.last_transition, before);
        let (after, _) = self.costs()?;
        println!("{attack}: {memory} kB before, {after} kB after");
        ensure!(
            after <= memory + MAX_GROWTH,
            "{memory} kB grew to {after} kB"
        );
        self.carpd.wait_for_counter("carp0", "opackets", 2)?;
        // If one of these gaps were as long as a backup waits, it would have taken over.
        let frames = self.capture.frames()?;
        let sent = frames
            .iter()
            .filter(|frame| frame.advertisement().is_some());
        let times: Vec<u64> = sent.map(|frame| frame.time).collect();
        let gaps = times.iter().zip(times.iter().skip(1));
        let longest = gaps.map(|(one, next)| next - one).max();
        let longest = Duration::from_micros(longest.context("two advertisements")?);
        println!("{attack}: {longest:.2?} between two advertisements at most");
        ensure!(longest < master_down(1, 0), "{longest:?}");
        Ok(())
    }
}

#[test]
fn longest_strings_of_the_bus_are_refused_in_one_short_line() -> Result<()> {
    Site::new()?.survives("strings", "done")
}

#[test]
fn nested_values_and_malformed_messages_change_nothing() -> Result<()> {
    let mut site = Site::new()?;
    site.survives("deep", "done")?;
    site.survives("odd", "done")
}

#[test]
fn objects_of_another_client_are_not_carp_interfaces() -> Result<()> {
    let mut site = Site::new()?;
    site.survives("interfaces", "done")?;
    let shown = site.carpd.carpctl("-a")?;
    ensure!(!shown.contains("carp1"), "{shown}");
    Ok(())
}

#[test]
fn message_longer_than_the_limit_is_not_read() -> Result<()> {
    Site::new()?.survives("oversized", "done")
}

#[test]
fn thousand_clients_that_never_read_harm_no_other_client() -> Result<()> {
    let mut site = Site::new()?;
    let (_, descriptors) = site.costs()?;
    site.survives("silent", "silent")?;
    // The clients' connections are the bus's; carpd has one connection to it.
    wait_until("descriptors are as before", MARGIN, || {
        // A MASTER receives through up to two more sockets at times.
        Ok((site.costs()?.1 <= descriptors + 3).then_some(()))
    })
}
