//! Cost of carpd as master of one to 4,080 virtual hosts, for the plot.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::many::{LEASES, bytes};
use crate::addresses::{Group, Place};
use crate::bare;
use crate::engine::Engine;
use crate::figures::Id;
use crate::node::{Node, Plan};
use crate::results::Point;
use crate::scenario::{Outcome, Size};
use crate::testbed::Testbed;
use crate::usage;

/// Numbers of interfaces, and of virtual hosts on each.
const SIZES: [(u8, u8); 6] = [(1, 1), (1, 16), (1, 64), (1, 255), (4, 255), (16, 255)];

/// Number of measurements of the steady state.
const SPANS: u8 = 5;
const SPAN: Duration = Duration::from_secs(4);

/// Number of calls of `carpctl -a`.
const CALLS: u8 = 15;

const START_TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) fn run(engine: Engine, size: Size, out: &mut Outcome) -> Result<()> {
    let sizes = match size {
        Size::Full => &SIZES[..],
        Size::Smoke => SIZES.split_at(SIZES.len() - 1).1,
    };
    let spans = match size {
        Size::Full => SPANS,
        Size::Smoke => 1,
    };
    for (interfaces, each) in sizes.iter().copied() {
        let testbed = Testbed::new(size.count(interfaces))?;
        let plan = Plan::of(Group::all(size.count(interfaces), size.count(each)));
        let node = Node::start(engine, &testbed, Place::A, &plan)?;
        testbed.wait_until_answered(engine, Place::A, &plan.groups, START_TIMEOUT)?;
        node.wait_until_calm()?;
        let hosts = u32::try_from(plan.groups.len())?;
        let most = interfaces == 16;
        let processes = node.processes();
        for _ in 0..spans {
            let read = || {
                let leases = usage::time_of(&processes, |thread| thread == LEASES);
                (usage::time(&processes), leases)
            };
            let (begin, before) = (Instant::now(), read());
            thread::sleep(size.time(SPAN));
            let (span, after) = (begin.elapsed(), read());
            let share = |time: Duration| time.as_secs_f64() / span.as_secs_f64();
            let processor = share(after.0.saturating_sub(before.0));
            let leases = share(after.1.saturating_sub(before.1));
            let memory = bytes(usage::memory(&processes)?);
            out.points.push(Point {
                hosts,
                processor,
                leases,
                memory,
            });
            match (interfaces, each) {
                (1, 16) => out.add(Id::Leases16, leases),
                (1, 255) => out.add(Id::Leases255, leases),
                (16, _) => out.add(Id::Leases4080, leases),
                _ => {}
            }
            if most {
                out.add(Id::Master4080, processor);
                out.add(Id::Memory4080, memory);
            }
        }
        if most {
            for _ in 0..spans {
                let (groups, span) = (&plan.groups, size.time(SPAN));
                out.add(
                    Id::BareFrames4080,
                    bare::advertise(&testbed.a, groups, span)?,
                );
                out.add(Id::BareLeases4080, bare::renew(&testbed.a, groups, span)?);
            }
            list(&node, plan.groups.len(), size, out)?;
        }
    }
    Ok(())
}

fn list(node: &Node, interfaces: usize, size: Size, out: &mut Outcome) -> Result<()> {
    let carpd = node.carpd()?;
    let listed = carpd.carpctl("-a")?;
    let count = listed
        .lines()
        .filter(|line| line.starts_with("carp"))
        .count();
    ensure!(count == interfaces, "carpctl -a lists {count} interfaces");
    for _ in 0..size.count(CALLS) {
        let mut command = super::commands::carpctl(carpd)?;
        command.arg("-a").stdout(Stdio::null());
        let begin = Instant::now();
        let status = command.status()?;
        out.add_time(Id::CtlAll4080, begin.elapsed());
        ensure!(status.success(), "carpctl -a: {status}");
    }
    Ok(())
}
