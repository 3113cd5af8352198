//! `carpctl suppress`: runs a command with preemption suppressed, or lists the causes.
//!
//! **Invariant:** the command does not inherit the descriptor. Processes that it leaves running
//! cannot keep preemption suppressed.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::process::{Child, Command, ExitStatus};

use carp_dbus::{Client, plain};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{self, SignalKind};

use crate::exit::{Failure, Outcome, status_of, warn};
use crate::{json, time};

/// Arguments of `suppress`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name of the program or person that suppresses preemption
    #[arg(long, requires_all = ["why", "command"])]
    who: Option<String>,
    /// Reason
    #[arg(long, requires_all = ["who", "command"])]
    why: Option<String>,
    /// Command to run
    #[arg(last = true, requires_all = ["who", "why"])]
    command: Vec<OsString>,
}

/// Runs the command, or lists the causes.
///
/// # Errors
/// The failure, or the exit status of the command.
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
    // The connection closes at once; the descriptor alone keeps preemption suppressed.
    let held = Client::connect().await?.suppress(who, why).await?;
    // Signals are caught before the command starts, so that none is missed; exec(3) resets them.
    let mut signals = Signals::catch().map_err(|error| Failure::Refused(plain(&error)))?;
    let child = Command::new(program).args(rest).spawn().map_err(|error| {
        warn(&format!("{}: {}", program.display(), plain(&error)));
        // As in env(1): 127 if not found, 126 if found but not executable.
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

/// Signals for the command: carpctl ends only when the command does.
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

    /// Waits for the command. The terminal sends its signals to the command itself; the others are
    /// passed on.
    async fn wait(&mut self, mut child: Child) -> io::Result<ExitStatus> {
        let pid = Pid::from_child(&child);
        let mut ended = tokio::task::spawn_blocking(move || child.wait());
        loop {
            let passed_on = tokio::select! {
                status = &mut ended => return status.map_err(io::Error::other).flatten(),
                _ = self.interrupts.recv() => None,
                _ = self.quits.recv() => None,
                _ = self.terminations.recv() => Some(Signal::TERM),
                _ = self.hangups.recv() => Some(Signal::HUP),
            };
            if let Some(signal) = passed_on {
                // Fails if the command has just ended.
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
    for suppression in suppressions {
        writeln!(
            out,
            "{}: {} (since {})",
            suppression.who,
            suppression.why,
            time::local(suppression.since)
        )?;
    }
    Ok(())
}
