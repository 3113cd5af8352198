//! CARP daemon: speaks CARP on real interfaces and serves `org.carpd1`.

mod alarm;
mod allocator;
mod bpf;
mod bus;
mod clock;
mod coalescing;
mod config;
mod daemon;
mod fairness;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod hooks;
mod kernel;
mod lock;
mod log;
mod net;
mod options;
mod privilege;
mod publish;
mod realtime;
mod settings;
mod settling;
mod state;
mod systemd;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{info, warn};

use self::bus::{Api, Places, Start};
use self::clock::Clock;
use self::config::Files;
use self::daemon::{Ends, Stop};
use self::hooks::Hooks;
use self::options::Options;
use self::state::Keeper;

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
        let (systemd, outbox, watchdog) = systemd::connect();
        let places = Places {
            private_socket: options.private_socket(),
            bus: options.bus.clone(),
            marks: options.run_dir.join("master"),
            files: Files::new(options.config_dir.clone()),
            hooks: Hooks::new(options.hooks_dir(), &options.private_socket()),
            systemd: systemd.clone(),
        };
        let socket = places.private_socket.display().to_string();
        let api = Api::open(places).with_context(|| socket.clone())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut keep = signal(SignalKind::user_defined2())?;
        let hangups = signal(SignalKind::hangup())?;

        let place = state::Place::new(&options.run_dir);
        let past = state::recall(&place, Clock);
        let start = past.as_ref().map_or(Start::Configured, |_| Start::Resumed);
        let keeper = Keeper::start(place).context("cannot start the thread for run-time state")?;

        let (published, api_end) = publish::channel();
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

        let signals = async {
            let on_signal = if options.keep {
                Stop::Keep
            } else {
                Stop::GiveBack
            };
            let (stop, exit) = tokio::select! {
                _ = terminate.recv() => (on_signal, ExitCode::SUCCESS),
                _ = interrupt.recv() => (on_signal, ExitCode::SUCCESS),
                _ = keep.recv() => (Stop::Keep, ExitCode::from(START_AGAIN)),
            };
            match stop {
                Stop::GiveBack => info!("stopping"),
                Stop::Keep => info!("stopping, and keeping everything for the next carpd"),
            }
            systemd.stopping();
            // Fails only if the loop has ended already.
            let _ = stopper.send(stop);
            exit
        };
        // Serving ends with the loop, which ends on the signal or on a failure.
        let ready = || info!("carpd {} is ready on {socket}", env!("CARGO_PKG_VERSION"));
        tokio::spawn(allocator::trim_after_growth());
        let serving = systemd::notify_during(outbox, api.serve(api_end, start, hangups, ready));
        tokio::pin!(serving);
        let exit = tokio::select! {
            exit = signals => {
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
