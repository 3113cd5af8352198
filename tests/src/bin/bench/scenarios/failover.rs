//! One virtual host: its master is stopped, returns, and dies, while a client pings.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Outcome, Size};
use crate::bed::{Bed, Group, Place};
use crate::figures::Id;
use crate::node::{Engine, Node, Plan};
use crate::ping::{Pinger, outage};
use crate::tap::{Tap, now};

/// Time in which any engine takes over.
const BOUND: Duration = Duration::from_secs(15);

/// Time in which the consequences of a takeover show.
const REST: Duration = Duration::from_millis(1500);

/// Part of the interval after which a master dies.
const AFTER_ADVERTISEMENT: Duration = Duration::from_millis(100);

const GROUP: Group = Group {
    interface: 0,
    vhid: 1,
};

struct Scene<'a> {
    tap: &'a Tap,
    pinger: &'a Pinger,
}

pub(crate) fn run(engine: Engine, _: Size, out: &mut Outcome) -> Result<()> {
    let bed = Bed::new(1)?;
    let plan = Plan::of(vec![GROUP]);
    let mut a = Node::start(engine, &bed, Place::A, &plan)?;
    bed.wait_until_answered(engine, Place::A, &plan.groups, BOUND)?;
    let mut b = Node::start(engine, &bed, Place::B, &plan)?;
    b.wait_until_calm()?;
    let (tap, pinger) = (
        Tap::open(&bed.client, "eth0")?,
        Pinger::start(&bed.client, GROUP.address())?,
    );
    let scene = Scene {
        tap: &tap,
        pinger: &pinger,
    };
    // An interval and more: B has heard A.
    thread::sleep(REST);

    let begin = now();
    a.ask_to_end()?;
    scene.settled(Place::B, begin)?;
    let (gap, lost) = scene.outage(begin)?;
    out.add_time(Id::PlannedOutage, gap);
    out.add(Id::PlannedLost, lost);
    a.wait_for_end()?;

    let begin = now();
    let a = Node::start(engine, &bed, Place::A, &plan)?;
    let (advertised, announced) = scene.settled(Place::A, begin)?;
    let preempted = tap.last_advertisement(Place::B.address(0), advertised)?;
    let (gap, lost) = scene.outage(begin)?;
    out.add_time(Id::ReturnTakeover, announced.saturating_sub(begin));
    out.add_time(Id::FailbackTakeover, announced.saturating_sub(preempted));
    out.add_time(Id::FailbackOutage, gap);
    out.add(Id::FailbackLost, lost);

    // Always at the same moment of the interval, which would otherwise decide the outage.
    let host = Place::A.address(0);
    tap.wait_for("A advertises", now(), BOUND, |seen| {
        seen.is_advertisement_of(host)
    })?;
    thread::sleep(AFTER_ADVERTISEMENT);
    let begin = now();
    bed.cut(Place::A)?;
    let (advertised, _) = scene.settled(Place::B, begin)?;
    let heard = tap.last_advertisement(host, advertised)?;
    // A's port is dead: answers for the address come from B.
    let alive = begin + Duration::from_millis(100);
    let located = tap.wait_for("B speaks for the address", alive, BOUND, |seen| {
        seen.locates(GROUP.address())
    })?;
    out.add_time(Id::UnplannedTakeover, located.saturating_sub(heard));
    out.add_time(Id::UnplannedOutage, scene.outage(begin)?.0);
    b.ask_to_end()?;
    drop(a);
    Ok(())
}

impl Scene<'_> {
    /// Returns when a host first advertised since `begin`, and when it first announced the address,
    /// after waiting for the consequences.
    fn settled(&self, place: Place, begin: Duration) -> Result<(Duration, Duration)> {
        let host = place.address(0);
        let advertised =
            self.tap
                .wait_for(&format!("{place:?} advertises"), begin, BOUND, |seen| {
                    seen.is_advertisement_of(host)
                })?;
        let announced =
            self.tap
                .wait_for("the address is announced", advertised, BOUND, |seen| {
                    seen.announces(GROUP.address())
                })?;
        thread::sleep(REST);
        Ok((advertised, announced))
    }

    /// Returns the longest gap since `begin`, and the lost pings until a moment ago.
    fn outage(&self, begin: Duration) -> Result<(Duration, f64)> {
        const UNDERWAY: Duration = Duration::from_millis(200);
        let before = begin.saturating_sub(REST);
        let seen = self.tap.since(before);
        let lost = self.pinger.lost(
            begin.saturating_sub(UNDERWAY),
            now().saturating_sub(UNDERWAY),
            &seen,
        );
        let gap = outage(begin, &seen).context("no reply after the takeover")?;
        Ok((gap, lost.into()))
    }
}
