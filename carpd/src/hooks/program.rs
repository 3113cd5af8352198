//! One hook: what it is told, how long it may take, and what becomes of what it prints.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use std::{fs, io};

use carp_proto::{Transition, Unit};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tracing::{info, warn};

/// How long a hook may run.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// How long what a hook left running keeps us reading after it has ended.
const LINGER: Duration = Duration::from_millis(100);

/// How much of what a hook prints is kept, in bytes.
const PRINTED: usize = 16_384;

/// As for root at a shell: carpd's own may have been started with less.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The facts, under the names that hooks know. What there is not is empty.
pub(super) fn environment(transition: &Transition) -> Vec<(&'static str, String)> {
    let Transition {
        unit,
        vhid,
        device,
        at,
        from,
        to,
        reason,
        peer,
    } = transition;
    let micros = at.micros();
    let or_empty = |fact: Option<String>| fact.unwrap_or_default();
    vec![
        ("CARP_INTERFACE", unit.to_string()),
        (
            "CARP_VHID",
            or_empty(vhid.map(|vhid| vhid.get().to_string())),
        ),
        (
            "CARP_DEVICE",
            or_empty(device.as_ref().map(ToString::to_string)),
        ),
        ("CARP_FROM", from.text().to_owned()),
        ("CARP_TO", to.text().to_owned()),
        ("CARP_REASON", reason.word().to_owned()),
        ("CARP_PEER", or_empty(peer.map(|peer| peer.to_string()))),
        (
            "CARP_TIME",
            format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000),
        ),
        ("PATH", SEARCH_PATH.to_owned()),
    ]
}

/// Runs `program` to its end or to the end of its time, and logs what it printed.
pub(super) async fn run(program: &Path, unit: Unit, environment: &[(&'static str, String)]) {
    let name = program.file_name().unwrap_or_default().display();
    let mut printed = Vec::new();
    let outcome = attend(program, environment, &mut printed).await;
    let unit_name = unit.to_string();
    for line in String::from_utf8_lossy(&printed).lines() {
        info!(CARP_INTERFACE = unit_name, "{unit}: hook {name}: {line}");
    }
    let problem = match outcome {
        Ok(Some(status)) if status.success() => return,
        Ok(Some(status)) => format!("ended with {status}"),
        Ok(None) => format!("was killed: it ran for {} seconds", LIMIT.as_secs()),
        Err(error) => format!("cannot be run: {error}"),
    };
    warn!(CARP_INTERFACE = unit_name, "{unit}: hook {name} {problem}");
}

/// The status; `None` if its time was over, and it is dead with all that it started.
async fn attend(
    program: &Path,
    environment: &[(&'static str, String)],
    printed: &mut Vec<u8>,
) -> io::Result<Option<ExitStatus>> {
    let (ours, theirs) = io::pipe()?;
    let output = Receiver::from_owned_fd(OwnedFd::from(ours))?;
    let mut child = Command::new(program)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(theirs.try_clone()?)
        .stderr(theirs)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    // Where a host short of memory is told to spare carpd, that is not meant for what it starts.
    // No privilege is needed to be spared less; the program may have ended already.
    if let Some(pid) = child.id() {
        let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), "0");
    }
    let status = timeout(LIMIT, ended(&mut child, &output, printed)).await;
    let Ok(status) = status else {
        kill(&child);
        child.wait().await?;
        return Ok(None);
    };
    // What it left running may hold the pipe open for as long as it likes.
    let _late = timeout(LINGER, read(&output, printed)).await.is_err();
    status.map(Some)
}

/// Reads until the program has ended.
async fn ended(
    child: &mut Child,
    output: &Receiver,
    printed: &mut Vec<u8>,
) -> io::Result<ExitStatus> {
    tokio::select! {
        biased;
        status = child.wait() => return status,
        () = read(output, printed) => {}
    }
    // It has closed its output, and goes on.
    child.wait().await
}

/// Reads to the end. What is more than enough is thrown away, so that nobody waits to write it.
async fn read(output: &Receiver, printed: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while output.readable().await.is_ok() {
        match output.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                let room = PRINTED.saturating_sub(printed.len()).min(count);
                printed.extend_from_slice(buffer.get(..room).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Kills the program's process group, which is its own.
fn kill(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(group) = pid.and_then(Pid::from_raw) {
        // It may have ended just now.
        let _ = kill_process_group(group, Signal::KILL);
    }
}
