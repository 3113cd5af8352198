//! The kernel removes the addresses of a dead or hung carpd in time.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Capture, Carpd, Frame, MARGIN, Pair, Ping, Process, master_down, wait_until};
use rustix::process::Signal;

const ADDRESS: &str = "192.168.1.1";

/// Lease with advbase 1.
const LEASE: Duration = Duration::from_secs(3);

/// Returns when echo replies for the address were sent, in microseconds since the epoch.
fn replies(frames: &[Frame]) -> Vec<u64> {
    frames
        .iter()
        .filter(|frame| {
            frame
                .echo()
                .is_some_and(|echo| !echo.request && echo.source.to_string() == ADDRESS)
        })
        .map(|frame| frame.time)
        .collect()
}

fn now() -> Result<u64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(now.as_micros().try_into()?)
}

/// Makes a pair that both receive all frames to the virtual MAC: a switch would learn the right
/// port too early.
fn flooded_pair() -> Result<Pair> {
    let pair = Pair::new()?;
    pair.flood()?;
    pair.form_group("192.168.1.1/24")?;
    Ok(pair)
}

/// Asserts that A answers no longer than the lease after `event`, and that both hosts answer
/// together for less than that. A client asks a hundred times a second, and both hosts hear it.
fn never_two(pair: &mut Pair, event: impl FnOnce(&mut Carpd) -> Result<()>) -> Result<()> {
    let mut by_a = Capture::sent_by(pair.a.host(), "eth0")?;
    let mut by_b = Capture::sent_by(pair.b.host(), "eth0")?;
    let _ping = Ping::start(&pair.client, ADDRESS)?;
    event(&mut pair.a)?;
    let begin = now()?;
    let bound = LEASE + master_down(1, 100);
    pair.b.wait_for_state("carp0", "MASTER", bound)?;
    let host = pair.a.host().clone();
    wait_until("A's kernel has taken the address away", MARGIN, || {
        Ok((!host.addresses()?.contains(ADDRESS)).then_some(()))
    })?;
    // Time for anything that might restore the address.
    pair.b.wait_for_counter("carp0", "opackets", 2)?;
    ensure!(!host.addresses()?.contains(ADDRESS), "A has it again");
    let (by_a, by_b) = (replies(&by_a.stop()?), replies(&by_b.stop()?));
    let last = *by_a.last().context("A has answered")?;
    let first = *by_b.first().context("B answers")?;
    let lasted = Duration::from_micros(last.saturating_sub(begin));
    let together = Duration::from_micros(last.saturating_sub(first));
    println!("A answered for another {lasted:.2?}, together with B for {together:.2?}");
    // A renewal may have been on its way, and the kernel checks leases at intervals.
    ensure!(lasted <= LEASE + Duration::from_millis(500), "{lasted:?}");
    ensure!(together <= LEASE, "{together:?}");
    Ok(())
}

/// Asserts that A, which the kernel no longer stops, sends nothing and hears that B is MASTER.
fn wakes_up_as_backup(pair: &Pair, wake: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut sent = Capture::sent_by(pair.a.host(), "eth0")?;
    wake()?;
    pair.a.wait_for_state("carp0", "BACKUP", Duration::ZERO)?;
    let transition = pair.a.interface("carp0")?.last_transition;
    assert_eq!(transition.context("a transition")?.reason, "overslept");
    // It would be the next master after three seconds of silence; B advertises each 1.4 s.
    pair.b.wait_for_counter("carp0", "opackets", 4)?;
    let said = sent.stop()?;
    let advertisements = said.iter().filter_map(Frame::advertisement).count();
    assert_eq!(advertisements, 0, "A advertises");
    assert_eq!(pair.a.state("carp0")?, "BACKUP");
    assert_eq!(pair.b.state("carp0")?, "MASTER");
    pair.client_reaches(ADDRESS)
}

#[test]
fn lease_ends_the_addresses_of_a_killed_carpd() -> Result<()> {
    let mut pair = flooded_pair()?;
    never_two(&mut pair, Carpd::kill)?;
    pair.client_reaches(ADDRESS)
}

