//! What faults do to the hosts, and how it is made good again.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use carp_proto::Mac;
use carp_proto::wire::frames;
use carp_tests::{Bus, Host, forged};
use rustix::process::Signal;

use crate::faults::{Fault, What};
use crate::testbed::{HOSTS, NUMBER, PASSWORDS, UNITS, World};

/// What carpd ends with that has kept everything (carpd(8)).
const KEPT: i32 = 75;

/// Bytes that a queue takes which is full with any frame.
const FULL: u32 = 1;

impl Fault {
    /// Makes it happen.
    pub(crate) fn strike(self, world: &mut World) -> Result<()> {
        let host = world.at(self.host)?.host().clone();
        let unit = self.unit;
        match self.what {
            What::Cable(interface) => host.pull(interface),
            What::Interface => host.run("ip link set eth0 down").map(drop),
            What::Kill => world.at(self.host)?.kill(),
            What::KillAndBack => {
                world.at(self.host)?.kill()?;
                thread::sleep(self.time);
                world.at(self.host)?.restart()
            }
            What::Hang => world.at(self.host)?.signal(Signal::STOP),
            What::Nap => {
                world.at(self.host)?.signal(Signal::STOP)?;
                thread::sleep(self.time);
                world.at(self.host)?.signal(Signal::CONT)
            }
            What::Stop => stop(world, self.host),
            What::Restart => {
                stop(world, self.host)?;
                world.at(self.host)?.restart()
            }
            What::KeepRestart => {
                let carpd = world.at(self.host)?;
                let status = carpd.keep()?;
                ensure!(status.code() == Some(KEPT), "carpd ended with {status}");
                carpd.restart()
            }
            What::Down => carpctl(world, self.host, &format!("{unit} down")),
            What::Destroy => carpctl(world, self.host, &format!("{unit} destroy")),
            What::Reload => {
                world.rewrite(self.host, 1)?;
                world.at(self.host)?.signal(Signal::HUP)
            }
            // The one without a device of its own has nothing that could be meddled with alone.
            What::Flush => host.output("ip address flush dev carp0").map(drop),
            What::Delete => host.output("ip link delete carp0").map(drop),
            What::Sysctls => {
                let line = "sysctl -qw net.ipv4.conf.eth0.arp_ignore=0 \
                            net.ipv4.conf.eth0.arp_announce=0";
                host.run(line).map(drop)
            }
            What::Mtu => host.run("ip link set eth0 mtu 1400").map(drop),
            What::Mac => {
                let line = format!("ip link set eth0 address 02:00:00:00:aa:{:02x}", self.host);
                host.run(&line).map(drop)
            }
            What::Force => force(world, self.host, unit),
            What::Suppress => suppress(world, self.host),
            What::SuppressAll(advbase) => {
                everywhere(world, &UNITS, &format!("advbase {advbase}"))?;
                (0..NUMBER).try_for_each(|host| suppress(world, host))
            }
            What::SuppressTwo => [0, 1]
                .into_iter()
                .try_for_each(|host| suppress(world, host)),
            What::Noise => world.client.inject("eth0", &noise()),
            What::Passwords => {
                let [old, new] = PASSWORDS;
                change_password(world, old, new)
            }
            What::PasswordAtOnce => {
                let [_, new] = PASSWORDS;
                everywhere(world, &UNITS, &format!("pass {new}"))
            }
            What::BusRestart => {
                world.bus = None;
                Ok(())
            }
            What::Partition => isolate(world, "on"),
            What::Family(family) => cut_family(world, &host, family, self.number),
            What::Queue(interface) => {
                let line = format!("tc qdisc replace dev {interface} root bfifo limit {FULL}");
                host.run(&line).map(drop)
            }
            What::Clock(milliseconds) => world.set_clock(self.host, milliseconds),
            What::Clocks(milliseconds) => {
                (0..NUMBER).try_for_each(|host| world.set_clock(host, milliseconds))
            }
            What::LateClock(milliseconds) => {
                stop(world, self.host)?;
                world.set_clock(self.host, milliseconds)?;
                world.at(self.host)?.restart()
            }
            // Again and again: none of the changes may make a backup wait anew.
            What::Advskew => self.skews().into_iter().try_for_each(|skew| {
                thread::sleep(self.time / 3);
                carpctl(world, self.host, &format!("{unit} advskew {skew}"))
            }),
            What::Advbase(advbase) => {
                carpctl(world, self.host, &format!("{unit} advbase {advbase}"))
            }
            What::Advbases(advbase) => everywhere(world, &UNITS, &format!("advbase {advbase}")),
            What::Alias(address) => everywhere(world, &["carp0"], &format!("{address} alias")),
            What::Description => {
                let line = format!("{unit} description {}", self.number);
                carpctl(world, self.host, &line)
            }
            What::Replay => world.change_replay(),
        }
    }

