//! Times that a person or a script waits: for a command, a change, a start, a stop.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use carp_dbus::{Client, Settings};
use carp_tests::{Carpd, Host, program, wait_until};
use serde_json::Value;

use crate::addresses::{Group, Place};
use crate::capture::now;
use crate::engine::Engine;
use crate::figures::Id;
use crate::node::{Node, Plan};
use crate::results::median;
use crate::scenario::{Outcome, Size};
use crate::system::time_of_children;
use crate::testbed::Testbed;

/// Commands, and calls, of one repetition.
const COMMANDS: u16 = 100;
const CALLS: u16 = 200;

/// So large that no backup becomes MASTER during the measurement of its start.
const ADVBASE: u8 = 20;

const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns a carpctl that talks to this carpd through the private socket, which needs no
/// `ip netns exec`.
pub(crate) fn carpctl(carpd: &Carpd) -> Result<Command> {
    let mut command = Command::new(program("carpctl")?);
    command.env("CARPD_BUS_ADDRESS", carpd.address());
    command.stdin(Stdio::null());
    Ok(command)
}

pub(crate) fn run(engine: Engine, size: Size, out: &mut Outcome) -> Result<()> {
    one(engine, size, out)?;
    start(engine, size, out)?;
    stop(engine, size, out)
}

fn one(engine: Engine, size: Size, out: &mut Outcome) -> Result<()> {
    let testbed = Testbed::new(1)?;
    let plan = Plan::of(Group::all(1, 1));
    let node = Node::start(engine, &testbed, Place::A, &plan)?;
    testbed.wait_until_answered(engine, Place::A, &plan.groups, COMMAND_TIMEOUT)?;
    let carpd = node.carpd()?;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..size.count(COMMANDS) {
        let mut command = carpctl(carpd)?;
        command.arg("carp0");
        ours.push(timed(command)?);
        theirs.push(timed(Command::new("/bin/true"))?);
    }
    let middle = |runs: &[[Duration; 2]], which: fn(&[Duration; 2]) -> Duration| {
        let mut times: Vec<f64> = runs.iter().map(|run| which(run).as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        median(&times).context("no runs")
    };
    let wall = middle(&ours, |[wall, _]| *wall)?;
    out.add(Id::CtlTime, wall);
    out.add(Id::CtlRatio, wall / middle(&theirs, |[wall, _]| *wall)?);
    let used = middle(&ours, |[_, used]| *used)?;
    out.add(Id::CtlProcessor, used / middle(&theirs, |[_, used]| *used)?);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut times = runtime.block_on(configure(carpd, size))?;
    times.sort_by(f64::total_cmp);
    out.add(Id::Configure, median(&times).context("no calls")?);
    Ok(())
}

/// Returns the elapsed time and the processor time.
fn timed(mut command: Command) -> Result<[Duration; 2]> {
    command.stdout(Stdio::null());
    let (begin, before) = (Instant::now(), time_of_children()?);
    let status = command.status()?;
    let times = [begin.elapsed(), time_of_children()?.saturating_sub(before)];
    ensure!(status.success(), "{command:?}: {status}");
    Ok(times)
}

async fn configure(carpd: &Carpd, size: Size) -> Result<Vec<f64>> {
    let client = Client::connect_to(&carpd.address()).await?;
    let mut times = Vec::new();
    for number in 0..size.count(CALLS) {
        let skew = if number % 2 == 0 { 1 } else { 2 };
        let begin = Instant::now();
        client
            .configure("carp0", Settings::new().advskew(skew))
            .await?;
        times.push(begin.elapsed().as_secs_f64());
    }
    Ok(times)
}

/// Measures from the start of the process to the last transition to BACKUP, by carpd's time stamp.
fn start(engine: Engine, size: Size, out: &mut Outcome) -> Result<()> {
    let testbed = Testbed::new(1)?;
    let mut plan = Plan::of(Group::all(1, size.count(255)));
    plan.advbase = ADVBASE;
    let begin = now();
    let node = Node::start(engine, &testbed, Place::A, &plan)?;
    let carpd = node.carpd()?;
    let last = wait_until("all interfaces are BACKUP", COMMAND_TIMEOUT, || {
        let text = carpd.carpctl("-a --json")?;
        let listed: Value = serde_json::from_str(&text)?;
        let listed = listed.as_array().context("not a list")?;
        let times: Vec<u64> = listed.iter().filter_map(became_backup).collect();
        let complete = times.len() == plan.groups.len();
        Ok(times.into_iter().max().filter(|_| complete))
    })?;
    let since_epoch = Duration::from_micros(last);
    ensure!(now() > since_epoch, "a transition to come");
    out.add_time(Id::Start255, since_epoch.saturating_sub(begin));
    Ok(())
}

fn became_backup(interface: &Value) -> Option<u64> {
    let transition = interface.get("last_transition")?;
    let backup = transition.get("to")?.as_str()? == "BACKUP";
    transition.get("time")?.as_u64().filter(|_| backup)
}

fn stop(engine: Engine, size: Size, out: &mut Outcome) -> Result<()> {
    let testbed = Testbed::new(1)?;
    let plan = Plan::of(Group::all(1, size.count(255)));
    let mut node = Node::start(engine, &testbed, Place::A, &plan)?;
    testbed.wait_until_answered(engine, Place::A, &plan.groups, COMMAND_TIMEOUT)?;
    node.wait_until_calm()?;
    let begin = Instant::now();
    node.ask_to_end()?;
    while node.is_running()? {
        ensure!(begin.elapsed() < COMMAND_TIMEOUT, "carpd does not end");
        thread::sleep(Duration::from_micros(200));
    }
    let took = begin.elapsed();
    let left = left_over(testbed.host(Place::A))?;
    ensure!(left == 0, "{left} devices are left over");
    out.add_time(Id::Stop255, took);
    Ok(())
}

fn left_over(host: &Host) -> Result<usize> {
    let links = host.run("ip -o link show type macvlan")?;
    Ok(links.lines().count())
}
