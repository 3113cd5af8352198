//! `carpctl suppress`: runs a command with preemption suppressed, or lists who suppresses it.
//!
//! **Invariant:** the command does not inherit the descriptor, so that nothing it leaves running
//! can hold preemption suppressed.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::process::{Child, Command, ExitStatus};

use carp_dbus::Client;
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{self, SignalKind};

use crate::exit::{Failure, Outcome, plain, status_of, warn};
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
    // Caught before there is a command, so that none can be missed; exec(3) puts them back.
    let mut signals = Signals::catch().map_err(|error| Failure::Refused(plain(&error)))?;
    let child = Command::new(program).args(rest).spawn().map_err(|error| {
        warn(&format!("{}: {}", program.display(), plain(&error)));
        // As in env(1): 127 not found, 126 found but not to be run.
        Failure::Command(if error.kind() == ErrorKind::NotFound {
            127
        } else {
            126
        })
    })?;
    let status = signals
        .wait(child)
        .await
        .map_err(|error| Failure::Refused(plain(&error)))?;
    drop(held);
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Command(status_of(status)))
    }
}

/// Signals that are for the command, which says when it is over.
struct Signals {
    interrupts: unix::Signal,
    quits: unix::Signal,
    terminations: unix::Signal,
    hangups: unix::Signal,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupts: unix::signal(SignalKind::interrupt())?,
            quits: unix::signal(SignalKind::quit())?,
            terminations: unix::signal(SignalKind::terminate())?,
            hangups: unix::signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the command. The terminal's signals reach it by themselves, the others are handed
    /// on.
    async fn wait(&mut self, mut child: Child) -> io::Result<ExitStatus> {
        let pid = Pid::from_child(&child);
        let mut over = tokio::task::spawn_blocking(move || child.wait());
        loop {
            let hand_on = tokio::select! {
                status = &mut over => return status.map_err(io::Error::other).flatten(),
                _ = self.interrupts.recv() => None,
                _ = self.quits.recv() => None,
                _ = self.terminations.recv() => Some(Signal::TERM),
                _ = self.hangups.recv() => Some(Signal::HUP),
            };
            if let Some(signal) = hand_on {
                // It may be over just now; then there is nobody to hand it to.
                let _ = kill_process(pid, signal);
            }
        }
    }
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
