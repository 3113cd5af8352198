//! 255 virtual hosts on one interface: their cost without events, the death of their master, and
//! the stop of the new one. The death also with 1,020 on four interfaces.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{Outcome, Size};
use crate::bed::{Bed, Group, Place, targets};
use crate::figures::Id;
use crate::node::{Engine, Node, Plan};
use crate::probe::Probe;
use crate::tap::now;
use crate::usage;

/// Time in which any engine starts; ucarp runs a script for each address.
const BOUND: Duration = Duration::from_secs(60);

/// Time for which the steady state is measured.
const WATCHED: Duration = Duration::from_secs(8);

/// Answers that come later than this after the end of the daemon count as they are.
const REST: Duration = Duration::from_secs(1);

pub(crate) fn run(engine: Engine, size: Size, out: &mut Outcome) -> Result<()> {
    let bed = Bed::new(1)?;
    let plan = Plan::of(Group::all(1, size.count(255)));
    let [a, mut b] = pair(engine, &bed, &plan)?;
    watch(&a, &b, size.time(WATCHED), out)?;
    out.add_time(Id::Storm255, takeover(engine, &bed, &plan)?);
    drop(a);
    b.wait_until_calm()?;
    out.add_time(Id::Leave255, leave(engine, &bed, &plan, &mut b)?);
    Ok(())
}

/// The same death with four interfaces.
pub(crate) fn storm(engine: Engine, size: Size, out: &mut Outcome) -> Result<()> {
    let bed = Bed::new(4)?;
    let plan = Plan::of(Group::all(4, size.count(255)));
    let _nodes = pair(engine, &bed, &plan)?;
    out.add_time(Id::Storm1020, takeover(engine, &bed, &plan)?);
    Ok(())
}

/// Starts A as master of all and B as backup, and waits until both are at rest.
fn pair(engine: Engine, bed: &Bed, plan: &Plan) -> Result<[Node; 2]> {
    let a = Node::start(engine, bed, Place::A, plan)?;
    bed.wait_until_answered(engine, Place::A, &plan.groups, BOUND)?;
    let b = Node::start(engine, bed, Place::B, plan)?;
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
fn takeover(engine: Engine, bed: &Bed, plan: &Plan) -> Result<Duration> {
    let [.., b] = Place::B.address(0).octets();
    let probe = Probe::after_takeover(&bed.client, &targets(&plan.groups, engine, Place::B), b)?;
    bed.cut(Place::A)?;
    let answers = probe.finish(BOUND)?;
    let advertised = answers.advertised.context("nobody has taken over")?;
    let complete = answers.complete().context("nothing has answered")?;
    Ok(complete.saturating_sub(advertised))
}

/// Measures the stop of the only host: until the last answer.
fn leave(engine: Engine, bed: &Bed, plan: &Plan, node: &mut Node) -> Result<Duration> {
    let probe = Probe::always(&bed.client, &targets(&plan.groups, engine, Place::B))?;
    thread::sleep(Duration::from_millis(500));
    let begin = now();
    node.ask_to_end()?;
    node.wait_for_end()?;
    // The kernel or a script may still be removing addresses.
    thread::sleep(REST);
    let silent = probe.stop()?.silent().context("nothing ever answered")?;
    Ok(silent.saturating_sub(begin))
}

/// Converts for the results.
pub(crate) fn bytes(count: u64) -> f64 {
    u32::try_from(count >> 10).map_or(f64::INFINITY, |kibibytes| f64::from(kibibytes) * 1024.0)
}
