//! Actions on the hosts that cause each fault and repair it.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use carp_proto::Mac;
use carp_proto::wire::frames;
use carp_tests::{Bus, Host, forged};
use rustix::process::Signal;

use crate::faults::{Fault, Kind};
use crate::testbed::{HOST_COUNT, HOSTS, INTERFACES, PASSWORDS, Testbed};

/// Exit status of a carpd that has kept everything (carpd(8)).
const EXIT_KEPT: i32 = 75;

/// Length in bytes of a queue that is full with any frame.
const FULL_QUEUE: u32 = 1;

impl Fault {
    /// Causes the fault.
    #[expect(clippy::too_many_lines, reason = "one arm a fault")]
    pub(crate) fn inject(self, testbed: &mut Testbed) -> Result<()> {
        let host = testbed.at(self.host)?.host().clone();
        let unit = self.unit;
        match self.kind {
            Kind::Cable(interface) => host.pull(interface),
            Kind::Interface => host.run("ip link set eth0 down").map(drop),
            Kind::Kill => testbed.at(self.host)?.kill(),
            Kind::KillAndBack => {
                testbed.at(self.host)?.kill()?;
                thread::sleep(self.time);
                testbed.at(self.host)?.restart()
            }
            Kind::Hang => testbed.at(self.host)?.signal(Signal::STOP),
            Kind::Nap => {
                testbed.at(self.host)?.signal(Signal::STOP)?;
                thread::sleep(self.time);
                testbed.at(self.host)?.signal(Signal::CONT)
            }
            Kind::Stop => stop(testbed, self.host),
            Kind::Restart => {
                stop(testbed, self.host)?;
                testbed.at(self.host)?.restart()
            }
            Kind::KeepRestart => {
                let carpd = testbed.at(self.host)?;
                let status = carpd.keep()?;
                ensure!(
                    status.code() == Some(EXIT_KEPT),
                    "carpd ended with {status}"
                );
                carpd.restart()
            }
            Kind::Down => carpctl(testbed, self.host, &format!("{unit} down")),
            Kind::Destroy => carpctl(testbed, self.host, &format!("{unit} destroy")),
            Kind::Reload => {
                testbed.rewrite(self.host, 1)?;
                testbed.at(self.host)?.signal(Signal::HUP)
            }
            // carp2 has no device of its own that could be changed apart.
            Kind::Flush => host.output("ip address flush dev carp0").map(drop),
            Kind::Delete => host.output("ip link delete carp0").map(drop),
            Kind::Sysctls => {
                let line = "sysctl -qw net.ipv4.conf.eth0.arp_ignore=0 \
                            net.ipv4.conf.eth0.arp_announce=0";
                host.run(line).map(drop)
            }
            Kind::Mtu => host.run("ip link set eth0 mtu 1400").map(drop),
            Kind::Mac => {
                let line = format!("ip link set eth0 address 02:00:00:00:aa:{:02x}", self.host);
                host.run(&line).map(drop)
            }
            Kind::Force => force(testbed, self.host, unit),
            Kind::Suppress => suppress(testbed, self.host),
            Kind::SuppressAll(advbase) => {
                everywhere(testbed, &INTERFACES, &format!("advbase {advbase}"))?;
                (0..HOST_COUNT).try_for_each(|host| suppress(testbed, host))
            }
            Kind::SuppressTwo => [0, 1]
                .into_iter()
                .try_for_each(|host| suppress(testbed, host)),
            Kind::Noise => testbed.client.inject("eth0", &noise()),
            Kind::Passwords => {
                let [old, new] = PASSWORDS;
                change_password(testbed, old, new)
            }
            Kind::PasswordAtOnce => {
                let [_, new] = PASSWORDS;
                everywhere(testbed, &INTERFACES, &format!("pass {new}"))
            }
            Kind::BusRestart => {
                testbed.bus = None;
                Ok(())
            }
            Kind::Partition => isolate(testbed, "on"),
            Kind::Family(family) => cut_family(testbed, &host, family, self.number),
            Kind::Queue(interface) => {
                let line =
                    format!("tc qdisc replace dev {interface} root bfifo limit {FULL_QUEUE}");
                host.run(&line).map(drop)
            }
            Kind::Clock(milliseconds) => testbed.set_clock(self.host, milliseconds),
            Kind::Clocks(milliseconds) => {
                (0..HOST_COUNT).try_for_each(|host| testbed.set_clock(host, milliseconds))
            }
            Kind::LateClock(milliseconds) => {
                stop(testbed, self.host)?;
                testbed.set_clock(self.host, milliseconds)?;
                testbed.at(self.host)?.restart()
            }
            // Repeatedly: no change may restart a backup's wait.
            Kind::Advskew => self.skews().into_iter().try_for_each(|skew| {
                thread::sleep(self.time / 3);
                carpctl(testbed, self.host, &format!("{unit} advskew {skew}"))
            }),
            Kind::Advbase(advbase) => {
                carpctl(testbed, self.host, &format!("{unit} advbase {advbase}"))
            }
            Kind::Advbases(advbase) => {
                everywhere(testbed, &INTERFACES, &format!("advbase {advbase}"))
            }
            Kind::Alias(address) => everywhere(testbed, &["carp0"], &format!("{address} alias")),
            Kind::Description => {
                let line = format!("{unit} description {}", self.number);
                carpctl(testbed, self.host, &line)
            }
            Kind::Replay => testbed.change_replay(),
        }
    }

