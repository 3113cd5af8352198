//! The CARP daemon: speaks CARP on real interfaces, and serves `org.carpd1`.

mod alarm;
mod api;
mod clock;
mod coalescing;
mod config;
mod daemon;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod heap;
mod hooks;
mod kernel;
mod log;
mod memory;
mod net;
mod options;
mod privilege;
mod publish;
mod realtime;
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

use self::api::{Api, Places, Start};
use self::clock::Clock;
use self::config::Files;
use self::daemon::{Ends, Stop};
use self::hooks::Hooks;
use self::options::Options;
use self::state::Keeper;

/// The exit status after SIGUSR2, `EX_TEMPFAIL` of sysexits(3): whoever watches over carpd starts
/// it again.
const START_AGAIN: u8 = 75;

/// The program: reads its arguments, and runs until it is told to stop.
#[must_use]
pub fn main() -> ExitCode {
    be(&Options::parse())
}

/// What the arguments ask for, until that is done.
fn be(options: &Options) -> ExitCode {
    if let Some(path) = &options.check {
        return check(options, path.as_deref());
    }
    // Before there is a second thread, and the log has one.
    let locked = options.realtime.map_or(Ok(()), |_| realtime::lock_memory());
    let confined = confine(options);
    let _log = options.start_log();
    if let Err(error) = locked {
        warn!("memory is not locked, and carpd may have to wait for a disk: {error:#}");
    }
    match confined.and_then(|()| run(options)) {
        Ok(exit) => exit,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Gives up what root may do and carpd need not.
fn confine(options: &Options) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("carpd must be started by root: it opens packet sockets and changes addresses");
    }
    privilege::confine(options.realtime.is_some())
}

/// Everything is opened before anything is served; this thread then serves until a signal comes.
fn run(options: &Options) -> anyhow::Result<ExitCode> {
    heap::set_up();
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
            let told = if options.keep {
                Stop::Keep
            } else {
                Stop::GiveBack
            };
            let (stop, exit) = tokio::select! {
                _ = terminate.recv() => (told, ExitCode::SUCCESS),
                _ = interrupt.recv() => (told, ExitCode::SUCCESS),
                _ = keep.recv() => (Stop::Keep, ExitCode::from(START_AGAIN)),
            };
            match stop {
                Stop::GiveBack => info!("stopping"),
                Stop::Keep => info!("stopping, and keeping everything for the next carpd"),
            }
            systemd.stopping();
            // If the loop is gone, so is what could be stopped.
            let _ = stopper.send(stop);
            exit
        };
        // Serving ends with the loop, which ends with the signal, or by a fault of its own.
        let ready = || info!("carpd {} is ready on {socket}", env!("CARGO_PKG_VERSION"));
        tokio::spawn(heap::keep_low());
        let serving = systemd::telling(outbox, api.serve(api_end, start, hangups, ready));
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
            Ok(false) => bail!("the kernel did not take everything back in time"),
            Err(_) => bail!("the protocol thread failed"),
        }
    })
}

/// Checks the configuration: each fault is a line on standard error, and makes it fail.
fn check(options: &Options, path: Option<&Path>) -> ExitCode {
    // Root that reads whatever it likes would not see what carpd will see.
    if let Err(error) = privilege::renounce() {
        eprintln!("carpd: cannot give up capabilities: {error}");
        return ExitCode::FAILURE;
    }
    match config::check(&options.config_dir, path, &mut io::stderr().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        // If standard error is gone, nobody is left to tell.
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

/// The run directory, for root alone.
fn prepare(run_dir: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(run_dir)
        .with_context(|| format!("cannot make {}", run_dir.display()))
}
