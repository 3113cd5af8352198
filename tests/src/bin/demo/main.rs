//! `make demo`: two hosts share an address, one of them loses its cable, and nobody has to act.
//!
//! Everything happens in network namespaces that are gone when this ends, whatever ends it.

mod invite;
mod screen;
mod script;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use carp_tests::{interrupt, keep_quiet};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// What a shell reports of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Two hosts share an address, one of them loses its cable, and nobody has to act.
#[derive(Parser)]
#[command(name = "demo")]
struct Options {
    /// End after the show instead of staying up
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

        let mut show = tokio::task::spawn_blocking(script::play);
        let pair = tokio::select! {
            pair = &mut show => pair.context("the demonstration broke off")??,
            () = &mut stopped => {
                // The show fails at its next step, and its guards clean up on the way out.
                interrupt();
                let _ = show.await;
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
