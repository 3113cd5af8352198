//! One hook: its environment, its time limit and its output.

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

/// Longest run of a hook.
pub(super) const RUN_TIMEOUT: Duration = Duration::from_secs(10);

/// Wait for further output after a hook has exited, from processes that it left running.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(100);

/// Maximum logged output of a hook, in bytes.
const OUTPUT_LIMIT: usize = 16_384;

/// `PATH` of a hook, as for root at a shell; that of carpd itself can be shorter.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Environment of a hook, see carpd(8). Variables that do not apply are empty.
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

/// Runs `program` to its end or to its time limit, and logs its output.
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
        Ok(None) => format!("was killed: it ran for {} seconds", RUN_TIMEOUT.as_secs()),
        Err(error) => format!("cannot be run: {error}"),
    };
    warn!(CARP_INTERFACE = unit_name, "{unit}: hook {name} {problem}");
}

/// Runs a hook and returns its status. `None` means that it reached its time limit and was killed, with
/// all processes that it started.
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
    // A negative score protects carpd, not its hooks. Raising the score needs no privilege. The write
    // fails if the program has already ended.
    if let Some(pid) = child.id() {
        let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), "0");
    }
    let status = timeout(RUN_TIMEOUT, ended(&mut child, &output, printed)).await;
    let Ok(status) = status else {
        kill(&child);
        child.wait().await?;
        return Ok(None);
    };
    // Processes that it left running can hold the pipe open for any time.
    let _late = timeout(OUTPUT_TIMEOUT, read(&output, printed))
        .await
        .is_err();
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
    // It has closed its output and still runs.
    child.wait().await
}

/// Reads to the end. Output beyond the limit is discarded, so that the writer never blocks.
async fn read(output: &Receiver, printed: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while output.readable().await.is_ok() {
        match output.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                let room = OUTPUT_LIMIT.saturating_sub(printed.len()).min(count);
                printed.extend_from_slice(buffer.get(..room).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Kills the program's process group.
fn kill(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(group) = pid.and_then(Pid::from_raw) {
        // Fails if it has just ended.
        let _ = kill_process_group(group, Signal::KILL);
    }
}
