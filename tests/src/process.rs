//! Program that runs in a host. Its output is kept; it ends when its guard is dropped.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait_until;

/// Lines of output that are printed at the end.
const SHOWN_LINES: usize = 60;

static QUIET: AtomicBool = AtomicBool::new(false);

/// Makes guards print no output when they are dropped from now on.
pub fn keep_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Running program, killed when dropped. Then the end of its output goes to standard error, which
/// cargo shows for failing tests only.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` with its output in the file `log`. Signals of the terminal do not reach it.
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

    /// Returns its output until now.
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

    /// Returns its exit status if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// Fails with its output if it has ended.
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

    /// Returns its process ID, also after its end.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal if it still runs.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.ended()?.is_none() {
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            kill_process(pid.context("a process id above i32::MAX")?, signal)
                .with_context(|| format!("{signal:?} to {}", self.name))?;
        }
        Ok(())
    }

    /// Sends `SIGTERM` and waits for its end.
    pub fn terminate(&mut self, bound: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait_for_end(bound)
    }

    /// Sends `SIGINT`, as Ctrl-C does, and waits for its end.
    pub fn interrupt(&mut self, bound: Duration) -> Result<ExitStatus> {
        self.signal(Signal::INT)?;
        self.wait_for_end(bound)
    }

    /// Sends `SIGKILL`, so that it cannot clean up, and waits for its end.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.wait_for_end(Duration::from_secs(5)).map(drop)
    }

    /// Waits for its end.
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
