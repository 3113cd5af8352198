//! One virtual host: its master is stopped, returns, and dies, while a client pings.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::addresses::{Group, Place};
use crate::capture::{Capture, now};
use crate::engine::Engine;
use crate::figures::Id;
use crate::node::{Node, Plan};
use crate::ping::{Pinger, outage};
use crate::scenario::{Outcome, Size};
use crate::testbed::Testbed;

/// Time in which any engine takes over.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(15);

/// Time in which the consequences of a takeover show.
const SETTLE_TIME: Duration = Duration::from_millis(1500);

/// Part of the interval after which a master dies.
const AFTER_ADVERTISEMENT: Duration = Duration::from_millis(100);

const GROUP: Group = Group {
    interface: 0,
    vhid: 1,
};

struct Scene<'a> {
    capture: &'a Capture,
    pinger: &'a Pinger,
}

pub(crate) fn run(engine: Engine, _: Size, out: &mut Outcome) -> Result<()> {
    let testbed = Testbed::new(1)?;
    let plan = Plan::of(vec![GROUP]);
    let mut a = Node::start(engine, &testbed, Place::A, &plan)?;
    testbed.wait_until_answered(engine, Place::A, &plan.groups, TAKEOVER_TIMEOUT)?;
    let mut b = Node::start(engine, &testbed, Place::B, &plan)?;
    b.wait_until_calm()?;
    let (capture, pinger) = (
        Capture::open(&testbed.client, "eth0")?,
        Pinger::start(&testbed.client, GROUP.address())?,
    );
    let scene = Scene {
        capture: &capture,
        pinger: &pinger,
    };
    // An interval and more: B has heard A.
    thread::sleep(SETTLE_TIME);

    let begin = now();
    a.ask_to_end()?;
    scene.settled(Place::B, begin)?;
    let (gap, lost) = scene.outage(begin)?;
    out.add_time(Id::PlannedOutage, gap);
    out.add(Id::PlannedLost, lost);
    a.wait_for_end()?;

    let begin = now();
    let a = Node::start(engine, &testbed, Place::A, &plan)?;
    let (advertised, announced) = scene.settled(Place::A, begin)?;
    let preempted = capture.last_advertisement(Place::B.address(0), advertised)?;
    let (gap, lost) = scene.outage(begin)?;
    out.add_time(Id::ReturnTakeover, announced.saturating_sub(begin));
    out.add_time(Id::FailbackTakeover, announced.saturating_sub(preempted));
    out.add_time(Id::FailbackOutage, gap);
    out.add(Id::FailbackLost, lost);

    // Always at the same moment of the interval, which would otherwise decide the outage.
    let host = Place::A.address(0);
    capture.wait_for("A advertises", now(), TAKEOVER_TIMEOUT, |seen| {
        seen.is_advertisement_of(host)
    })?;
    thread::sleep(AFTER_ADVERTISEMENT);
    let begin = now();
    testbed.cut(Place::A)?;
    let (advertised, _) = scene.settled(Place::B, begin)?;
    let heard = capture.last_advertisement(host, advertised)?;
    // A's port is dead: answers for the address come from B.
    let alive = begin + Duration::from_millis(100);
    let located = capture.wait_for(
        "B answers for the address",
        alive,
        TAKEOVER_TIMEOUT,
        |seen| seen.locates(GROUP.address()),
    )?;
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
        let advertised = self.capture.wait_for(
            &format!("{place:?} advertises"),
            begin,
            TAKEOVER_TIMEOUT,
            |seen| seen.is_advertisement_of(host),
        )?;
        let announced = self.capture.wait_for(
            "the address is announced",
            advertised,
            TAKEOVER_TIMEOUT,
            |seen| seen.announces(GROUP.address()),
        )?;
        thread::sleep(SETTLE_TIME);
        Ok((advertised, announced))
    }

    /// Returns the longest gap since `begin`, and the lost pings until a moment ago.
    fn outage(&self, begin: Duration) -> Result<(Duration, f64)> {
        const UNDERWAY: Duration = Duration::from_millis(200);
        let before = begin.saturating_sub(SETTLE_TIME);
        let seen = self.capture.since(before);
        let lost = self.pinger.lost(
            begin.saturating_sub(UNDERWAY),
            now().saturating_sub(UNDERWAY),
            &seen,
        );
        let gap = outage(begin, &seen).context("no reply after the takeover")?;
        Ok((gap, lost.into()))
    }
}
