//! `make demo`: two hosts share an address, one of them loses its cable, and the other takes over.
//!
//! Everything happens in network namespaces, which are removed at the end, also after a signal.

mod invite;
mod screen;
mod script;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use carp_tests::{interrupt, keep_quiet};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Exit status of a program that Ctrl-C ended, as in a shell.
const INTERRUPTED: u8 = 130;

/// Demonstrates a failover: two hosts share an address, and one of them loses its cable.
#[derive(Parser)]
#[command(name = "demo")]
struct Options {
    /// End after the demonstration instead of staying up
    #[arg(long)]
    once: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    keep_quiet();
    match run(options.once) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(once: bool) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupts = signal(SignalKind::interrupt())?;
        let mut terminations = signal(SignalKind::terminate())?;
        let mut hangups = signal(SignalKind::hangup())?;
        let mut stopped = std::pin::pin!(async {
            tokio::select! {
                _ = interrupts.recv() => {}
                _ = terminations.recv() => {}
                _ = hangups.recv() => {}
            }
        });

        let mut demonstration = tokio::task::spawn_blocking(script::play);
        let pair = tokio::select! {
            pair = &mut demonstration => pair.context("the demonstration has failed")??,
            () = &mut stopped => {
                // The demonstration fails at its next step, and its guards clean up.
                interrupt();
                let _ = demonstration.await;
                println!("\nstopped; everything is cleaned up");
                return Ok(ExitCode::from(INTERRUPTED));
            }
        };
        if !once {
            let _commands = invite::invite(&pair)?;
            stopped.await;
            println!("\ncleaning up");
        }
        drop(pair);
        Ok(ExitCode::SUCCESS)
    })
}
