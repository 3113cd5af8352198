//! carpd in a host, and its carpctl.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde::Deserialize;

use crate::{Host, MARGIN, Process, program, wait_until};

/// Longest time for carpd to start or to stop on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Running carpd with directories of its own.
#[derive(Debug)]
pub struct Carpd {
    host: Host,
    process: Process,
    directory: PathBuf,
    arguments: Vec<String>,
    environment: Environment,
    program: PathBuf,
}

/// Additional variables of carpd's environment.
type Environment = Vec<(&'static str, OsString)>;

/// Result of a carpctl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Exit status; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Properties in the output of `carpctl carp0 --json` that stories need.
#[derive(Clone, Debug, Deserialize)]
pub struct Interface {
    /// `INIT`, `BACKUP` or `MASTER`.
    pub state: String,
    /// Demotion byte of the advertisements.
    pub demotion: u8,
    /// Advertised advskew: at least 240 while preemption is suppressed.
    pub effective_advskew: u8,
    /// Last change of state.
    pub last_transition: Option<Transition>,
    /// Counters by their names on the bus.
    pub statistics: BTreeMap<String, u64>,
}

/// Change of state.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Transition {
    /// Microseconds since the epoch.
    pub time: u64,
    /// State before.
    pub from: String,
    /// State after.
    pub to: String,
    /// Reason, such as `master-timed-out`.
    pub reason: String,
}

impl Carpd {
    /// Starts carpd without a bus and waits until its private socket answers.
    pub fn start(host: &Host) -> Result<Self> {
        Self::start_with(host, &["--bus", "none"])
    }

    /// As [`Carpd::start`], but also on the bus with this address.
    pub fn start_on(host: &Host, bus: &str) -> Result<Self> {
        Self::start_with(host, &["--bus", bus])
    }

    /// As [`Carpd::start`], with these configuration files.
    pub fn start_configured(host: &Host, rc_conf: &str, sysctl_conf: &str) -> Result<Self> {
        Self::start_configured_with(host, rc_conf, sysctl_conf, &["--bus", "none"])
    }

    /// As [`Carpd::start_configured`], with additional `arguments`, which name a bus.
    pub fn start_configured_with(
        host: &Host,
        rc_conf: &str,
        sysctl_conf: &str,
        arguments: &[&str],
    ) -> Result<Self> {
        Self::start_configured_under(host, rc_conf, sysctl_conf, arguments, Vec::new())
    }

    /// As [`Carpd::start_configured_with`], with further variables in its environment.
    pub fn start_configured_under(
        host: &Host,
        rc_conf: &str,
        sysctl_conf: &str,
        arguments: &[&str],
        environment: Environment,
    ) -> Result<Self> {
        let directory = host.file("carpd", "d");
        fs::create_dir_all(directory.join("etc"))?;
        for (name, text) in [("rc.conf", rc_conf), ("sysctl.conf", sysctl_conf)] {
            let path = directory.join("etc").join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        }
        Self::start_all(host, directory, arguments, environment)
    }

    /// As [`Carpd::start`], with additional `arguments`, which name a bus.
    pub fn start_with(host: &Host, arguments: &[&str]) -> Result<Self> {
        let directory = host.file("carpd", "d");
        fs::create_dir_all(directory.join("etc"))?;
        Self::start_all(host, directory, arguments, Vec::new())
    }

    /// As [`Carpd::start_with`], with `program`, which executes carpd.
    pub fn start_program(host: &Host, program: PathBuf, arguments: &[&str]) -> Result<Self> {
        let directory = host.file("carpd", "d");
        fs::create_dir_all(directory.join("etc"))?;
        Self::start_from(program, host, directory, arguments, Vec::new())
    }

    /// As [`Carpd::start_with`], with additional variables in its environment.
    pub fn start_under(host: &Host, arguments: &[&str], environment: Environment) -> Result<Self> {
        let directory = host.file("carpd", "d");
        fs::create_dir_all(directory.join("etc"))?;
        Self::start_all(host, directory, arguments, environment)
    }

