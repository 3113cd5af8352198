//! What goes wrong: each fault strikes, and is mended. How long clients may notice either follows
//! from the protocol.

use std::fmt;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use carp_proto::Mac;
use carp_proto::wire::frames;
use carp_tests::{Bus, Random, forged, master_down};
use rustix::process::Signal;

use crate::world::{HOSTS, NUMBER, PASSWORDS, UNITS, World};

/// A fault, with the host that it strikes, if it is one alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    what: What,
    host: usize,
    unit: &'static str,
    /// A part of three seconds, for what lasts.
    time: Duration,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A cable is pulled, with its interface.
    Cable(&'static str),
    /// An administrator takes an interface down.
    Interface,
    Kill,
    KillAndBack,
    Hang,
    Nap,
    Stop,
    Restart,
    KeepRestart,
    Down,
    Destroy,
    Reload,
    Flush,
    Delete,
    Sysctls,
    Mtu,
    Mac,
    Force,
    Suppress,
    Noise,
    Passwords,
    BusRestart,
    Partition,
}

/// How long clients may notice a fault by the protocol, on a machine that has time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Nobody answers.
    pub(crate) outage: Duration,
    /// Two hosts answer.
    pub(crate) twice: Duration,
}

impl Bounds {
    /// The worse of both.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            outage: self.outage.max(other.outage),
            twice: self.twice.max(other.twice),
        }
    }
}

/// How long the slowest host waits for a master that says nothing.
pub(crate) fn takeover() -> Duration {
    let slowest = HOSTS.iter().map(|(_, skew)| *skew).max();
    master_down(1, slowest.unwrap_or_default())
}

/// How long the kernel keeps the addresses of a carpd that does not renew them: three times
/// advbase (linux.md calls it the lease; `carp_proto`'s `election::lease`).
const LEASE: Duration = Duration::from_secs(3);

/// Two masters that hear each other: one of them yields to the other's next advertisement. While
/// preemption is suppressed there is one every 1 + 240/256 s.
const INTERVAL: Duration = Duration::from_millis(1938);

/// What carpd ends with that has kept everything (carpd(8)).
const KEPT: i32 = 75;

const ALL: [What; 24] = [
    What::Cable("eth0"),
    What::Cable("eth1"),
    What::Interface,
    What::Kill,
    What::KillAndBack,
    What::Hang,
    What::Nap,
    What::Stop,
    What::Restart,
    What::KeepRestart,
    What::Down,
    What::Destroy,
    What::Reload,
    What::Flush,
    What::Delete,
    What::Sysctls,
    What::Mtu,
    What::Mac,
    What::Force,
    What::Suppress,
    What::Noise,
    What::Passwords,
    What::BusRestart,
    What::Partition,
];

impl Fault {
    /// One or two faults at once; two strike two hosts, so that the third is whole.
    pub(crate) fn some(random: &mut Random) -> Vec<Self> {
        let one = Self::any(random);
        if one.is_everywhere() || random.below(4) > 0 {
            return vec![one];
        }
        loop {
            let other = Self::any(random);
            if !other.is_everywhere() && other.host != one.host {
                return vec![one, other];
            }
        }
    }

    fn any(random: &mut Random) -> Self {
        Self {
            what: random.one_of(ALL),
            // The master is the most interesting one.
            host: random.one_of([0, 0, 1, 2]),
            unit: random.one_of(UNITS),
            time: Duration::from_millis(random.below(2500)),
        }
    }

    /// Whether it is nothing that strikes one host.
    const fn is_everywhere(self) -> bool {
        matches!(self.what, What::Passwords | What::Partition)
    }

