//! Invariants under random hosts, faults and command lines.
//!
//! At each step the segment itself asserts that no deadline is in the past or stays due, that no counter
//! goes back, that each advertisement belongs to one configuration as a whole, and that sealed counters
//! grow.

use std::time::Duration;

use carp_proto::{Answer, HolderId, Request, StateName, Sysctl};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::segment::{ETH0, Faults, Segment};

const HOSTS: [&str; 4] = ["a", "b", "c", "d"];
const SETTINGS: &str = "carp0 vhid 1 pass secret 192.0.2.100/24 2001:db8::100/64";
const V4: &str = "192.0.2.100";
const V6: &str = "2001:db8::100";

/// A random event.
#[derive(Clone, Debug)]
enum Step {
    Run {
        millis: u64,
    },
    Cut {
        from: usize,
        to: usize,
        cut: bool,
    },
    Carrier {
        host: usize,
        carrier: bool,
    },
    Administrative {
        host: usize,
        up: bool,
    },
    Link {
        host: usize,
        up: bool,
    },
    PullOut {
        host: usize,
        out: bool,
    },
    Crash(usize),
    Freeze {
        host: usize,
        frozen: bool,
    },
    Clock {
        host: usize,
        seconds: i64,
    },
    Skew {
        host: usize,
        advskew: u8,
    },
    Force {
        host: usize,
        master: bool,
    },
    Preempt {
        host: usize,
        on: bool,
    },
    Suppress(usize),
    Release(usize),
    Mute {
        host: usize,
        mute: bool,
    },
    Address {
        added: bool,
    },
    Password(bool),
    /// An administrator changes advbase host by host.
    Base(u8),
    Replay {
        host: usize,
        mode: u64,
    },
    Faults {
        loss: u64,
        duplication: u64,
        millis: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let host = || 0..HOSTS.len();
    prop_oneof![
        6 => (1..9_000_u64).prop_map(|millis| Step::Run { millis }),
        2 => (host(), host(), any::<bool>())
            .prop_map(|(from, to, cut)| Step::Cut { from, to, cut }),
        2 => (host(), any::<bool>()).prop_map(|(host, carrier)| Step::Carrier { host, carrier }),
        2 => (host(), any::<bool>()).prop_map(|(host, up)| Step::Administrative { host, up }),
        1 => (host(), any::<bool>()).prop_map(|(host, up)| Step::Link { host, up }),
        1 => (host(), any::<bool>()).prop_map(|(host, out)| Step::PullOut { host, out }),
        1 => host().prop_map(Step::Crash),
        1 => (host(), any::<bool>()).prop_map(|(host, frozen)| Step::Freeze { host, frozen }),
        1 => (host(), -100_000..100_000_i64)
            .prop_map(|(host, seconds)| Step::Clock { host, seconds }),
        2 => (host(), 0..=254_u8).prop_map(|(host, advskew)| Step::Skew { host, advskew }),
        1 => (host(), any::<bool>()).prop_map(|(host, master)| Step::Force { host, master }),
        1 => (host(), any::<bool>()).prop_map(|(host, on)| Step::Preempt { host, on }),
        1 => host().prop_map(Step::Suppress),
        1 => host().prop_map(Step::Release),
        1 => (host(), any::<bool>()).prop_map(|(host, mute)| Step::Mute { host, mute }),
        1 => any::<bool>().prop_map(|added| Step::Address { added }),
        1 => any::<bool>().prop_map(Step::Password),
        1 => (1..=3_u8).prop_map(Step::Base),
        1 => (host(), 0..=1_u64).prop_map(|(host, mode)| Step::Replay { host, mode }),
        1 => (0..60_u64, 0..50_u64, 0..400_u64).prop_map(|(loss, duplication, millis)| {
            Step::Faults { loss, duplication, millis }
        }),
    ]
}

/// Hosts, and the holders of suppression on them.
struct World {
    segment: Segment,
    held: [Vec<HolderId>; HOSTS.len()],
}

impl World {
    fn new() -> Self {
        let mut segment = Segment::new(HOSTS);
        segment.ifconfig_all(SETTINGS);
        Self {
            segment,
            held: Default::default(),
        }
    }

