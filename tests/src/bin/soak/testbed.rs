//! Three hosts with three groups on two segments, and a client on each.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use carp_tests::{Bus, Carpd, Host, Lab, MARGIN, Process, WallClock, wait_until};

use crate::clients::Clients;

/// The hosts, best first, each with its advskew.
pub(crate) const HOSTS: [(&str, u32); 3] = [("a", 0), ("b", 50), ("c", 100)];

/// Number of hosts.
pub(crate) const HOST_COUNT: usize = HOSTS.len();

/// The carp interfaces; the last one has no MAC of its own.
pub(crate) const INTERFACES: [&str; 3] = ["carp0", "carp1", "carp2"];

const LAN: [&str; 3] = ["192.168.1.1", "2001:db8:1::1", "192.168.1.201"];
const DMZ: [&str; 1] = ["192.168.2.1"];

/// The password of the groups, and the one that it is changed to.
pub(crate) const PASSWORDS: [&str; 2] = ["mekmitasdigoat", "anotherone"];

/// Log line of a carpd that ends because the kernel does not answer.
const KERNEL_STALLED: &str = "the kernel has not responded";

/// Hosts, clients and programs of a run.
pub(crate) struct Testbed {
    /// The clients' view.
    pub(crate) clients: Clients,
    /// carpd on each host.
    pub(crate) carpd: Vec<Carpd>,
    /// The wall clock of each.
    clocks: Vec<WallClock>,
    /// True if hosts compare the time in advertisements with their own (`net.inet.carp.replay=2`),
    /// and do not only refuse exact repetitions.
    pub(crate) compares_clocks: bool,
    /// Programs that hold preemption suppressed.
    pub(crate) holders: Vec<Process>,
    /// The bus of the first host; `None` while it is down.
    pub(crate) bus: Option<Bus>,
    /// A host on the first segment.
    pub(crate) client: Host,
    /// Dropped last: it removes the hosts.
    pub(crate) lab: Lab,
}

impl Testbed {
    /// Starts everything, without waiting for it to settle.
    pub(crate) fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let bus = Bus::start(&lab)?;
        let (mut carpd, mut clocks) = (Vec::new(), Vec::new());
        for (number, (name, skew)) in HOSTS.into_iter().enumerate() {
            let own = number + 2;
            let lan = format!("192.168.1.{own}/24 2001:db8:1::{own}/64");
            let dmz = format!("192.168.2.{own}/24");
            let host = lab.host(name, &[("lan", &lan), ("dmz", &dmz)])?;
            // Otherwise an interface that was down would come up without its IPv6 addresses.
            host.run("sysctl -qw net.ipv6.conf.eth0.keep_addr_on_down=1")?;
            let address = if number == 0 { bus.address() } else { "none" };
            let clock = WallClock::new(&lab, name)?;
            carpd.push(Carpd::start_configured_under(
                &host,
                &rc_conf(skew),
                &sysctl_conf(true),
                &["--bus", address],
                clock.environment(),
            )?);
            clocks.push(clock);
        }
        let client = lab.host("one", &[("lan", "192.168.1.100/24 2001:db8:1::100/64")])?;
        let other = lab.host("two", &[("dmz", "192.168.2.100/24")])?;
        let names = HOSTS.map(|(name, _)| name);
        let clients = Clients::open(&lab, &[(&client, &LAN), (&other, &DMZ)], &names)?;
        Ok(Self {
            clients,
            carpd,
            clocks,
            compares_clocks: true,
            holders: Vec::new(),
            bus: Some(bus),
            client,
            lab,
        })
    }

    /// Returns carpd on the host of this number.
    pub(crate) fn at(&mut self, host: usize) -> Result<&mut Carpd> {
        self.carpd.get_mut(host).context("there are three hosts")
    }

    /// Starts each carpd again that has ended because its kernel was stalled, as systemd does, and
    /// returns how many. All hosts of the lab share one kernel with everything else on this
    /// machine.
    pub(crate) fn revive(&mut self) -> Result<u32> {
        let mut revived = 0;
        for carpd in &mut self.carpd {
            if carpd.ended()?.is_some() && carpd.log()?.contains(KERNEL_STALLED) {
                carpd.restart()?;
                revived += 1;
            }
        }
        Ok(revived)
    }

    /// Writes an rc.conf with other advskews, which carpd does not read yet.
    pub(crate) fn rewrite(&mut self, host: usize, more: u32) -> Result<()> {
        let (_, skew) = HOSTS.get(host).context("there are three hosts")?;
        Ok(fs::write(
            self.at(host)?.config("rc.conf"),
            rc_conf(skew + more),
        )?)
    }

    /// Sets the wall clock of a host's carpd ahead of the machine's.
    pub(crate) fn set_clock(&self, host: usize, milliseconds: i64) -> Result<()> {
        let clock = self.clocks.get(host).context("there are three hosts")?;
        clock.set_ahead(milliseconds)
    }

    /// Makes all hosts compare clocks, or cease to, now and after their next start.
    pub(crate) fn change_replay(&mut self) -> Result<()> {
        self.compares_clocks = !self.compares_clocks;
        let replay = replay(self.compares_clocks);
        for carpd in &self.carpd {
            fs::write(
                carpd.config("sysctl.conf"),
                sysctl_conf(self.compares_clocks),
            )?;
            carpd.carpctl(&format!("sysctl {replay}"))?;
        }
        Ok(())
    }

    /// Returns the process id, memory in kB and descriptors of each running carpd.
    pub(crate) fn costs(&self) -> Vec<(u32, u64, u64)> {
        let cost = |carpd: &Carpd| {
            let process = format!("/proc/{}", carpd.id());
            let status = fs::read_to_string(format!("{process}/status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            let memory = line.split_whitespace().nth(1)?.parse().ok()?;
            let descriptors = fs::read_dir(format!("{process}/fd")).ok()?.count();
            Some((carpd.id(), memory, descriptors as u64))
        };
        self.carpd.iter().filter_map(cost).collect()
    }

    /// Reads what clients see, for this long.
    pub(crate) fn watch_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        wait_until("time passes", time + MARGIN, || {
            self.clients.look()?;
            Ok((Instant::now() >= end).then_some(()))
        })
    }
}

/// Returns the global parameters of all hosts.
fn sysctl_conf(compares_clocks: bool) -> String {
    let replay = replay(compares_clocks);
    format!("net.inet.carp.preempt=1\nnet.inet.carp.log=2\n{replay}\n")
}

fn replay(compares_clocks: bool) -> String {
    format!("net.inet.carp.replay={}", 1 + u8::from(compares_clocks))
}

/// Returns the configuration of a host.
fn rc_conf(skew: u32) -> String {
    let [pass, _] = PASSWORDS;
    let [v4, v6, parent] = LAN;
    let [dmz] = DMZ;
    format!(
        "cloned_interfaces=\"carp0 carp1 carp2\"\n\
         ifconfig_carp0=\"vhid 1 advskew {skew} pass {pass} {v4}/24\"\n\
         ifconfig_carp0_alias0=\"inet6 {v6} prefixlen 64\"\n\
         ifconfig_carp1=\"vhid 2 advskew {skew} pass {pass} {dmz}/24\"\n\
         ifconfig_carp2=\"vhid 3 advskew {skew} pass {pass} lladdr parent {parent}/24\"\n"
    )
}