    /// Its line in the table.
    pub(crate) const fn kind(self) -> &'static str {
        match self.what {
            What::Cable(_) => "cable pulled, plugged in again",
            What::Interface => "physical interface down, up",
            What::Kill => "`kill -9`, started again after the takeover",
            What::KillAndBack => "`kill -9`, started again within the lease",
            What::Hang => "`kill -STOP`, `-CONT` after the takeover",
            What::Nap => "`kill -STOP`, `-CONT` within the lease",
            What::Stop => "clean stop, start",
            What::Restart => "clean stop and start at once",
            What::KeepRestart => "`kill -USR2`, started again at once",
            What::Down => "`down`, `up`",
            What::Destroy => "`destroy`, created again by a reload",
            What::Reload => "another advskew in rc.conf and back, `kill -HUP`",
            What::Flush => "addresses flushed by somebody else",
            What::Delete => "carp device deleted by somebody else",
            What::Sysctls => "sysctls set back by somebody else",
            What::Mtu => "MTU of the physical interface changed",
            What::Mac => "MAC of the physical interface changed",
            What::Force => "state forced",
            What::Suppress => "preemption suppressed by a holder",
            What::Noise => "flood of bad advertisements",
            What::Passwords => "password changed, and back",
            What::BusRestart => "message bus restarted",
            What::Partition => "hosts cut off from each other, not from the clients",
        }
    }

    /// Whether every address is answered for by one host while it lasts.
    pub(crate) fn settles(self) -> bool {
        self.what != What::Partition
    }

    /// By the protocol, from when it strikes.
    pub(crate) fn strike_bounds(self) -> Bounds {
        let silent = Bounds {
            outage: takeover(),
            twice: LEASE,
        };
        // A bow-out, or something put right at once.
        let at_once = Bounds {
            outage: Duration::ZERO,
            twice: INTERVAL,
        };
        match self.what {
            // carpd lives, and gives the addresses up at once.
            What::Cable(_) | What::Interface => Bounds {
                outage: takeover(),
                twice: INTERVAL,
            },
            What::Kill | What::KillAndBack | What::Hang | What::Nap => silent,
            What::Partition => Bounds {
                outage: Duration::ZERO,
                twice: Duration::MAX,
            },
            What::Stop
            | What::Restart
            | What::KeepRestart
            | What::Down
            | What::Destroy
            | What::Reload
            | What::Flush
            | What::Delete
            | What::Sysctls
            | What::Mtu
            | What::Mac
            | What::Force
            | What::Suppress
            | What::Noise
            | What::Passwords
            | What::BusRestart => at_once,
        }
    }

    /// By the protocol, from when it is mended: a better host preempts, or one of several masters
    /// yields, and nobody has to be waited for.
    pub(crate) const fn mend_bounds() -> Bounds {
        Bounds {
            outage: Duration::ZERO,
            twice: INTERVAL,
        }
    }

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
            What::Force => {
                let state = world.at(self.host)?.state(unit)?;
                let other = if state == "MASTER" {
                    "backup"
                } else {
                    "master"
                };
                carpctl(world, self.host, &format!("{unit} state {other}"))
            }
            What::Suppress => {
                let mut command = world.at(self.host)?.carpctl_command()?;
                command.args(["suppress", "--who", "soak", "--why", "it is tried out"]);
                command.args(["--", "sleep", "60"]);
                let holder = host.spawn("suppress", command)?;
                world.holders.push(holder);
                Ok(())
            }
            What::Noise => world.client.inject("eth0", &noise()),
            What::Passwords => {
                let [old, new] = PASSWORDS;
                change_password(world, old, new)
            }
            What::BusRestart => {
                world.bus = None;
                Ok(())
            }
            What::Partition => isolate(world, "on"),
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
            What::Suppress => {
                world.holders.clear();
                Ok(())
            }
            What::Passwords => {
                let [old, new] = PASSWORDS;
                change_password(world, new, old)
            }
            What::BusRestart => {
                world.bus = Some(Bus::start(&world.lab)?);
                Ok(())
            }
            What::Partition => isolate(world, "off"),
            What::KillAndBack
            | What::Nap
            | What::Restart
            | What::KeepRestart
            | What::Flush
            | What::Delete
            | What::Sysctls
            | What::Force
            | What::Noise => Ok(()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        if self.is_everywhere() {
            return f.write_str(kind);
        }
        let (name, _) = HOSTS.get(self.host).copied().unwrap_or_default();
        match self.what {
            What::Cable(interface) => write!(f, "{kind} ({name}, {interface})"),
            What::Down | What::Destroy | What::Force => write!(f, "{kind} ({name}, {})", self.unit),
            What::KillAndBack | What::Nap => write!(f, "{kind} ({name}, {:.1?})", self.time),
            What::Interface
            | What::Kill
            | What::Hang
            | What::Stop
            | What::Restart
            | What::KeepRestart
            | What::Reload
            | What::Flush
            | What::Delete
            | What::Sysctls
            | What::Mtu
            | What::Mac
            | What::Suppress
            | What::Noise
            | What::Passwords
            | What::BusRestart
            | What::Partition => write!(f, "{kind} ({name})"),
        }
    }
}

fn carpctl(world: &mut World, host: usize, line: &str) -> Result<()> {
    world.at(host)?.carpctl(line).map(drop)
}

fn stop(world: &mut World, host: usize) -> Result<()> {
    let status = world.at(host)?.stop()?;
    ensure!(status.success(), "carpd stopped with {status}");
    Ok(())
}

/// As the manual says: the new one is accepted everywhere, then sent everywhere, then alone.
fn change_password(world: &mut World, old: &str, new: &str) -> Result<()> {
    let steps = [
        format!("accept_pass {new}"),
        format!("pass {new} accept_pass {old}"),
        "-accept_pass".to_owned(),
    ];
    for step in steps {
        for host in 0..NUMBER {
            for unit in UNITS {
                carpctl(world, host, &format!("{unit} {step}"))?;
            }
        }
    }
    Ok(())
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