    fn start_all(
        host: &Host,
        directory: PathBuf,
        arguments: &[&str],
        environment: Environment,
    ) -> Result<Self> {
        Self::start_from(program("carpd")?, host, directory, arguments, environment)
    }

    fn start_from(
        program: PathBuf,
        host: &Host,
        directory: PathBuf,
        arguments: &[&str],
        environment: Environment,
    ) -> Result<Self> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let process = Self::launch(host, &program, &directory, &arguments, &environment)?;
        let mut carpd = Self {
            host: host.clone(),
            process,
            directory,
            arguments,
            environment,
            program,
        };
        carpd.wait_until_ready()?;
        Ok(carpd)
    }

    /// Starts carpd again, with the same directories, after its end.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.process.ended()?.is_some(), "carpd still runs");
        self.process = Self::launch(
            &self.host,
            &self.program,
            &self.directory,
            &self.arguments,
            &self.environment,
        )?;
        self.wait_until_ready()
    }

    /// Uses this program with one more argument from the next start on.
    pub fn replace(&mut self, program: PathBuf, argument: &str) {
        self.program = program;
        self.arguments.push(argument.to_owned());
    }

    fn launch(
        host: &Host,
        program: &Path,
        directory: &Path,
        arguments: &[String],
        environment: &Environment,
    ) -> Result<Process> {
        let mut command = host.command(program);
        command.args(arguments);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.arg("--config-dir").arg(directory.join("etc"));
        command.arg("--run-dir").arg(directory.join("run"));
        host.spawn("carpd", command)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let socket = self.directory.join("run/bus");
        let ready = wait_until("carpd answers on its private socket", START_TIMEOUT, || {
            if self.process.ended()?.is_some() {
                return Ok(Some(()));
            }
            Ok(Some(UnixStream::connect(&socket).map(drop)?))
        });
        ready.with_context(|| format!("carpd printed:\n{}", self.log().unwrap_or_default()))?;
        self.process.check_alive()
    }

    /// Runs `carpctl LINE`, which must succeed. Returns its output.
    pub fn carpctl(&self, line: &str) -> Result<String> {
        let outcome = self.try_carpctl(line)?;
        ensure!(
            outcome.code == 0 && outcome.stderr.is_empty(),
            "carpctl {line} on {}: status {}, {}{}",
            self.host.name(),
            outcome.code,
            outcome.stderr,
            self.log()
                .map(|log| format!("carpd printed:\n{log}"))
                .unwrap_or_default()
        );
        Ok(outcome.stdout)
    }

    /// Runs `carpctl LINE`, which must succeed with a warning. Returns the warning.
    pub fn carpctl_warns(&self, line: &str) -> Result<String> {
        let outcome = self.try_carpctl(line)?;
        ensure!(
            outcome.code == 0 && !outcome.stderr.is_empty(),
            "carpctl {line} on {}: {outcome:?}",
            self.host.name()
        );
        Ok(outcome.stderr)
    }

    /// Runs `carpctl LINE`. Returns its result.
    pub fn try_carpctl(&self, line: &str) -> Result<Outcome> {
        let output = self
            .carpctl_command()?
            .args(line.split_whitespace())
            .output()
            .with_context(|| format!("cannot run carpctl {line}"))?;
        Ok(Outcome {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Returns a carpctl for this carpd, without arguments.
    pub fn carpctl_command(&self) -> Result<Command> {
        let mut command = self.host.command(program("carpctl")?);
        command.env("CARPD_BUS_ADDRESS", self.address());
        Ok(command)
    }

    /// Returns the address of the private socket, for `CARPD_BUS_ADDRESS`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix:path={}", self.run_directory().join("bus").display())
    }

    /// Returns its run directory.
    #[must_use]
    pub fn run_directory(&self) -> PathBuf {
        self.directory.join("run")
    }

    /// Returns its configuration directory.
    #[must_use]
    pub fn config_directory(&self) -> PathBuf {
        self.directory.join("etc")
    }

    /// Returns the path of one of its configuration files.
    #[must_use]
    pub fn config(&self, name: &str) -> PathBuf {
        self.directory.join("etc").join(name)
    }

    /// Returns its process ID.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns its host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Returns one carp interface.
    pub fn interface(&self, name: &str) -> Result<Interface> {
        let text = self.carpctl(&format!("{name} --json"))?;
        serde_json::from_str(&text).with_context(|| format!("carpctl {name} --json:\n{text}"))
    }

    /// Returns the state of one carp interface.
    pub fn state(&self, name: &str) -> Result<String> {
        Ok(self.interface(name)?.state)
    }

    /// Returns a counter of one carp interface.
    pub fn counter(&self, interface: &str, counter: &str) -> Result<u64> {
        let statistics = self.interface(interface)?.statistics;
        statistics
            .get(counter)
            .copied()
            .with_context(|| format!("no counter {counter}"))
    }

    /// Waits until a carp interface is in `state`, for at most `bound`, the protocol's time, plus
    /// [`MARGIN`].
    pub fn wait_for_state(&self, name: &str, state: &str, bound: Duration) -> Result<()> {
        let what = format!("{name} on {} is {state}", self.host.name());
        wait_until(&what, bound + MARGIN, || {
            Ok((self.state(name)? == state).then_some(()))
        })
        .with_context(|| {
            format!(
                "carpctl {name}:\n{}carpd printed:\n{}",
                self.try_carpctl(name)
                    .map(|outcome| outcome.stdout)
                    .unwrap_or_default(),
                self.log().unwrap_or_default()
            )
        })
    }

    /// Waits until a counter is greater than `value`. Counters in carpd's answers can be a tenth of
    /// a second old.
    pub fn wait_for_more_than(&self, interface: &str, counter: &str, value: u64) -> Result<()> {
        let what = format!(
            "{counter} of {interface} on {} exceeds {value}",
            self.host.name()
        );
        wait_until(&what, MARGIN, || {
            Ok((self.counter(interface, counter)? > value).then_some(()))
        })
    }

    /// Waits until a counter has grown by `count`, at one per second.
    pub fn wait_for_counter(&self, interface: &str, counter: &str, count: u32) -> Result<()> {
        let before = self.counter(interface, counter)?;
        let what = format!(
            "{counter} of {interface} on {} grows by {count}",
            self.host.name()
        );
        wait_until(&what, Duration::from_secs(2) * count + MARGIN, || {
            let grown = self.counter(interface, counter)? >= before + u64::from(count);
            Ok(grown.then_some(()))
        })
    }

    /// Returns whether a direct socket is open on a physical interface: a packet socket for all
    /// protocols (packet(7), `ETH_P_ALL`).
    pub fn has_direct_socket(&self, interface: &str) -> Result<bool> {
        let link = self
            .host
            .run(&format!("cat /sys/class/net/{interface}/ifindex"))?;
        let index = link.trim();
        // sk RefCnt Type Proto Iface R Rmem User Inode
        Ok(self.host.run("cat /proc/net/packet")?.lines().any(|line| {
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            words.get(3) == Some(&"0003") && words.get(4) == Some(&index)
        }))
    }

    /// Returns carpd's output until now.
    pub fn log(&self) -> Result<String> {
        self.process.log()
    }

    /// Waits until carpd has printed `text`.
    pub fn wait_for_log(&self, text: &str) -> Result<()> {
        self.process.wait_for_log(text, START_TIMEOUT)
    }

    /// Stops carpd as systemd does and waits for its end.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.terminate(START_TIMEOUT)
    }

    /// Returns whether it has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.process.ended()?.is_some())
    }

    /// Stops carpd without removing anything (`SIGUSR2`) and waits for its end.
    pub fn keep(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::USR2)?;
        self.process.wait_for_end(START_TIMEOUT)
    }

    /// Kills carpd, so that it cannot clean up.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Sends carpd a signal, such as [`Signal::STOP`].
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Returns its exit status if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.ended()
    }

    /// Fails with its output if carpd has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        self.process.check_alive()
    }
}
