//! 16 virtual hosts with `advbase 0` and `advskew` 1 to 10: how exactly a dead master is replaced,
//! and how often a busy machine makes a backup take its master for dead.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::addresses::{Group, Place};
use crate::capture::{Capture, Seen, now};
use crate::engine::Engine;
use crate::figures::Id;
use crate::frames::Content;
use crate::node::{Node, Plan};
use crate::scenario::{Outcome, Size};
use crate::testbed::Testbed;

const HOSTS: u8 = 16;
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(15);

/// Time for which false takeovers are counted.
const OBSERVATION_TIME: Duration = Duration::from_secs(300);

/// Number of deaths of the master.
const DEATHS: usize = 5;

pub(crate) fn run(engine: Engine, size: Size, out: &mut Outcome) -> Result<()> {
    for _ in 0..size
        .count(DEATHS)
        .min(if size == Size::Smoke { 1 } else { DEATHS })
    {
        die(engine, out)?;
    }
    let watched = size.time(OBSERVATION_TIME);
    watch(engine, &[], watched, [Id::FalsePlain, Id::LatePlain], out)?;
    let realtime = ["--realtime"];
    watch(
        engine,
        &realtime,
        watched,
        [Id::FalseRealtime, Id::LateRealtime],
        out,
    )
}

/// Returns 1 to 10, and again from 1.
fn advskew(group: Group) -> u8 {
    (group.vhid - 1) % 10 + 1
}

/// Returns the interval of a virtual host; a backup waits for three of them.
fn interval(vhid: u8) -> Duration {
    let skew = advskew(Group { interface: 0, vhid });
    Duration::from_secs(1) * u32::from(skew) / 256
}

fn plan(arguments: &[&str]) -> Plan {
    Plan {
        groups: Group::all(1, HOSTS),
        advbase: 0,
        advskew: Some(advskew),
        arguments: arguments.iter().map(ToString::to_string).collect(),
    }
}

/// Starts A as master of all; B, whose address is the lower one, stays backup.
fn pair(engine: Engine, testbed: &Testbed, plan: &Plan) -> Result<[Node; 2]> {
    let a = Node::start(engine, testbed, Place::A, plan)?;
    testbed.wait_until_answered(engine, Place::A, &plan.groups, TAKEOVER_TIMEOUT)?;
    let b = Node::start(engine, testbed, Place::B, plan)?;
    thread::sleep(Duration::from_secs(1));
    Ok([a, b])
}

fn die(engine: Engine, out: &mut Outcome) -> Result<()> {
    let testbed = Testbed::new(1)?;
    let plan = plan(&[]);
    let _nodes = pair(engine, &testbed, &plan)?;
    let capture = Capture::open(&testbed.client, "eth0")?;
    thread::sleep(Duration::from_millis(300));
    let begin = now();
    testbed.cut(Place::A)?;
    let mut worst = Duration::ZERO;
    for group in &plan.groups {
        let address = group.address();
        let announced = capture.wait_for(
            &format!("{address} is announced"),
            begin,
            TAKEOVER_TIMEOUT,
            |seen| seen.announces(address),
        )?;
        let seen = capture.since(Duration::ZERO);
        let last = seen
            .iter()
            .filter(|each| vhid_from(each, Place::A) == Some(group.vhid))
            .map(|each| each.at)
            .max()
            .context("A has not advertised")?;
        let took = announced.saturating_sub(last);
        worst = worst.max(took.saturating_sub(interval(group.vhid) * 3));
    }
    out.add_time(Id::SubsecondExcess, worst);
    Ok(())
}

fn watch(
    engine: Engine,
    arguments: &[&str],
    span: Duration,
    [takeovers, late]: [Id; 2],
    out: &mut Outcome,
) -> Result<()> {
    let testbed = Testbed::new(1)?;
    let mut nodes = pair(engine, &testbed, &plan(arguments))?;
    let (capture, sent) = (
        Capture::open(&testbed.client, "eth0")?,
        Capture::open_outgoing(&testbed.a, "eth0")?,
    );
    let busy = Busy::start()?;
    thread::sleep(span);
    drop(busy);
    let seen = capture.since(Duration::ZERO);
    for node in &mut nodes {
        node.check_alive()?;
    }
    out.add(takeovers, count_takeovers(&seen).into());
    let sent = lateness(&sent.since(Duration::ZERO));
    out.add_time(late, sent.into_iter().max().unwrap_or_default());
    Ok(())
}

/// Returns how often B has advertised a virtual host that A advertised before.
fn count_takeovers(seen: &[Seen]) -> u32 {
    let mut masters: BTreeMap<u8, Place> = BTreeMap::new();
    let mut count = 0;
    for each in seen {
        for place in [Place::A, Place::B] {
            if let Some(vhid) = vhid_from(each, place) {
                let before = masters.insert(vhid, place);
                if place == Place::B && before != Some(Place::B) {
                    count += 1;
                }
            }
        }
    }
    count
}

/// Returns the delay of each of A's advertisements, beyond its interval after the one before.
fn lateness(seen: &[Seen]) -> Vec<Duration> {
    let mut last: BTreeMap<u8, Duration> = BTreeMap::new();
    let mut late = Vec::new();
    for each in seen {
        if let Some(vhid) = vhid_from(each, Place::A)
            && let Some(before) = last.insert(vhid, each.at)
        {
            let gap = each.at.saturating_sub(before);
            late.push(gap.saturating_sub(interval(vhid)));
        }
    }
    late
}

fn vhid_from(seen: &Seen, place: Place) -> Option<u8> {
    match seen.what {
        Content::Advertisement { vhid, source } if source == place.address(0) => Some(vhid),
        Content::Advertisement { .. } | Content::Arp { .. } | Content::EchoReply { .. } => None,
    }
}

/// A thread for each processor that keeps it busy, at normal priority.
struct Busy {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Busy {
    fn start() -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..thread::available_parallelism()?.get()).map(|_| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        });
        Ok(Self {
            threads: threads.collect(),
            stop,
        })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advertisement(at: u64, place: Place) -> Seen {
        let source = place.address(0);
        Seen {
            at: Duration::from_millis(at),
            what: Content::Advertisement { vhid: 1, source },
        }
    }

    #[test]
    fn a_takeover_is_counted_once_and_again_after_the_master_is_back() {
        let [a, b] = [Place::A, Place::B];
        let story = [a, a, b, b, a, b].map(|place| advertisement(0, place));
        assert_eq!(count_takeovers(&story), 2);
    }

    #[test]
    fn lateness_is_what_goes_beyond_the_interval() {
        let story = [0, 4, 10].map(|at| advertisement(at, Place::A));
        let interval = Duration::from_nanos(3_906_250);
        let expected = [4, 6].map(|gap| Duration::from_millis(gap).saturating_sub(interval));
        assert_eq!(lateness(&story), expected);
    }
}
