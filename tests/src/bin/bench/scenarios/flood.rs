//! A flood of advertisements of virtual host 1 that are well-formed but for their digest (CARP) or
//! their checksum (VRRP).

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::addresses::{Group, Place};
use crate::capture::{Capture, Seen, now};
use crate::engine::Engine;
use crate::figures::Id;
use crate::frames::{Content, forged_carp, forged_vrrp};
use crate::node::{Node, Plan};
use crate::scenario::{Outcome, Size};
use crate::testbed::Testbed;
use crate::usage;

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Rate and time for all engines.
const BAD: (u32, Duration) = (20_000, Duration::from_secs(5));

/// Rate and time for carpd.
const HEAVY: (u32, Duration) = (100_000, Duration::from_secs(10));

/// Interval of the advertisements of a master with `advbase 1`, `advskew 0`.
const INTERVAL: Duration = Duration::from_secs(1);

/// Time that frames may wait behind the flood.
const DRAIN_TIME: Duration = Duration::from_millis(1500);

pub(crate) fn bad(engine: Engine, size: Size, out: &mut Outcome) -> Result<()> {
    let (rate, span) = BAD;
    let flood = Flood::run(engine, size.count(16), rate, size.time(span))?;
    out.add(Id::BadTwoMasters, flood.second_masters());
    out.add(Id::BadLog, flood.logged);
    Ok(())
}

pub(crate) fn heavy(engine: Engine, size: Size, out: &mut Outcome) -> Result<()> {
    let (rate, span) = HEAVY;
    let flood = Flood::run(engine, size.count(64), rate, size.time(span))?;
    out.add(Id::FloodRate, flood.rate);
    out.add(Id::FloodTakeovers, flood.second_masters());
    out.add_time(
        Id::FloodLate,
        flood.lateness().context("no advertisements")?,
    );
    out.add(Id::FloodMaster, flood.master);
    out.add(Id::FloodBackup, flood.backup);
    Ok(())
}

struct Flood {
    /// Frames sent per second.
    rate: f64,
    /// Processors.
    master: f64,
    backup: f64,
    /// Bytes of log of both hosts together.
    logged: f64,
    seen: Vec<Seen>,
}

impl Flood {
    fn run(engine: Engine, hosts: u8, rate: u32, span: Duration) -> Result<Self> {
        let testbed = Testbed::new(1)?;
        let plan = Plan::of(Group::all(1, hosts));
        let a = Node::start(engine, &testbed, Place::A, &plan)?;
        testbed.wait_until_answered(engine, Place::A, &plan.groups, START_TIMEOUT)?;
        let b = Node::start(engine, &testbed, Place::B, &plan)?;
        b.wait_until_calm()?;
        thread::sleep(DRAIN_TIME);
        let (master, backup) = (a.processes(), b.processes());
        let used = || (usage::time(&master), usage::time(&backup));
        let logged = || Ok::<_, anyhow::Error>(a.logged()? + b.logged()?);

        // At the hosts: the switch drops frames under the flood.
        let captures = [
            Capture::open_outgoing(&testbed.a, "eth0")?,
            Capture::open_outgoing(&testbed.b, "eth0")?,
        ];
        let (begin, before, logged_before) = (now(), used(), logged()?);
        let flooded = testbed
            .client
            .flood("eth0", &[forged(engine)?], rate, span)?;
        let sent = flooded.finish()?;
        let (after, took) = (used(), now().saturating_sub(begin).as_secs_f64());
        thread::sleep(DRAIN_TIME);
        let written = u32::try_from(logged()?.saturating_sub(logged_before))?;
        Ok(Self {
            rate: sent.rate(),
            master: after.0.saturating_sub(before.0).as_secs_f64() / took,
            backup: after.1.saturating_sub(before.1).as_secs_f64() / took,
            logged: written.into(),
            seen: captures
                .iter()
                .flat_map(|capture| capture.since(begin))
                .collect(),
        })
    }

    /// Returns the number of virtual hosts that B advertised while A was there.
    fn second_masters(&self) -> f64 {
        let of_b = self.advertisements(Place::B).map(|(vhid, _)| vhid);
        let count = of_b.collect::<BTreeSet<u8>>().len();
        u32::try_from(count).map_or(f64::INFINITY, f64::from)
    }

    /// Returns the 99th percentile of the delay of A's advertisements, beyond an interval after the
    /// one before.
    fn lateness(&self) -> Option<Duration> {
        let mut last = BTreeMap::new();
        let mut late: Vec<Duration> = self
            .advertisements(Place::A)
            .filter_map(|(vhid, at)| Some(at.saturating_sub(last.insert(vhid, at)?)))
            .map(|gap| gap.saturating_sub(INTERVAL))
            .collect();
        late.sort_unstable();
        late.get((late.len() * 99 / 100).min(late.len().checked_sub(1)?))
            .copied()
    }

    fn advertisements(&self, place: Place) -> impl Iterator<Item = (u8, Duration)> {
        self.seen.iter().filter_map(move |seen| match seen.what {
            Content::Advertisement { vhid, source } if source == place.address(0) => {
                Some((vhid, seen.at))
            }
            Content::Advertisement { .. } | Content::Arp { .. } | Content::EchoReply { .. } => None,
        })
    }
}

/// Returns well-formed advertisements of virtual host 1 with a wrong digest or checksum.
fn forged(engine: Engine) -> Result<Vec<u8>> {
    let source = "10.0.0.66".parse()?;
    let group = Group {
        interface: 0,
        vhid: 1,
    };
    Ok(if engine.speaks_carp() {
        forged_carp(source, group.vhid)
    } else {
        forged_vrrp(source, group.vhid, group.address())
    })
}
