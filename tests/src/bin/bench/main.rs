//! `make bench`: carpd, ucarp and keepalived from a client's point of view.
//!
//! Everything runs in network namespaces, which are removed at the end, also after an error.

mod addresses;
mod bare;
mod capture;
mod engine;
mod figures;
mod frames;
mod machine;
mod node;
mod options;
mod ping;
mod plot;
mod probe;
mod report;
mod results;
mod runner;
mod scenario;
mod scenarios;
mod system;
mod testbed;
mod usage;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use carp_tests::{interrupt, keep_quiet};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::machine::Machine;
use crate::options::Options;
use crate::results::Results;
use crate::scenario::Size;

fn main() -> ExitCode {
    keep_quiet();
    match supervise(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the bench; on a signal, makes it end soon, so that its guards clean up.
fn supervise(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupts = signal(SignalKind::interrupt())?;
        let mut terminations = signal(SignalKind::terminate())?;
        let mut work = tokio::task::spawn_blocking(move || run(&options));
        tokio::select! {
            outcome = &mut work => return outcome?,
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
        }
        eprintln!("\ninterrupted: cleaning up");
        interrupt();
        work.await?
    })
}

fn run(options: &Options) -> Result<()> {
    let file = machine::target()?.join("bench").join(options.file_name());
    let mut results = match Results::read(&file) {
        Ok(earlier) if options.adds() => earlier,
        Ok(_) | Err(_) => Results::new(Machine::here()?),
    };
    match options.size() {
        Size::Full => {
            for scenario in options.chosen() {
                runner::run(scenario, options.repeat(), &mut results)?;
                results.write(&file)?;
            }
        }
        Size::Smoke => {
            let chosen: Vec<_> = options.chosen().collect();
            runner::smoke(&chosen, &mut results)?;
            results.write(&file)?;
        }
    }
    let (text, plot) = (report::markdown(&results)?, plot::svg(&results.points));
    println!("{}", report::tables(&results)?);
    if options.writes_document() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (name, content) in [("BENCHMARKS.md", &text), (report::PLOT, &plot)] {
            let path = top.join(name);
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory)?;
            }
            fs::write(&path, content).with_context(|| format!("{}", path.display()))?;
        }
    }
    eprintln!("results: {}", file.display());
    Ok(())
}
