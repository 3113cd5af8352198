//! `make soak`: faults at random over three hosts, for as long as one likes, while clients ask who
//! answers. Whenever the protocol's time is over it must be exactly one host.
//!
//! Everything happens in network namespaces that are gone when this ends, whatever ends it.

mod actions;
mod clients;
mod faults;
mod report;
mod testbed;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use carp_tests::{Carpd, MARGIN, Random, interrupt, keep_quiet, master_down};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use self::clients::{Trouble, now};
use self::faults::{Bounds, Fault, takeover};
use self::report::Report;
use self::testbed::World;

/// Faults at random over three hosts, while clients ask who answers.
#[derive(Parser)]
#[command(name = "soak")]
struct Options {
    /// How long it lasts
    #[arg(long, default_value_t = 1)]
    minutes: u64,

    /// Repeats the run of this seed; a new one by default
    #[arg(long)]
    seed: Option<u64>,
}

/// What a shell reports of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// How often a machine that had no time for those who ask may have had none for those who answer.
const STALLS: u32 = 3;

/// Answers of a second and a half are looked at before all is well.
const LOOK: Duration = Duration::from_secs(2);

/// How many lines of each log are shown when something went wrong.
const LINES: usize = 200;

fn main() -> ExitCode {
    let Options { minutes, seed } = Options::parse();
    let seed = seed.unwrap_or_else(now);
    keep_quiet();
    match run(minutes, seed) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nsoak: {error:#}\nrepeat it with: make soak SEED={seed}");
            ExitCode::FAILURE
        }
    }
}

fn run(minutes: u64, seed: u64) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupts = signal(SignalKind::interrupt())?;
        let mut terminations = signal(SignalKind::terminate())?;
        let mut work = tokio::task::spawn_blocking(move || soak(minutes, seed));
        tokio::select! {
            done = &mut work => done.context("the run broke off")?.map(|()| ExitCode::SUCCESS),
            _ = interrupts.recv() => stopped(work).await,
            _ = terminations.recv() => stopped(work).await,
        }
    })
}

/// The run fails at its next step, and its guards clean up on the way out.
async fn stopped(work: tokio::task::JoinHandle<Result<()>>) -> Result<ExitCode> {
    interrupt();
    // That it was interrupted is known.
    let _ = work.await;
    eprintln!("\nstopped; everything is cleaned up");
    Ok(ExitCode::from(INTERRUPTED))
}

fn soak(minutes: u64, seed: u64) -> Result<()> {
    println!("soak: {minutes} minutes with seed {seed}");
    let begin = Instant::now();
    let end = begin + Duration::from_secs(60) * u32::try_from(minutes)?;
    let mut random = Random::new(seed);
    let mut report = Report::default();
    let mut world = World::new()?;
    let outcome = (|| {
        settle(&mut world, Some(0), master_down(1, 0)).context("at the beginning")?;
        while Instant::now() < end {
            let faults = Fault::some(&mut random, world.compares_clocks);
            let rest = Duration::from_millis(random.below(1500));
            let label: Vec<String> = faults.iter().map(ToString::to_string).collect();
            let label = label.join(" + ");
            print!("{:7.1} s  {label}", begin.elapsed().as_secs_f64());
            let told = survive(&mut world, &faults, rest, &mut report)
                .with_context(|| format!("{:.1} s: {label}", begin.elapsed().as_secs_f64()))?;
            println!(": {told}");
            report.cost(world.costs()).map_err(anyhow::Error::msg)?;
        }
        Ok(())
    })();
    if let Err(error) = outcome {
        println!();
        show_logs(&world);
        show_addresses(&world);
        print!("---- clients:\n{}", world.view.last());
        return Err(error);
    }
    println!(
        "\n{} faults survived in {} minutes with seed {seed}\n\n{}\n{}",
        report.faults(),
        minutes,
        report.table(),
        report.memory()
    );
    Ok(())
}

/// What each kernel has when something went wrong.
fn show_addresses(world: &World) {
    let hosts = world.carpd.iter().map(Carpd::host);
    for host in hosts.chain([&world.client]) {
        for what in ["ip -brief address", "ip neighbour"] {
            let said = host
                .run(what)
                .unwrap_or_else(|error| format!("{error:#}\n"));
            print!("---- {what} on {}:\n{said}", host.name());
        }
    }
}