    fn take(&mut self, step: &Step) {
        let segment = &mut self.segment;
        match *step {
            Step::Run { millis } => segment.run(Duration::from_millis(millis)),
            Step::Cut { from, to, cut } => segment.cut(HOSTS[from], HOSTS[to], cut),
            Step::Carrier { host, carrier } => segment.carrier(HOSTS[host], ETH0, carrier),
            Step::Administrative { host, up } => {
                let word = if up { "up" } else { "down" };
                segment
                    .ifconfig(HOSTS[host], &format!("carp0 {word}"))
                    .unwrap();
            }
            Step::Link { host, up } => segment.relink(HOSTS[host], |link| link.up = up),
            Step::PullOut { host, out } => segment.pull_out(HOSTS[host], out),
            Step::Crash(host) => self.crash(host),
            Step::Freeze { host, frozen } => segment.freeze(HOSTS[host], frozen),
            Step::Clock { host, seconds } => segment.step_clock(HOSTS[host], seconds * 1_000_000),
            Step::Skew { host, advskew } => {
                segment
                    .ifconfig(HOSTS[host], &format!("carp0 advskew {advskew}"))
                    .unwrap();
            }
            Step::Force { host, master } => {
                let state = if master { "master" } else { "backup" };
                // Refused in INIT.
                let _ = segment.ifconfig(HOSTS[host], &format!("carp0 state {state}"));
            }
            Step::Preempt { host, on } => {
                segment.sysctl(HOSTS[host], Sysctl::Preempt, on.into());
            }
            Step::Suppress(host) => {
                let (who, why) = ("holder".to_owned(), "a reason".to_owned());
                let answer = segment.request(host, &Request::Suppress { who, why });
                let Ok(Answer::Held(holder)) = answer else {
                    panic!("{answer:?}")
                };
                self.held[host].push(holder);
            }
            Step::Release(host) => {
                if let Some(holder) = self.held[host].pop() {
                    segment.request(host, &Request::Release(holder)).unwrap();
                }
            }
            Step::Mute { host, mute } => segment.mute(HOSTS[host], mute),
            Step::Address { added } => {
                let line = if added {
                    "carp0 192.0.2.50/24"
                } else {
                    "carp0 -alias 192.0.2.50"
                };
                for name in HOSTS {
                    // Refused if the host has it, or lacks it, already.
                    let _ = segment.ifconfig(name, line);
                }
            }
            Step::Password(other) => {
                let word = if other { "other" } else { "secret" };
                segment.ifconfig_all(&format!("carp0 pass {word}"));
            }
            Step::Base(advbase) => {
                for name in HOSTS {
                    let line = format!("carp0 advbase {advbase}");
                    segment.ifconfig(name, &line).unwrap();
                    segment.run(Duration::from_millis(300));
                }
            }
            Step::Replay { host, mode } => segment.sysctl(HOSTS[host], Sysctl::Replay, mode),
            Step::Faults {
                loss,
                duplication,
                millis,
            } => {
                let delay = Duration::from_millis(millis);
                segment.faults = Faults {
                    loss,
                    duplication,
                    delay,
                    ..Faults::default()
                };
            }
        }
        self.kernels_agree();
    }

    /// The power fails and returns. The same settings are made again.
    fn crash(&mut self, host: usize) {
        let segment = &mut self.segment;
        let unit = "carp0".parse().unwrap();
        let key = segment.engine(HOSTS[host]).key(unit).unwrap().clone();
        let word = String::from_utf8(key.bytes().to_vec()).unwrap();
        let status = segment.status(HOSTS[host], "carp0");
        segment.crash(HOSTS[host]);
        segment.boot(host);
        self.held[host].clear();
        segment.ifconfig(HOSTS[host], SETTINGS).unwrap();
        let line = format!("carp0 pass {word} advbase {}", status.advbase);
        segment.ifconfig(HOSTS[host], &line).unwrap();
        if status.addresses.len() == 3 {
            segment
                .ifconfig(HOSTS[host], "carp0 192.0.2.50/24")
                .unwrap();
        }
    }