    /// Repairs the fault.
    pub(crate) fn repair(self, testbed: &mut Testbed) -> Result<()> {
        let host = testbed.at(self.host)?.host().clone();
        let unit = self.unit;
        match self.kind {
            Kind::Cable(interface) => host.plug(interface),
            Kind::Interface => host.run("ip link set eth0 up").map(drop),
            Kind::Kill | Kind::Stop => testbed.at(self.host)?.restart(),
            Kind::Hang => testbed.at(self.host)?.signal(Signal::CONT),
            Kind::Down => carpctl(testbed, self.host, &format!("{unit} up")),
            Kind::Destroy => carpctl(testbed, self.host, "reload"),
            Kind::Reload => {
                testbed.rewrite(self.host, 0)?;
                testbed.at(self.host)?.signal(Signal::HUP)
            }
            Kind::Mtu => host.run("ip link set eth0 mtu 1500").map(drop),
            Kind::Mac => {
                let number = self.host + 1;
                let line = format!("ip link set eth0 address 02:00:00:00:{number:02x}:00");
                host.run(&line).map(drop)
            }
            Kind::Suppress | Kind::SuppressTwo => {
                testbed.holders.clear();
                Ok(())
            }
            Kind::SuppressAll(_) => {
                testbed.holders.clear();
                everywhere(testbed, &INTERFACES, "advbase 1")
            }
            Kind::Passwords => {
                let [old, new] = PASSWORDS;
                change_password(testbed, new, old)
            }
            Kind::PasswordAtOnce => {
                let [old, _] = PASSWORDS;
                everywhere(testbed, &INTERFACES, &format!("pass {old}"))
            }
            Kind::BusRestart => {
                testbed.bus = Some(Bus::start(&testbed.lab)?);
                Ok(())
            }
            Kind::Partition => isolate(testbed, "off"),
            Kind::Family(_) => {
                let line = format!("nft delete table bridge {}", table(&host));
                testbed.lab.switch().run(&line).map(drop)
            }
            Kind::Queue(interface) => {
                let line = format!("tc qdisc delete dev {interface} root");
                host.run(&line).map(drop)
            }
            Kind::Clock(_) | Kind::LateClock(_) => testbed.set_clock(self.host, 0),
            Kind::Clocks(_) => (0..HOST_COUNT).try_for_each(|host| testbed.set_clock(host, 0)),
            Kind::Advskew => {
                let (_, skew) = HOSTS.get(self.host).context("there are three hosts")?;
                carpctl(testbed, self.host, &format!("{unit} advskew {skew}"))
            }
            Kind::Advbase(_) => carpctl(testbed, self.host, &format!("{unit} advbase 1")),
            Kind::Advbases(_) => everywhere(testbed, &INTERFACES, "advbase 1"),
            Kind::Alias(address) => everywhere(testbed, &["carp0"], &format!("{address} -alias")),
            Kind::Description => carpctl(testbed, self.host, &format!("{unit} -description")),
            Kind::KillAndBack
            | Kind::Nap
            | Kind::Restart
            | Kind::KeepRestart
            | Kind::Flush
            | Kind::Delete
            | Kind::Sysctls
            | Kind::Force
            | Kind::Noise
            | Kind::Replay => Ok(()),
        }
    }
}