/// Lets `faults` strike, waits until the protocol has done what it can, has them mended, and waits
/// until everything is as before. Says what clients noticed.
fn survive(
    world: &mut World,
    faults: &[Fault],
    rest: Duration,
    report: &mut Report,
) -> Result<String> {
    let mut told = Vec::new();
    let mut worst = Trouble::default();
    let mut allowed = Bounds::default();
    let begin = Instant::now();
    for mended in [false, true] {
        let since = now();
        let struck = begin.elapsed();
        for fault in faults {
            if mended {
                fault.mend(world)?;
            } else {
                fault.strike(world)?;
            }
        }
        let bounds = bounds(faults, mended);
        let best = mended.then_some(0);
        // Until then a kernel may still answer for a carpd that is no more, or nothing be seen of it.
        let shown = faults.iter().map(|fault| fault.shows_after());
        world.watch_for(shown.fold(bounds.outage, Duration::max))?;
        if mended {
            let revived = world.revive()?;
            if revived > 0 {
                told.push(format!("{revived} started again, the kernel stood still"));
            }
        }
        if mended || faults.iter().all(|fault| fault.settles()) {
            let times = faults.iter().map(|fault| fault.return_time(struck));
            settle(world, best, times.fold(bounds.outage, Duration::max))?;
        } else {
            world.watch_for(takeover() + MARGIN)?;
        }
        world.watch_for(rest)?;
        let trouble = world.view.trouble_since(since);
        judge(
            trouble,
            bounds,
            MARGIN + world.view.stalled_since(since) * STALLS,
        )?;
        let when = if mended { "mended" } else { "struck" };
        let [address, asked] = trouble.silent;
        told.push(format!(
            "{when}: {:.1} s out ({address}, {asked})",
            trouble.outage.as_secs_f64()
        ));
        if !trouble.twice.is_zero() {
            told.push(format!("{:.1} s twice", trouble.twice.as_secs_f64()));
        }
        worst = worst.or(trouble);
        allowed = allowed.or(bounds);
    }
    match faults {
        [fault] => report.survived(fault.kind(), worst, allowed),
        _ => report.survived("two of them at once, on two hosts", worst, allowed),
    }
    Ok(told.join(", "))
}

/// By the protocol. What strikes two hosts may make a third wait for both, one after the other.
fn bounds(faults: &[Fault], mended: bool) -> Bounds {
    let each = |fault: &Fault| {
        if mended {
            fault.mend_bounds()
        } else {
            fault.strike_bounds()
        }
    };
    let worst = faults
        .iter()
        .map(each)
        .reduce(Bounds::or)
        .unwrap_or_default();
    if faults.len() == 1 {
        return worst;
    }
    let outages = faults.iter().map(|fault| each(fault).outage);
    Bounds {
        outage: outages.sum(),
        ..worst
    }
}

/// Waits until every address is answered for by one host, by `expected` if that is given.
fn settle(world: &mut World, expected: Option<usize>, bound: Duration) -> Result<()> {
    let since = now();
    let begin = Instant::now();
    loop {
        world.view.look()?;
        let problem = match world.view.settled(expected) {
            Ok(()) => return Ok(()),
            Err(problem) => problem,
        };
        let slack = LOOK + MARGIN + world.view.stalled_since(since) * STALLS;
        if begin.elapsed() > bound + slack {
            bail!("not within {:.1?}: {problem}", bound + slack);
        }
        world.watch_for(Duration::from_millis(100))?;
    }
}

fn judge(trouble: Trouble, bounds: Bounds, slack: Duration) -> Result<()> {
    let Trouble {
        outage,
        silent: [address, asked],
        twice,
    } = trouble;
    if outage > bounds.outage + slack {
        bail!(
            "{asked} for {address} were not answered for {outage:.1?}, and {:.1?} is right",
            bounds.outage
        );
    }
    if twice > bounds.twice.saturating_add(slack) {
        bail!(
            "two hosts answered for {twice:.1?}, and {:.1?} is right",
            bounds.twice
        );
    }
    Ok(())
}

fn show_logs(world: &World) {
    for carpd in &world.carpd {
        println!("---- carpd on {}:", carpd.host().name());
        let log = carpd.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let skipped = lines.len().saturating_sub(LINES);
        lines
            .iter()
            .skip(skipped)
            .for_each(|line| println!("{line}"));
    }
}