#[test]
fn stopped_carpd_loses_its_addresses_and_wakes_as_backup() -> Result<()> {
    let mut pair = flooded_pair()?;
    let before = pair.footprints()?;
    never_two(&mut pair, |a| a.signal(Signal::STOP))?;
    let pid = i32::try_from(pair.a.id())?;
    let pid = rustix::process::Pid::from_raw(pid).context("a process id")?;
    wakes_up_as_backup(&pair, || {
        Ok(rustix::process::kill_process(pid, Signal::CONT)?)
    })?;
    pair.recovers(ADDRESS, before)
}

#[test]
fn lease_ends_the_addresses_when_the_protocol_thread_hangs() -> Result<()> {
    let mut pair = flooded_pair()?;
    let before = pair.footprints()?;
    let mut tracer = None;
    never_two(&mut pair, |a| {
        tracer = Some(a.hang("protocol")?);
        // While the protocol hangs, carpd does not repair changes for ever, either.
        a.host().run("ip address flush dev carp0").map(drop)
    })?;
    wakes_up_as_backup(&pair, || tracer.as_mut().map_or(Ok(()), Process::kill))?;
    pair.recovers(ADDRESS, before)
}

#[test]
fn hung_kernel_thread_ends_carpd_and_the_peer_takes_over() -> Result<()> {
    let mut pair = flooded_pair()?;
    let mut tracer = None;
    never_two(&mut pair, |a| {
        tracer = Some(a.hang("kernel")?);
        Ok(())
    })?;
    pair.a.wait_for_log("the kernel has not responded")?;
    // The process keeps its devices as long as one thread is stopped.
    pair.a
        .wait_for_log("the kernel did not undo all changes in time")?;
    if let Some(tracer) = &mut tracer {
        tracer.kill()?;
    }
    let status = wait_until("carpd has ended", MARGIN, || pair.a.ended())?;
    assert_eq!(status.code(), Some(1), "systemd starts it again");
    pair.client_reaches(ADDRESS)
}

#[test]
fn lease_ends_the_addresses_of_a_carpd_killed_for_memory() -> Result<()> {
    let mut pair = flooded_pair()?;
    never_two(&mut pair, |a| match Group::new(a.id()) {
        Ok(group) => group.exhaust(a),
        Err(error) => {
            // The signal that the kernel would send.
            println!("cannot make a memory cgroup, so the test kills carpd: {error:#}");
            a.kill()
        }
    })?;
    pair.client_reaches(ADDRESS)
}

/// A memory cgroup with too little memory, of version 1 or 2.
struct Group {
    path: PathBuf,
}

impl Group {
    /// Makes the cgroup with this process in it.
    fn new(process: u32) -> Result<Self> {
        let name = format!("carp{}-memory", std::process::id());
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (parent, limit) = if v1.exists() {
            (v1, "memory.limit_in_bytes")
        } else {
            (Path::new("/sys/fs/cgroup"), "memory.max")
        };
        let group = Self {
            path: parent.join(name),
        };
        fs::create_dir(&group.path).context("cannot make a cgroup")?;
        fs::write(group.path.join(limit), "64M").context(limit)?;
        group.add(process)?;
        Ok(group)
    }

    fn add(&self, process: u32) -> Result<()> {
        let list = self.path.join("cgroup.procs");
        fs::write(list, process.to_string()).context("cannot enter the cgroup")
    }

    /// Runs another process in the cgroup that uses up its memory, so that the kernel kills carpd.
    fn exhaust(&self, carpd: &mut Carpd) -> Result<()> {
        let pid = carpd.id();
        let score = format!("/proc/{pid}/oom_score_adj");
        fs::write(&score, "1000").context(score)?;
        // A small program: its own mappings count too.
        let mut command = carpd.host().command("sh");
        command.args(["-c", "sleep 0.5; exec tail /dev/zero"]);
        let mut eater = carpd.host().spawn("eater", command)?;
        self.add(eater.id())?;
        let status = wait_until("carpd is killed", Duration::from_secs(10), || carpd.ended())?;
        eater.kill()?;
        let counted = ["memory.oom_control", "memory.events"]
            .iter()
            .find_map(|name| fs::read_to_string(self.path.join(name)).ok())
            .context("the cgroup does not count kills")?;
        // The kernel may have killed that process as well.
        let kills = counted
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        ensure!(
            status.signal() == Some(9) && kills.is_some_and(|kills| kills != "0"),
            "{status}; {counted}"
        );
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have ended, and the kernel takes a moment to notice.
        let _ = wait_until("the cgroup is empty", MARGIN, || {
            Ok(Some(fs::remove_dir(&self.path)?))
        });
    }
}
