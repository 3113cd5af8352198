//! Two hosts with two interfaces each: the host with fewer problems is MASTER of both groups.

use std::time::Duration;

use carp_proto::{Answer, HolderId, IfIndex, Request, Sysctl};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::segment::{ETH0, ETH1, Segment};

const HOSTS: [&str; 2] = ["a", "b"];
const WIRES: [IfIndex; 2] = [ETH0, ETH1];
const ADDRESSES: [&str; 2] = ["192.0.2.100", "198.51.100.100"];

/// A random event.
#[derive(Clone, Copy, Debug)]
enum Step {
    Run {
        millis: u64,
    },
    Carrier {
        host: usize,
        wire: usize,
        carrier: bool,
    },
    Crash(usize),
    Suppress {
        host: usize,
        on: bool,
    },
    Mute {
        host: usize,
        mute: bool,
    },
    Vhid {
        wire: usize,
        vhid: u8,
    },
    Preempt {
        host: usize,
        on: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let host = || 0..HOSTS.len();
    let wire = || 0..WIRES.len();
    prop_oneof![
        5 => (1..6_000_u64).prop_map(|millis| Step::Run { millis }),
        4 => (host(), wire(), any::<bool>())
            .prop_map(|(host, wire, carrier)| Step::Carrier { host, wire, carrier }),
        1 => host().prop_map(Step::Crash),
        2 => (host(), any::<bool>()).prop_map(|(host, on)| Step::Suppress { host, on }),
        1 => (host(), any::<bool>()).prop_map(|(host, mute)| Step::Mute { host, mute }),
        1 => (wire(), 1..=255_u8).prop_map(|(wire, vhid)| Step::Vhid { wire, vhid }),
        1 => (host(), any::<bool>()).prop_map(|(host, on)| Step::Preempt { host, on }),
    ]
}

/// Second example of carp(4), with the problems of each host.
struct World {
    segment: Segment,
    vhids: [u8; WIRES.len()],
    pulled: [[bool; WIRES.len()]; HOSTS.len()],
    held: [Option<HolderId>; HOSTS.len()],
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            segment: Segment::with_two_wires(HOSTS),
            vhids: [1, 2],
            pulled: Default::default(),
            held: Default::default(),
        };
        for host in 0..HOSTS.len() {
            world.configure(host);
        }
        world
    }

    fn configure(&mut self, host: usize) {
        let advskew = host * 100;
        self.segment.sysctl(HOSTS[host], Sysctl::Preempt, 1);
        for (unit, address) in ADDRESSES.iter().enumerate() {
            let vhid = self.vhids[unit];
            let line = format!("carp{unit} vhid {vhid} advskew {advskew} pass secret {address}/24");
            self.segment.ifconfig(HOSTS[host], &line).unwrap();
        }
    }

    fn take(&mut self, step: Step) {
        let segment = &mut self.segment;
        match step {
            Step::Run { millis } => segment.run(Duration::from_millis(millis)),
            Step::Carrier {
                host,
                wire,
                carrier,
            } => {
                self.pulled[host][wire] = !carrier;
                segment.carrier(HOSTS[host], WIRES[wire], carrier);
            }
            Step::Crash(host) => {
                segment.crash(HOSTS[host]);
                segment.boot(host);
                self.held[host] = None;
                self.configure(host);
            }
            Step::Suppress { host, on: true } => {
                if self.held[host].is_none() {
                    let (who, why) = ("pfsync".to_owned(), "not in sync".to_owned());
                    let answer = segment.request(host, &Request::Suppress { who, why });
                    let Ok(Answer::Held(holder)) = answer else {
                        panic!("{answer:?}")
                    };
                    self.held[host] = Some(holder);
                }
            }
            Step::Suppress { host, on: false } => {
                if let Some(holder) = self.held[host].take() {
                    segment.request(host, &Request::Release(holder)).unwrap();
                }
            }
            Step::Mute { host, mute } => segment.mute(HOSTS[host], mute),
            Step::Vhid { wire, vhid } => {
                self.vhids[wire] = vhid;
                segment.ifconfig_all(&format!("carp{wire} vhid {vhid}"));
            }
            Step::Preempt { host, on } => segment.sysctl(HOSTS[host], Sysctl::Preempt, on.into()),
        }
    }

    /// Number of problems of a host.
    fn problems(&self, host: usize) -> usize {
        let pulled = self.pulled[host].iter().filter(|pulled| **pulled).count();
        pulled + usize::from(self.held[host].is_some())
    }

    /// Hosts that may be MASTER on a wire: those with carrier and fewest problems. Of hosts without problems
    /// it is the faster one; with problems, all advertise the same advskew.
    fn candidates(&self, wire: usize) -> Vec<&'static str> {
        let plugged = || (0..HOSTS.len()).filter(|host| !self.pulled[*host][wire]);
        let fewest = plugged().map(|host| self.problems(host)).min();
        let best = plugged().filter(|host| Some(self.problems(*host)) == fewest);
        let most = if fewest == Some(0) { 1 } else { HOSTS.len() };
        best.take(most).map(|host| HOSTS[host]).collect()
    }
}

/// Few cases, because each takes minutes of simulated time.
fn fewer_cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: default.cases / 4,
        ..default
    }
}

proptest! {
    #![proptest_config(fewer_cases())]

    #[test]
    fn host_with_fewest_problems_is_master_of_each_group(steps in vec(step(), 0..40)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        for name in HOSTS {
            world.segment.sysctl(name, Sysctl::Preempt, 1);
            world.segment.mute(name, false);
        }
        world.segment.run(Duration::from_secs(30));
        // A host that could not send shows that it can, if it has a reason to send.
        for host in HOSTS {
            let down: Vec<_> = HOSTS.into_iter().filter(|name| *name != host).collect();
            for unit in 0..WIRES.len() {
                for name in &down {
                    world.segment.ifconfig(name, &format!("carp{unit} down")).unwrap();
                }
                world.segment.run(Duration::from_secs(20));
                for name in &down {
                    world.segment.ifconfig(name, &format!("carp{unit} up")).unwrap();
                }
                world.segment.run(Duration::from_secs(20));
            }
        }
        for (host, name) in HOSTS.iter().enumerate() {
            let count = world.segment.engine(name).get(Sysctl::SuppressPreempt);
            prop_assert_eq!(count, world.problems(host) as u64, "{}", name);
        }
        world.segment.log();
        world.segment.run(Duration::from_secs(30));
        prop_assert_eq!(world.segment.log(), [""; 0]);
        for (wire, address) in ADDRESSES.iter().enumerate() {
            let (holders, candidates) = (world.segment.holders(address), world.candidates(wire));
            prop_assert_eq!(holders.len(), candidates.len().min(1), "{}", address);
            prop_assert!(
                holders.iter().all(|holder| candidates.contains(holder)),
                "{} is at {:?} and not at {:?}", address, holders, candidates
            );
        }
    }
}