    /// Makes it good again.
    pub(crate) fn mend(self, world: &mut World) -> Result<()> {
        let host = world.at(self.host)?.host().clone();
        let unit = self.unit;
        match self.what {
            What::Cable(interface) => host.plug(interface),
            What::Interface => host.run("ip link set eth0 up").map(drop),
            What::Kill | What::Stop => world.at(self.host)?.restart(),
            What::Hang => world.at(self.host)?.signal(Signal::CONT),
            What::Down => carpctl(world, self.host, &format!("{unit} up")),
            What::Destroy => carpctl(world, self.host, "reload"),
            What::Reload => {
                world.rewrite(self.host, 0)?;
                world.at(self.host)?.signal(Signal::HUP)
            }
            What::Mtu => host.run("ip link set eth0 mtu 1500").map(drop),
            What::Mac => {
                let number = self.host + 1;
                let line = format!("ip link set eth0 address 02:00:00:00:{number:02x}:00");
                host.run(&line).map(drop)
            }
            What::Suppress | What::SuppressTwo => {
                world.holders.clear();
                Ok(())
            }
            What::SuppressAll(_) => {
                world.holders.clear();
                everywhere(world, &UNITS, "advbase 1")
            }
            What::Passwords => {
                let [old, new] = PASSWORDS;
                change_password(world, new, old)
            }
            What::PasswordAtOnce => {
                let [old, _] = PASSWORDS;
                everywhere(world, &UNITS, &format!("pass {old}"))
            }
            What::BusRestart => {
                world.bus = Some(Bus::start(&world.lab)?);
                Ok(())
            }
            What::Partition => isolate(world, "off"),
            What::Family(_) => {
                let line = format!("nft delete table bridge {}", table(&host));
                world.lab.switch().run(&line).map(drop)
            }
            What::Queue(interface) => {
                let line = format!("tc qdisc delete dev {interface} root");
                host.run(&line).map(drop)
            }
            What::Clock(_) | What::LateClock(_) => world.set_clock(self.host, 0),
            What::Clocks(_) => (0..NUMBER).try_for_each(|host| world.set_clock(host, 0)),
            What::Advskew => {
                let (_, skew) = HOSTS.get(self.host).context("there are three hosts")?;
                carpctl(world, self.host, &format!("{unit} advskew {skew}"))
            }
            What::Advbase(_) => carpctl(world, self.host, &format!("{unit} advbase 1")),
            What::Advbases(_) => everywhere(world, &UNITS, "advbase 1"),
            What::Alias(address) => everywhere(world, &["carp0"], &format!("{address} -alias")),
            What::Description => carpctl(world, self.host, &format!("{unit} -description")),
            What::KillAndBack
            | What::Nap
            | What::Restart
            | What::KeepRestart
            | What::Flush
            | What::Delete
            | What::Sysctls
            | What::Force
            | What::Noise
            | What::Replay => Ok(()),
        }
    }
}

fn carpctl(world: &mut World, host: usize, line: &str) -> Result<()> {
    world.at(host)?.carpctl(line).map(drop)
}

/// Changes these carp interfaces on all hosts, host by host.
fn everywhere(world: &mut World, units: &[&str], change: &str) -> Result<()> {
    for host in 0..NUMBER {
        for unit in units {
            carpctl(world, host, &format!("{unit} {change}"))?;
        }
    }
    Ok(())
}

fn stop(world: &mut World, host: usize) -> Result<()> {
    let status = world.at(host)?.stop()?;
    ensure!(status.success(), "carpd stopped with {status}");
    Ok(())
}

/// Forces the state that a carp interface does not have.
fn force(world: &mut World, host: usize, unit: &str) -> Result<()> {
    let state = world.at(host)?.state(unit)?;
    let other = if state == "MASTER" {
        "backup"
    } else {
        "master"
    };
    carpctl(world, host, &format!("{unit} state {other}"))
}

/// Holds preemption suppressed until the world forgets its holders.
fn suppress(world: &mut World, host: usize) -> Result<()> {
    let carpd = world.at(host)?;
    let mut command = carpd.carpctl_command()?;
    command.args(["suppress", "--who", "soak", "--why", "it is tried out"]);
    command.args(["--", "sleep", "60"]);
    let holder = carpd.host().spawn("suppress", command)?;
    world.holders.push(holder);
    Ok(())
}

/// As the manual says: the new one is accepted everywhere, then sent everywhere, then alone.
fn change_password(world: &mut World, old: &str, new: &str) -> Result<()> {
    let steps = [
        format!("accept_pass {new}"),
        format!("pass {new} accept_pass {old}"),
        "-accept_pass".to_owned(),
    ];
    steps
        .iter()
        .try_for_each(|step| everywhere(world, &UNITS, step))
}

/// The hosts' ports reach the clients', and not each other.
fn isolate(world: &mut World, on: &str) -> Result<()> {
    for host in 0..NUMBER {
        let host = world.at(host)?.host().clone();
        for interface in ["eth0", "eth1"] {
            host.set_port(interface, &format!("isolated {on}"))?;
        }
    }
    Ok(())
}

/// The switch drops the advertisements of one family of the dual-stack group: from this host, to
/// it, or both.
fn cut_family(world: &mut World, host: &Host, family: &str, number: u64) -> Result<()> {
    // The vhid is the second byte behind the IP header.
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
    world.lab.switch().run(&line).map(drop)
}

fn table(host: &Host) -> String {
    format!("cut_{}", host.name())
}

/// Advertisements for the first group with a wrong digest and a wrong length, and of no group. The
/// client's own MAC is their source: who takes the virtual one takes the traffic, from any master.
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