    /// A kernel that has completed its work has the addresses exactly while MASTER.
    fn kernels_agree(&self) {
        for name in HOSTS {
            let status = self.segment.status(name, "carp0");
            let Some(held) = self.segment.held(name, "carp0") else {
                continue;
            };
            let expected: Vec<_> = match status.state {
                StateName::Master => status
                    .addresses
                    .iter()
                    .map(|each| each.address.address)
                    .collect(),
                StateName::Init | StateName::Backup => Vec::new(),
            };
            assert_eq!(held, expected, "{name} is {}", status.state.text());
        }
    }

    /// Stops all faults, except that the hosts stay cut into `parts`.
    fn heal(&mut self, parts: &[usize]) {
        let segment = &mut self.segment;
        segment.faults = Faults::default();
        for (host, name) in HOSTS.iter().enumerate() {
            segment.freeze(name, false);
            segment.mute(name, false);
            segment.pull_out(name, false);
            segment.relink(name, |link| {
                link.up = true;
                link.carrier = true;
            });
            for holder in std::mem::take(&mut self.held[host]) {
                segment.request(host, &Request::Release(holder)).unwrap();
            }
            for (other, to) in HOSTS.iter().enumerate() {
                segment.cut(name, to, parts[host] != parts[other]);
            }
        }
        // The longest time after which a host that could not send tries again.
        segment.run(Duration::from_secs(70));
    }
}

proptest! {
    #[test]
    fn hosts_that_hear_each_other_settle_on_one_master(
        steps in vec(step(), 0..60),
        parts in vec(0..3_usize, HOSTS.len()),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        world.heal(&parts);
        let segment = &mut world.segment;
        segment.log();
        segment.run(Duration::from_secs(60));
        prop_assert_eq!(segment.log(), [""; 0], "settled is settled");
        for part in 0..3 {
            let members: Vec<_> = (0..HOSTS.len()).filter(|host| parts[*host] == part).collect();
            let up = |host: &&usize| segment.status(HOSTS[**host], "carp0").up;
            let expected = usize::from(members.iter().any(|host| up(&host)));
            for address in [V4, V6] {
                let holders = segment.holders(address);
                let held = members.iter().filter(|host| holders.contains(&HOSTS[**host]));
                prop_assert_eq!(held.count(), expected, "{:?} of part {}", holders, part);
            }
        }
        for name in HOSTS {
            let left = segment.engine(name).suppressions().count();
            prop_assert_eq!(left, 0, "{} is still suppressed", name);
        }
        world.kernels_agree();
    }

    #[test]
    fn master_that_dies_is_replaced_in_time_by_a_fast_host(
        advbase in 0..=3_u8,
        skews in vec(0..=254_u8, HOSTS.len()),
        at in 12_000..16_000_u64,
    ) {
        let mut world = World::new();
        for (name, advskew) in HOSTS.iter().zip(&skews) {
            let line = format!("carp0 advbase {advbase} advskew {advskew}");
            world.segment.ifconfig(name, &line).unwrap();
        }
        world.segment.run(Duration::from_millis(at));
        let [master] = world.segment.masters("carp0")[..] else { panic!("no master") };
        world.segment.crash(master);
        let down_time = |name: &&str| {
            Duration::from_micros(world.segment.status(name, "carp0").master_down_micros)
        };
        let rest = HOSTS.iter().filter(|name| **name != master);
        let wait = rest.map(down_time).min().unwrap();
        prop_assert!(wait <= Duration::from_micros(4_000_000 * u64::from(advbase.max(1))));
        world.segment.run(wait + Duration::from_millis(1));
        prop_assert_eq!(world.segment.holders(V4).len(), 1);
        prop_assert!(!world.segment.holders(V4).contains(&master));
    }
}
