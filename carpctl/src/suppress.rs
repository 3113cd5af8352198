//! `carpctl suppress`: runs a command with preemption suppressed, or lists who suppresses it.
//!
//! **Invariant:** the command does not inherit the descriptor, so that nothing it leaves running
//! can hold preemption suppressed.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};

use carp_dbus::Client;
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Failure, Outcome, plain, warn};
use crate::{json, time};

/// What stands behind `suppress`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Who suppresses preemption
    #[arg(long, requires_all = ["why", "command"])]
    who: Option<String>,
    /// Why
    #[arg(long, requires_all = ["who", "command"])]
    why: Option<String>,
    /// The command to run
    #[arg(last = true, requires_all = ["who", "why"])]
    command: Vec<OsString>,
}

/// Runs the command, or lists.
///
/// # Errors
/// Why it failed, or the command's own status.
pub(crate) async fn run(arguments: &Arguments, json: bool, out: &mut impl Write) -> Outcome {
    let Arguments {
        who: Some(who),
        why: Some(why),
        command,
    } = arguments
    else {
        return list(json, out).await;
    };
    let Some((program, rest)) = command.split_first() else {
        return list(json, out).await;
    };
    // The connection is closed at once, because nobody would read it; the descriptor holds.
    let held = Client::connect().await?.suppress(who, why).await?;
    let child = Command::new(program).args(rest).spawn().map_err(|error| {
        warn(&format!("{}: {}", program.display(), plain(&error)));
        // As in env(1): 127 not found, 126 found but not to be run.
        Failure::Command(if error.kind() == ErrorKind::NotFound {
            127
        } else {
            126
        })
    })?;
    let status = wait(child).await;
    drop(held);
    match status? {
        status if status.success() => Ok(()),
        status => Err(Failure::Command(of(status))),
    }
}

/// Waits for the command. Signals are for the command, which says when it is over: those of the
/// terminal reach it by themselves, the others are handed on.
async fn wait(mut child: Child) -> Result<ExitStatus, Failure> {
    let failed =
        |error: std::io::Error| Failure::Refused(format!("cannot wait: {}", plain(&error)));
    let pid = Pid::from_child(&child);
    let mut interrupts = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut quits = signal(SignalKind::quit()).map_err(failed)?;
    let mut terminations = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hangups = signal(SignalKind::hangup()).map_err(failed)?;
    let mut over = tokio::task::spawn_blocking(move || child.wait());
    loop {
        let hand_on = tokio::select! {
            status = &mut over => {
                return status.map_err(std::io::Error::other).flatten().map_err(failed);
            }
            _ = interrupts.recv() => None,
            _ = quits.recv() => None,
            _ = terminations.recv() => Some(Signal::TERM),
            _ = hangups.recv() => Some(Signal::HUP),
        };
        if let Some(signal) = hand_on {
            // It may be over just now; then there is nobody to hand it to.
            let _ = kill_process(pid, signal);
        }
    }
}

/// The status as a shell gives it.
fn of(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

async fn list(json: bool, out: &mut impl Write) -> Outcome {
    let suppressions = Client::connect().await?.suppressions().await?;
    if json {
        return Ok(json::document(out, &suppressions)?);
    }
    for held in suppressions {
        writeln!(
            out,
            "{}: {} (since {})",
            held.who,
            held.why,
            time::local(held.since)
        )?;
    }
    Ok(())
}
