//! CARP daemon: speaks CARP on real interfaces and serves `org.carpd1`.

mod alarm;
mod allocator;
mod bpf;
mod bus;
mod clock;
mod coalescing;
mod config;
mod daemon;
mod events;
mod fairness;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod hooks;
mod kernel;
mod lock;
mod log;
mod main_thread;
mod net;
mod options;
mod privilege;
mod publish;
mod reactions;
mod realtime;
mod requests;
mod settings;
mod snapshot;
mod state;
mod systemd;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{info, warn};

use self::bus::private::PrivateSocket;
use self::clock::Clock;
use self::config::Files;
use self::config::apply::Start;
use self::daemon::{Ends, Stop};
use self::hooks::Hooks;
use self::main_thread::MainThread;
use self::options::Options;
use self::state::Keeper;
use self::systemd::notify::{self, Systemd};

/// Exit status after SIGUSR2, `EX_TEMPFAIL` of sysexits(3), on which a service manager starts carpd
/// again.
const START_AGAIN: u8 = 75;

/// Runs carpd with the arguments of the process, until a signal stops it.
#[must_use]
pub fn main() -> ExitCode {
    run_with(&Options::parse())
}

/// Checks the configuration or runs the daemon.
fn run_with(options: &Options) -> ExitCode {
    if let Some(path) = &options.check {
        return check(options, path.as_deref());
    }
    // Before any other thread starts; the log has one.
    let locked = options.realtime.map_or(Ok(()), |_| realtime::lock_memory());
    let confined = confine(options);
    let _log = options.start_log();
    if let Err(error) = locked {
        warn!("memory is not locked, so carpd can wait for a disk: {error:#}");
    }
    match confined.and_then(|()| run(options)) {
        Ok(exit) => exit,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Gives up all privileges that carpd does not need.
fn confine(options: &Options) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("carpd must be started by root: it opens packet sockets and changes addresses");
    }
    privilege::confine(options.realtime.is_some())
}

/// Opens sockets, bus and state, starts the threads, and serves until a signal arrives.
fn run(options: &Options) -> anyhow::Result<ExitCode> {
    allocator::set_up();
    prepare(&options.run_dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (systemd, outbox, watchdog) = notify::connect();
        let path = options.private_socket();
        let socket = path.display().to_string();
        let main_thread = MainThread {
            hooks: Hooks::new(options.hooks_dir(), &path),
            socket: PrivateSocket::bind(path).with_context(|| socket.clone())?,
            bus: options.bus.clone(),
            conditions: options.run_dir.join("master"),
            files: Files::new(options.config_dir.clone()),
            systemd: systemd.clone(),
        };
        let signals = Signals::new()?;
        let hangups = signal(SignalKind::hangup())?;

        let place = state::Place::new(&options.run_dir);
        let past = state::recall(&place, Clock);
        let start = past.as_ref().map_or(Start::Configured, |_| Start::Resumed);
        let keeper = Keeper::start(place).context("cannot start the thread for run-time state")?;

        let (published, main_end) = publish::channel();
        let (kernel, kernel_news) = kernel::start(kernel::Options {
            run_dir: options.run_dir.clone(),
            adopt: past.is_some(),
            realtime: options.realtime,
        })
        .context("cannot start the kernel thread")?;
        let (stopper, stop) = oneshot::channel();
        let protocol = daemon::start(Ends {
            published,
            kernel,
            kernel_news,
            past,
            keeper,
            stop,
            realtime: options.realtime,
            watchdog,
        })
        .context("cannot start the protocol")?;

        // Serving ends with the loop, which ends on the signal or on a failure.
        let ready = || info!("carpd {} is ready on {socket}", env!("CARGO_PKG_VERSION"));
        tokio::spawn(allocator::trim_after_growth());
        let serving = main_thread.run(main_end, start, hangups, ready);
        let serving = notify::notify_during(outbox, serving);
        tokio::pin!(serving);
        let exit = tokio::select! {
            exit = signals.stop(options.keep, &systemd, stopper) => {
                serving.await;
                exit
            }
            () = &mut serving => ExitCode::SUCCESS,
        };
        match protocol.join() {
            Ok(true) => Ok(exit),
            Ok(false) => bail!("the kernel did not undo all changes in time"),
            Err(_) => bail!("the protocol thread failed"),
        }
    })
}

/// Signals that stop carpd.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    keep: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            keep: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for a signal and stops the loop, with everything in place if `keep` is set or the signal
    /// demands it. Returns the exit status.
    async fn stop(
        mut self,
        keep: bool,
        systemd: &Systemd,
        stopper: oneshot::Sender<Stop>,
    ) -> ExitCode {
        let on_signal = if keep { Stop::Keep } else { Stop::GiveBack };
        let (stop, exit) = tokio::select! {
            _ = self.terminate.recv() => (on_signal, ExitCode::SUCCESS),
            _ = self.interrupt.recv() => (on_signal, ExitCode::SUCCESS),
            _ = self.keep.recv() => (Stop::Keep, ExitCode::from(START_AGAIN)),
        };
        match stop {
            Stop::GiveBack => info!("stopping"),
            Stop::Keep => info!("stopping, and keeping everything for the next carpd"),
        }
        systemd.stopping();
        // Fails only if the loop has ended already.
        let _ = stopper.send(stop);
        exit
    }
}

/// Checks the configuration and prints each fault as a line on standard error.
fn check(options: &Options, path: Option<&Path>) -> ExitCode {
    // Without capabilities, the check reads only the files that carpd itself can read.
    if let Err(error) = privilege::renounce() {
        eprintln!("carpd: cannot give up capabilities: {error}");
        return ExitCode::FAILURE;
    }
    match config::check(&options.config_dir, path, &mut io::stderr().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        // An error is one of writing to standard error.
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

/// Creates the run directory, readable by root only.
fn prepare(run_dir: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(run_dir)
        .with_context(|| format!("cannot make {}", run_dir.display()))
}