fn carpctl(testbed: &mut Testbed, host: usize, line: &str) -> Result<()> {
    testbed.at(host)?.carpctl(line).map(drop)
}

/// Changes these carp interfaces on all hosts, host by host.
fn everywhere(testbed: &mut Testbed, units: &[&str], change: &str) -> Result<()> {
    for host in 0..HOST_COUNT {
        for unit in units {
            carpctl(testbed, host, &format!("{unit} {change}"))?;
        }
    }
    Ok(())
}

fn stop(testbed: &mut Testbed, host: usize) -> Result<()> {
    let status = testbed.at(host)?.stop()?;
    ensure!(status.success(), "carpd stopped with {status}");
    Ok(())
}

/// Forces the state that a carp interface does not have.
fn force(testbed: &mut Testbed, host: usize, unit: &str) -> Result<()> {
    let state = testbed.at(host)?.state(unit)?;
    let other = if state == "MASTER" {
        "backup"
    } else {
        "master"
    };
    carpctl(testbed, host, &format!("{unit} state {other}"))
}

/// Suppresses preemption until the testbed drops its holders.
fn suppress(testbed: &mut Testbed, host: usize) -> Result<()> {
    let carpd = testbed.at(host)?;
    let mut command = carpd.carpctl_command()?;
    command.args(["suppress", "--who", "soak", "--why", "it is tried out"]);
    command.args(["--", "sleep", "60"]);
    let holder = carpd.host().spawn("suppress", command)?;
    testbed.holders.push(holder);
    Ok(())
}

/// As the manual says: first all hosts accept the new one, then all send it, then it is the only
/// one.
fn change_password(testbed: &mut Testbed, old: &str, new: &str) -> Result<()> {
    let steps = [
        format!("accept_pass {new}"),
        format!("pass {new} accept_pass {old}"),
        "-accept_pass".to_owned(),
    ];
    steps
        .iter()
        .try_for_each(|step| everywhere(testbed, &INTERFACES, step))
}

/// Cuts the hosts off from each other, but not from the clients.
fn isolate(testbed: &mut Testbed, on: &str) -> Result<()> {
    for host in 0..HOST_COUNT {
        let host = testbed.at(host)?.host().clone();
        for interface in ["eth0", "eth1"] {
            host.set_port(interface, &format!("isolated {on}"))?;
        }
    }
    Ok(())
}

/// Makes the switch drop the advertisements of one family of the dual-stack group: from this host,
/// to it, or both.
fn cut_family(testbed: &mut Testbed, host: &Host, family: &str, number: u64) -> Result<()> {
    // The vhid is the second byte after the IP header.
    let advertisement = match family {
        "IPv4" => "ether type ip ip protocol 112 @nh,168,8 1",
        _ => "ether type ip6 ip6 nexthdr 112 @nh,328,8 1",
    };
    let directions: &[&str] = match number % 3 {
        0 => &["iifname"],
        1 => &["oifname"],
        _ => &["iifname", "oifname"],
    };
    let (table, port) = (table(host), host.port("eth0"));
    let mut rules = format!(
        "add table bridge {table}\n\
         add chain bridge {table} cut {{ type filter hook forward priority 0; }}\n"
    );
    for direction in directions {
        // Writing to a string cannot fail.
        let _ = writeln!(
            rules,
            "add rule bridge {table} cut {direction} {port} {advertisement} drop"
        );
    }
    let file = host.file("cut", "nft");
    fs::write(&file, rules)?;
    let line = format!("nft -f {}", file.display());
    testbed.lab.switch().run(&line).map(drop)
}

fn table(host: &Host) -> String {
    format!("cut_{}", host.name())
}

/// Returns advertisements for the first group with a wrong digest and a wrong length, and of no
/// group. Their source is the client's own MAC: from the virtual one, they would divert the
/// traffic.
fn noise() -> Vec<Vec<u8>> {
    let source = IpAddr::from([192, 168, 1, 100]);
    let mac = Mac([2, 0, 0, 0, 4, 0]);
    let wrong = frames::advertisement(mac, source, &forged(1));
    let foreign = frames::advertisement(mac, source, &forged(9));
    let mut short = wrong.clone();
    short.pop();
    [wrong, short, foreign]
        .into_iter()
        .cycle()
        .take(3000)
        .collect()
}
