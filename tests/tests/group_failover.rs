//! The first example of carp(4): all groups of a host fail over together, as the clients on both
//! networks see it, in any order of events.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use carp_tests::{
    Carpd, Host, MARGIN, Pair, Ping, Process, REACTION_TIMEOUT, master_down, wait_until,
};

const GROUPS: [&str; 2] = ["carp0", "carp1"];

/// Both hosts with both groups, and a client on each network.
struct Site {
    pair: Pair,
    on_dmz: Host,
}

/// Pings of the virtual address on `lan` and of that on `dmz`.
struct Pings([Ping; 2]);

impl Site {
    fn new() -> Result<Self> {
        let pair = Pair::with_manual_group()?;
        let on_dmz = pair.lab.host("server", &[("dmz", "192.168.2.100/24")])?;
        Ok(Self { pair, on_dmz })
    }

    fn pings(&self) -> Result<Pings> {
        Ok(Pings([
            Ping::start(&self.pair.client, "192.168.1.1")?,
            Ping::start(&self.on_dmz, "192.168.2.1")?,
        ]))
    }

    /// Asserts that both groups are on their preferred host, and that nothing demotes A.
    fn is_as_at_first(&self) -> Result<()> {
        let Pair { a, b, .. } = &self.pair;
        for group in GROUPS {
            a.wait_for_state(group, "MASTER", master_down(1, 100))?;
            b.wait_for_state(group, "BACKUP", Duration::from_secs(1))?;
            assert_eq!(a.interface(group)?.effective_advskew, 0);
        }
        assert_eq!((count(a)?, count(b)?), (0, 0));
        self.pair.client_reaches("192.168.1.1")
    }
}

impl Pings {
    /// Returns the outage of each address because of `event`, once its consequences are over.
    fn outages_of(
        &self,
        event: impl FnOnce() -> Result<()>,
        settled: impl FnOnce() -> Result<()>,
    ) -> Result<[Duration; 2]> {
        let begin = SystemTime::now();
        event()?;
        settled()?;
        let end = SystemTime::now();
        let [lan, dmz] = &self.0;
        for ping in [lan, dmz] {
            ping.wait_for_reply_after(end, MARGIN)?;
        }
        Ok([lan.outage_since(begin)?, dmz.outage_since(begin)?])
    }
}

/// Returns `net.inet.carp.suppress_preempt`.
fn count(carpd: &Carpd) -> Result<u64> {
    let text = carpd.carpctl("sysctl -n net.inet.carp.suppress_preempt")?;
    text.trim().parse().context("a number")
}

/// Pulls one cable of A and plugs it in again. `broken` is the index of its network.
fn cable_out_and_back(interface: &str, broken: usize) -> Result<()> {
    let site = Site::new()?;
    let Pair { a, b, .. } = &site.pair;
    let pings = site.pings()?;
    let outages = pings.outages_of(
        || a.host().pull(interface),
        || {
            for group in GROUPS {
                b.wait_for_state(group, "MASTER", master_down(1, 100))?;
            }
            Ok(())
        },
    )?;
    println!("without answers for {outages:.2?} when the cable was pulled");
    let dead = GROUPS.get(broken).context("a group")?;
    for (place, (outage, group)) in outages.iter().zip(GROUPS).enumerate() {
        // On the dead cable B waits for the master's silence; on the other one A asks it to take
        // over.
        let (bound, state) = if place == broken {
            (master_down(1, 100) + MARGIN, "INIT")
        } else {
            (REACTION_TIMEOUT, "BACKUP")
        };
        ensure!(*outage < bound, "{group}: {outage:?}, at most {bound:?}");
        a.wait_for_state(group, state, Duration::ZERO)?;
    }
    let reason = a
        .interface(dead)?
        .last_transition
        .context("a transition")?
        .reason;
    assert_eq!(reason, "carrier-lost");
    assert_eq!((count(a)?, count(b)?), (1, 0));

    let outages = pings.outages_of(|| a.host().plug(interface), || site.is_as_at_first())?;
    println!("without answers for {outages:.2?} when it was plugged in again");
    ensure!(
        outages.iter().all(|outage| *outage < REACTION_TIMEOUT),
        "{outages:?}"
    );
    Ok(())
}

#[test]
fn first_cable_moves_both_groups_and_brings_them_back() -> Result<()> {
    cable_out_and_back("eth0", 0)
}

#[test]
fn second_cable_moves_both_groups_and_brings_them_back() -> Result<()> {
    cable_out_and_back("eth1", 1)
}

