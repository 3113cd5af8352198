//! 255 virtual hosts on one interface: their cost without events, the death of their master, and
//! the stop of the new one. The death also with 1,020 on four interfaces.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::addresses::{Group, Place};
use crate::capture::now;
use crate::engine::Engine;
use crate::figures::Id;
use crate::node::{Node, Plan};
use crate::probe::Probe;
use crate::scenario::{Outcome, Size};
use crate::testbed::{Testbed, targets};
use crate::usage;

/// Time in which any engine starts; ucarp runs a script for each address.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Time for which the steady state is measured.
const STEADY_TIME: Duration = Duration::from_secs(8);

/// Answers that come later than this after the end of the daemon count as they are.
const DRAIN_TIME: Duration = Duration::from_secs(1);

pub(crate) fn run(engine: Engine, size: Size, out: &mut Outcome) -> Result<()> {
    let testbed = Testbed::new(1)?;
    let plan = Plan::of(Group::all(1, size.count(255)));
    let [a, mut b] = pair(engine, &testbed, &plan)?;
    watch(&a, &b, size.time(STEADY_TIME), out)?;
    out.add_time(Id::Storm255, takeover(engine, &testbed, &plan)?);
    drop(a);
    b.wait_until_calm()?;
    out.add_time(Id::Leave255, leave(engine, &testbed, &plan, &mut b)?);
    Ok(())
}

/// The same death with four interfaces.
pub(crate) fn storm(engine: Engine, size: Size, out: &mut Outcome) -> Result<()> {
    let testbed = Testbed::new(4)?;
    let plan = Plan::of(Group::all(4, size.count(255)));
    let _nodes = pair(engine, &testbed, &plan)?;
    out.add_time(Id::Storm1020, takeover(engine, &testbed, &plan)?);
    Ok(())
}

/// Starts A as master of all and B as backup, and waits until both are at rest.
fn pair(engine: Engine, testbed: &Testbed, plan: &Plan) -> Result<[Node; 2]> {
    let a = Node::start(engine, testbed, Place::A, plan)?;
    testbed.wait_until_answered(engine, Place::A, &plan.groups, START_TIMEOUT)?;
    let b = Node::start(engine, testbed, Place::B, plan)?;
    b.wait_until_calm()?;
    a.wait_until_calm()?;
    Ok([a, b])
}

fn watch(a: &Node, b: &Node, span: Duration, out: &mut Outcome) -> Result<()> {
    let (master, backup) = (a.processes(), b.processes());
    let read = || {
        (
            usage::time(&master),
            usage::time_of(&master, |thread| thread != LEASES),
            usage::time(&backup),
        )
    };
    let (begin, before) = (Instant::now(), read());
    thread::sleep(span);
    let (span, after) = (begin.elapsed(), read());
    let minute = |time: Duration| time.as_secs_f64() / span.as_secs_f64() * 60.0;
    out.add(Id::Master255, minute(after.0.saturating_sub(before.0)));
    if a.carpd().is_ok() {
        out.add(Id::Unleased255, minute(after.1.saturating_sub(before.1)));
    }
    out.add(Id::Backup255, minute(after.2.saturating_sub(before.2)));
    let memory = usage::memory(&master)?.max(usage::memory(&backup)?);
    out.add(Id::Memory255, bytes(memory));
    Ok(())
}

/// carpd's kernel thread, which only renews leases while nothing changes.
pub(super) const LEASES: &str = "kernel";

/// Measures the death of A: from B's first advertisement to the last address's first answer.
fn takeover(engine: Engine, testbed: &Testbed, plan: &Plan) -> Result<Duration> {
    let [.., b] = Place::B.address(0).octets();
    let probe =
        Probe::after_takeover(&testbed.client, &targets(&plan.groups, engine, Place::B), b)?;
    testbed.cut(Place::A)?;
    let answers = probe.finish(START_TIMEOUT)?;
    let advertised = answers.advertised.context("no host has taken over")?;
    let complete = answers.complete().context("no address has answered")?;
    Ok(complete.saturating_sub(advertised))
}

/// Measures the stop of the only host: until the last answer.
fn leave(engine: Engine, testbed: &Testbed, plan: &Plan, node: &mut Node) -> Result<Duration> {
    let probe = Probe::always(&testbed.client, &targets(&plan.groups, engine, Place::B))?;
    thread::sleep(Duration::from_millis(500));
    let begin = now();
    node.ask_to_end()?;
    node.wait_for_end()?;
    // The kernel or a script may still be removing addresses.
    thread::sleep(DRAIN_TIME);
    let silent = probe.stop()?.silent().context("no address ever answered")?;
    Ok(silent.saturating_sub(begin))
}

/// Converts for the results.
pub(crate) fn bytes(count: u64) -> f64 {
    u32::try_from(count >> 10).map_or(f64::INFINITY, |kibibytes| f64::from(kibibytes) * 1024.0)
}
