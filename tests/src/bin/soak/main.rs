//! `make soak`: random faults on three hosts, while clients ask for the shared addresses. Exactly
//! one host must answer, except for the times that the protocol allows.
//!
//! Everything runs in network namespaces, which are removed at the end, also after an error.

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

use self::clients::{Symptoms, now};
use self::faults::{Bounds, Fault, takeover};
use self::report::Report;
use self::testbed::Testbed;

/// Random faults on three hosts, while clients ask for the shared addresses.
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

/// Exit status that a shell reports for a program ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// The hosts may have been stalled so many times longer than the clients.
const STALL_FACTOR: u32 = 3;

/// Longer than the time in which a host must have answered before all is well.
const OBSERVATION_TIME: Duration = Duration::from_secs(2);

/// Lines of each log that are shown after a failure.
const SHOWN_LINES: usize = 200;

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

/// Makes the run fail at its next step; its guards clean up.
async fn stopped(work: tokio::task::JoinHandle<Result<()>>) -> Result<ExitCode> {
    interrupt();
    // The error is the interruption itself.
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
    let mut testbed = Testbed::new()?;
    let outcome = (|| {
        settle(&mut testbed, Some(0), master_down(1, 0)).context("at the beginning")?;
        while Instant::now() < end {
            let faults = Fault::some(&mut random, testbed.compares_clocks);
            let rest = Duration::from_millis(random.below(1500));
            let label: Vec<String> = faults.iter().map(ToString::to_string).collect();
            let label = label.join(" + ");
            print!("{:7.1} s  {label}", begin.elapsed().as_secs_f64());
            let told = survive(&mut testbed, &faults, rest, &mut report)
                .with_context(|| format!("{:.1} s: {label}", begin.elapsed().as_secs_f64()))?;
            println!(": {told}");
            report.cost(testbed.costs()).map_err(anyhow::Error::msg)?;
        }
        Ok(())
    })();
    if let Err(error) = outcome {
        println!();
        show_logs(&testbed);
        show_addresses(&testbed);
        print!("---- clients:\n{}", testbed.clients.last());
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

/// Prints the addresses and neighbours of each host after a failure.
fn show_addresses(testbed: &Testbed) {
    let hosts = testbed.carpd.iter().map(Carpd::host);
    for host in hosts.chain([&testbed.client]) {
        for what in ["ip -brief address", "ip neighbour"] {
            let said = host
                .run(what)
                .unwrap_or_else(|error| format!("{error:#}\n"));
            print!("---- {what} on {}:\n{said}", host.name());
        }
    }
}

/// Causes `faults`, waits for the protocol, repairs them, and waits until everything is as before.
/// Returns a line on what clients noticed.
fn survive(
    testbed: &mut Testbed,
    faults: &[Fault],
    rest: Duration,
    report: &mut Report,
) -> Result<String> {
    let mut told = Vec::new();
    let mut worst = Symptoms::default();
    let mut allowed = Bounds::default();
    let begin = Instant::now();
    for mended in [false, true] {
        let since = now();
        let struck = begin.elapsed();
        for fault in faults {
            if mended {
                fault.repair(testbed)?;
            } else {
                fault.inject(testbed)?;
            }
        }
        let bounds = bounds(faults, mended);
        let best = mended.then_some(0);
        // Until then a kernel may still answer for a dead carpd, or the fault have no effect yet.
        let shown = faults.iter().map(|fault| fault.shows_after());
        testbed.watch_for(shown.fold(bounds.outage, Duration::max))?;
        if mended {
            let revived = testbed.revive()?;
            if revived > 0 {
                told.push(format!(
                    "{revived} started again after a stall of the kernel"
                ));
            }
        }
        if mended || faults.iter().all(|fault| fault.settles()) {
            let times = faults.iter().map(|fault| fault.return_time(struck));
            settle(testbed, best, times.fold(bounds.outage, Duration::max))?;
        } else {
            testbed.watch_for(takeover() + MARGIN)?;
        }
        testbed.watch_for(rest)?;
        let symptoms = testbed.clients.symptoms_since(since);
        check_bounds(
            symptoms,
            bounds,
            MARGIN + testbed.clients.stalled_since(since) * STALL_FACTOR,
        )?;
        let when = if mended { "mended" } else { "struck" };
        let [address, asked] = symptoms.silent;
        told.push(format!(
            "{when}: {:.1} s out ({address}, {asked})",
            symptoms.outage.as_secs_f64()
        ));
        if !symptoms.double.is_zero() {
            told.push(format!("{:.1} s twice", symptoms.double.as_secs_f64()));
        }
        worst = worst.or(symptoms);
        allowed = allowed.or(bounds);
    }
    match faults {
        [fault] => report.survived(fault.label(), worst, allowed),
        _ => report.survived("two of them at once, on two hosts", worst, allowed),
    }
    Ok(told.join(", "))
}

/// Returns the protocol's bounds. With faults on two hosts, the third may wait for both in turn.
fn bounds(faults: &[Fault], mended: bool) -> Bounds {
    let each = |fault: &Fault| {
        if mended {
            fault.repair_bounds()
        } else {
            fault.injection_bounds()
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

/// Waits until one host answers for every address: `expected`, if given.
fn settle(testbed: &mut Testbed, expected: Option<usize>, bound: Duration) -> Result<()> {
    let since = now();
    let begin = Instant::now();
    loop {
        testbed.clients.look()?;
        let problem = match testbed.clients.settled(expected) {
            Ok(()) => return Ok(()),
            Err(problem) => problem,
        };
        let slack = OBSERVATION_TIME + MARGIN + testbed.clients.stalled_since(since) * STALL_FACTOR;
        if begin.elapsed() > bound + slack {
            bail!("not within {:.1?}: {problem}", bound + slack);
        }
        testbed.watch_for(Duration::from_millis(100))?;
    }
}

fn check_bounds(symptoms: Symptoms, bounds: Bounds, slack: Duration) -> Result<()> {
    let Symptoms {
        outage,
        silent: [address, asked],
        double,
    } = symptoms;
    if outage > bounds.outage + slack {
        bail!(
            "{asked} for {address} had no answer for {outage:.1?}, longer than {:.1?}",
            bounds.outage
        );
    }
    if double > bounds.double.saturating_add(slack) {
        bail!(
            "two hosts answered for {double:.1?}, longer than {:.1?}",
            bounds.double
        );
    }
    Ok(())
}

fn show_logs(testbed: &Testbed) {
    for carpd in &testbed.carpd {
        println!("---- carpd on {}:", carpd.host().name());
        let log = carpd.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let skipped = lines.len().saturating_sub(SHOWN_LINES);
        lines
            .iter()
            .skip(skipped)
            .for_each(|line| println!("{line}"));
    }
}