#[test]
fn demoted_host_without_preempt_gives_way_and_does_not_return() -> Result<()> {
    let site = Site::new()?;
    let Pair { a, b, .. } = &site.pair;
    for carpd in [a, b] {
        carpd.carpctl("sysctl net.inet.carp.preempt=0")?;
    }
    a.host().pull("eth0")?;
    for group in GROUPS {
        b.wait_for_state(group, "MASTER", master_down(1, 100))?;
    }
    a.host().plug("eth0")?;
    wait_until("nothing is suppressed", MARGIN, || {
        Ok((count(a)? == 0).then_some(()))
    })?;
    for group in GROUPS {
        a.wait_for_counter(group, "ipackets", 3)?;
        assert_eq!(
            (a.state(group)?.as_str(), b.state(group)?.as_str()),
            ("BACKUP", "MASTER")
        );
    }

    // Each host decides by its own preempt: A takes back the groups that it is preferred for.
    a.carpctl("sysctl net.inet.carp.preempt=1")?;
    site.is_as_at_first()
}

/// An event on A.
enum Step {
    Pull(&'static str),
    Plug(&'static str),
    Carpctl(&'static str),
    Host(&'static str),
    Hold,
    Release,
}

#[test]
fn suppression_count_returns_to_zero_in_any_order_of_events() -> Result<()> {
    use Step::{Carpctl, Hold, Host, Plug, Pull, Release};
    let site = Site::new()?;
    let a = &site.pair.a;
    let stories: [&[(Step, u64)]; 7] = [
        &[
            (Pull("eth0"), 1),
            (Pull("eth1"), 2),
            (Plug("eth0"), 1),
            (Plug("eth1"), 0),
        ],
        &[
            (Pull("eth1"), 1),
            (Pull("eth0"), 2),
            (Plug("eth0"), 1),
            (Plug("eth1"), 0),
        ],
        // An interface that is down does not count.
        &[
            (Pull("eth0"), 1),
            (Carpctl("carp0 down"), 0),
            (Carpctl("carp0 up"), 1),
            (Carpctl("carp0 down"), 0),
            (Plug("eth0"), 0),
            (Carpctl("carp0 up"), 0),
        ],
        &[
            (Pull("eth0"), 1),
            (Carpctl("carp0 destroy"), 0),
            (Plug("eth0"), 0),
            (
                Carpctl("carp0 create vhid 1 pass mekmitasdigoat 192.168.1.1/24"),
                0,
            ),
        ],
        // The interface itself, and both at once.
        &[
            (Host("ip link set eth1 down"), 1),
            (Pull("eth1"), 1),
            (Host("ip link set eth1 up"), 1),
            (Plug("eth1"), 0),
        ],
        &[
            (Pull("eth0"), 1),
            (Carpctl("carp0 carpdev eth1"), 0),
            (Carpctl("carp0 carpdev eth0"), 1),
            (Plug("eth0"), 0),
            (Carpctl("carp0 -carpdev"), 0),
        ],
        &[
            (Hold, 1),
            (Pull("eth0"), 2),
            (Carpctl("sysctl net.inet.carp.preempt=0"), 2),
            (Release, 1),
            (Hold, 2),
            (Plug("eth0"), 1),
            (Carpctl("sysctl net.inet.carp.preempt=1"), 1),
            (Release, 0),
        ],
    ];
    for (number, story) in stories.into_iter().enumerate() {
        let mut holder: Option<Process> = None;
        for (place, (step, expected)) in story.iter().enumerate() {
            match step {
                Pull(interface) => a.host().pull(interface)?,
                Plug(interface) => a.host().plug(interface)?,
                // It may warn that the interface stays in INIT.
                Carpctl(line) => {
                    let outcome = a.try_carpctl(line)?;
                    ensure!(outcome.code == 0, "carpctl {line}: {outcome:?}");
                }
                Host(line) => drop(a.host().run(line)?),
                Hold => {
                    let mut command = a.carpctl_command()?;
                    command.args(["suppress", "--who", "conntrackd", "--why", "not in sync"]);
                    command.args(["--", "sleep", "600"]);
                    holder = Some(a.host().spawn("suppress", command)?);
                }
                Release => drop(holder.take()),
            }
            let what = format!("step {} of story {number}: {expected}", place + 1);
            wait_until(&what, MARGIN, || Ok((count(a)? == *expected).then_some(())))
                .with_context(|| format!("it is {}", count(a).unwrap_or(u64::MAX)))?;
        }
        site.is_as_at_first()
            .with_context(|| format!("after story {number}"))?;
    }
    Ok(())
}
