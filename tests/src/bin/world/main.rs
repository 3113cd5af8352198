//! `make world`: random hosts, as in practice, and the behaviour of carpd's addresses there.
//!
//! Each world is a host with a carp interface, made from a grammar (`grammar.rs`) by a seed. A
//! twin of the host has the virtual addresses as its own, and a third host has neither; both go
//! through the same. The host must behave as they do (`oracle.rs`). A recipe that breaks a rule is
//! shortened and printed as commands for a shell.
//!
//! Everything runs in network namespaces, which are removed at the end, also after an error.

mod actions;
mod breach;
mod cable;
mod documented;
mod grammar;
mod known;
mod options;
mod oracle;
mod probe;
mod recipe;
mod shrink;
mod snapshot;
mod tables;
mod testbed;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use carp_tests::{Random, check_interrupted, interrupt, keep_quiet};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use self::breach::Verdict;
use self::options::Options;
use self::oracle::examine;
use self::recipe::Recipe;
use self::shrink::shrink;

/// Exit status that a shell reports for a program ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    keep_quiet();
    match run(Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("world: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupts = signal(SignalKind::interrupt())?;
        let mut terminations = signal(SignalKind::terminate())?;
        let mut work = tokio::task::spawn_blocking(move || worlds(&options));
        tokio::select! {
            done = &mut work => return done.context("the run broke off")?,
            _ = interrupts.recv() => {},
            _ = terminations.recv() => {},
        }
        // Every wait fails from now on, and the guards clean up on the way out.
        interrupt();
        // The error is the interruption itself.
        let _ = work.await;
        eprintln!("\nstopped; everything is cleaned up");
        Ok(ExitCode::from(INTERRUPTED))
    })
}

/// Results of all workers.
#[derive(Default)]
struct Found {
    worlds: u64,
    explained: u64,
    left_out: u64,
    /// By the parts of the shortest recipe.
    breaches: BTreeMap<String, u32>,
}

fn worlds(options: &Options) -> Result<ExitCode> {
    let start = Instant::now();
    let next = AtomicU64::new(options.seed);
    let found = Mutex::new(Found::default());
    let work = || -> Result<()> {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if options.is_over(seed, start.elapsed()) {
                return Ok(());
            }
            check_interrupted()?;
            world(seed, options, &found).with_context(|| format!("seed {seed}"))?;
        }
    };
    thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..options.jobs).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().map_err(|_| anyhow!("a worker panicked"))??;
        }
        Ok(())
    })?;
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "{} worlds in {:.0} s from seed {}: {} with differences that carpd explains, {} left out, {} broken",
        found.worlds,
        start.elapsed().as_secs_f64(),
        options.seed,
        found.explained,
        found.left_out,
        found.breaches.values().sum::<u32>()
    );
    for (names, times) in &found.breaches {
        println!("{times:4} {names}");
    }
    Ok(if found.breaches.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn world(seed: u64, options: &Options, found: &Mutex<Found>) -> Result<()> {
    let mut recipe = Recipe::random(&mut Random::new(seed));
    let lock = || found.lock().unwrap_or_else(PoisonError::into_inner);
    if !options.all && recipe.leave_out() {
        lock().left_out += 1;
    }
    let names = recipe.names();
    if options
        .with
        .as_ref()
        .is_some_and(|with| !names.iter().any(|name| name.contains(with)))
    {
        return Ok(());
    }
    let start = Instant::now();
    let verdict = examine(&recipe).with_context(|| recipe.to_string())?;
    let took = start.elapsed().as_secs_f64();
    {
        let mut found = lock();
        found.worlds += 1;
        if !verdict.explained.is_empty() {
            found.explained += 1;
        }
    }
    let Some(breach) = &verdict.breach else {
        println!("{seed}: {took:.1} s: {recipe}");
        for explained in &verdict.explained {
            println!("    {explained}");
        }
        return Ok(());
    };
    println!("{seed}: {took:.1} s: {recipe}\n    {breach}");
    // A breach that does not happen twice was the machine's.
    let verdict = examine(&recipe)?;
    if verdict.breach.is_none() {
        println!("{seed}: not repeatable");
        return Ok(());
    }
    let (recipe, verdict) = shrink(recipe, verdict, Duration::from_secs(options.shrink))?;
    show(seed, &recipe, &verdict);
    let clause = verdict.breach.as_ref().map(|breach| breach.clause);
    let kind = clause.map_or(String::new(), |clause| format!("{clause:?}: "));
    *lock()
        .breaches
        .entry(format!("{kind}{recipe}"))
        .or_default() += 1;
    Ok(())
}

/// Commands that remove a world that was typed.
const CLEAN: &str = "\
kill $(ip netns pids a) $(ip netns pids b)
for host in a b client switch; do ip netns delete $host; done
";

fn show(seed: u64, recipe: &Recipe, verdict: &Verdict) {
    let Some(breach) = &verdict.breach else {
        return;
    };
    println!(
        "---- seed {seed}, the shortest: {recipe}\n---- {breach}\n{}{CLEAN}---- carpd \
             printed:\n{}---- end of seed {seed}",
        verdict.typed, verdict.log
    );
}
