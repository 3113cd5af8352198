//! A program that runs in a host: its output is kept, and it never outlives its guard.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait_until;

const SHOWN_LINES: usize = 60;

static QUIET: AtomicBool = AtomicBool::new(false);

/// From now on the guards say nothing when they are dropped.
pub fn keep_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Killed when dropped. The end of what it printed goes to standard error then, which cargo shows
/// of failing tests only.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` with standard output and error going to `log`, away from the terminal's
    /// signals.
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("{}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            status: None,
        })
    }

    /// What it printed until now.
    pub fn log(&self) -> Result<String> {
        let text = fs::read(&self.log).with_context(|| format!("{}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Waits until its output contains `text`.
    pub fn wait_for_log(&self, text: &str, bound: Duration) -> Result<()> {
        wait_until(&format!("{} prints {text:?}", self.name), bound, || {
            Ok(self.log()?.contains(text).then_some(()))
        })
        .with_context(|| format!("it printed:\n{}", self.log().unwrap_or_default()))
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// Fails, with what it printed, if it has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!(
                "{} ended with {status} and printed:\n{}",
                self.name,
                self.log()?
            );
        }
        Ok(())
    }

    /// Its process id, also after it has ended.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.ended()?.is_none() {
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            kill_process(pid.context("a process id above i32::MAX")?, signal)
                .with_context(|| format!("{signal:?} to {}", self.name))?;
        }
        Ok(())
    }

    /// Asks it to end (`SIGTERM`) and waits for that.
    pub fn terminate(&mut self, bound: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait_for_end(bound)
    }

    /// Stops it (`SIGINT`, as Ctrl-C does) and waits for that.
    pub fn interrupt(&mut self, bound: Duration) -> Result<ExitStatus> {
        self.signal(Signal::INT)?;
        self.wait_for_end(bound)
    }

    /// Ends it without a chance to clean up (`SIGKILL`).
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.wait_for_end(Duration::from_secs(5)).map(drop)
    }

    /// Waits until it has ended.
    pub fn wait_for_end(&mut self, bound: Duration) -> Result<ExitStatus> {
        let name = self.name.clone();
        wait_until(&format!("{name} ends"), bound, || self.ended())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log().unwrap_or_default();
        if !log.is_empty() && !QUIET.load(Ordering::Relaxed) {
            let lines: Vec<&str> = log.lines().collect();
            let end = lines.len().saturating_sub(SHOWN_LINES);
            eprintln!("---- {} printed:", self.name);
            lines.iter().skip(end).for_each(|line| eprintln!("{line}"));
        }
    }
}
