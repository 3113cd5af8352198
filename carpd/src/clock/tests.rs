//! Clocks that jump, and a machine that seems to have been suspended, while carpd runs as usual. The
//! machine's clocks are not changed: carpd adds a difference to what it reads.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Capture, Carpd, Pair, master_down};
use clap::Parser as _;

use super::moved::{FILE, Moved};
use super::*;
use crate::options::Options;

/// Environment variable that makes the test's executable carpd, with these arguments.
const ARGUMENTS: &str = "CARPD_TEST_ARGUMENTS";

const ADDRESS: &str = "192.168.1.1";

const HOUR: Duration = Duration::from_secs(3_600);

/// File with the differences.
struct Clocks(PathBuf);

impl Clocks {
    fn set(&self, moved: Moved) -> Result<()> {
        let new = self.0.with_extension("new");
        let seconds = [moved.later, moved.earlier, moved.suspended].map(|span| span.as_secs_f64());
        let [later, earlier, suspended] = seconds;
        fs::write(&new, format!("{later} {earlier} {suspended}\n"))?;
        fs::rename(new, &self.0).context("the clocks")
    }

    /// Sets the clocks as after so many hours of sleep. A request then wakes carpd, which sets its timer
    /// anew, so that the timer expires as after a real sleep.
    fn suspend(&self, carpd: &Carpd, hours: u32) -> Result<()> {
        self.set(Moved {
            later: HOUR * hours,
            earlier: Duration::ZERO,
            suspended: HOUR * hours,
        })?;
        carpd.carpctl("sysctl net.inet.carp.log=2").map(drop)
    }
}

/// Returns a pair in which A is this executable, so that its clocks can be set.
fn pair() -> Result<(Pair, Clocks)> {
    let mut pair = Pair::new()?;
    let clocks = Clocks(pair.lab.path("clocks"));
    clocks.set(Moved::default())?;
    let script = pair.lab.path("carpd-with-clocks");
    let (file, own) = (clocks.0.display(), env::current_exe()?);
    let story = "clock::tests::group_recovers_from_clock_jumps_and_suspension";
    fs::write(
        &script,
        format!(
            "#!/bin/sh\nexport {FILE}={file} {ARGUMENTS}=\"$*\"\n\
             exec {} --exact {story} --nocapture --test-threads 1\n",
            own.display()
        ),
    )?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700))?;
    pair.a.stop()?;
    pair.a.replace(script, "--foreground");
    pair.a.restart()?;
    for carpd in [&pair.a, &pair.b] {
        carpd.carpctl("sysctl net.inet.carp.log=2")?;
    }
    pair.form_group(&format!("{ADDRESS}/24"))?;
    Ok((pair, clocks))
}

/// Checks that A advertises and no state changes for longer than a backup waits.
fn state_stays(pair: &Pair) -> Result<()> {
    let changes = || -> Result<[u64; 2]> {
        Ok([
            pair.a.counter("carp0", "ostates")?,
            pair.b.counter("carp0", "ostates")?,
        ])
    };
    let before = changes()?;
    pair.a.wait_for_counter("carp0", "opackets", 5)?;
    ensure!(changes()? == before, "a state has changed");
    Ok(())
}

fn reason(carpd: &Carpd) -> Result<String> {
    let last = carpd.interface("carp0")?.last_transition;
    Ok(last.context("a transition")?.reason)
}

fn as_carpd(arguments: OsString) {
    let arguments = arguments.into_string().unwrap();
    let arguments = std::iter::once("carpd").chain(arguments.split_whitespace());
    crate::run_with(&Options::parse_from(arguments));
}

#[test]
fn group_recovers_from_clock_jumps_and_suspension() -> Result<()> {
    if let Some(arguments) = env::var_os(ARGUMENTS) {
        as_carpd(arguments);
        return Ok(());
    }
    let (pair, clocks) = pair()?;
    let before = pair.footprints()?;
    let mut capture = Capture::sent_by(pair.a.host(), "eth0")?;

    let here = Moved::default();
    let later = Moved {
        later: 3 * HOUR,
        ..here
    };
    let earlier = Moved {
        earlier: 3 * HOUR,
        ..here
    };
    for moved in [here, later, earlier] {
        clocks.set(moved)?;
        state_stays(&pair)?;
        pair.recovers_with_a(ADDRESS, before)?;
    }
    let counters: Vec<u64> = capture
        .stop()?
        .iter()
        .filter_map(|frame| Some(frame.advertisement()?.counter))
        .collect();
    let back: Vec<u64> = counters
        .windows(2)
        .filter_map(|pair| pair[0].checked_sub(pair[1]))
        .collect();
    ensure!(
        matches!(back[..], [by] if by >> 32 > 5 * HOUR.as_secs()),
        "counters did not follow the clock: {counters:?}"
    );
    pair.a
        .wait_for_log("s ahead of the clock, which was set back: they start again at the clock")?;

    // The lease was not renewed for an hour, so that another host may have the addresses.
    clocks.suspend(&pair.a, 1)?;
    pair.a
        .wait_for_log("carp0: MASTER -> BACKUP (was stopped for longer than a backup waits)")?;
    pair.recovers(ADDRESS, before)?;

    // A BACKUP that wakes up sends nothing.
    pair.a.carpctl("carp0 state backup")?;
    pair.b
        .wait_for_state("carp0", "MASTER", master_down(1, 100))?;
    pair.a.wait_for_state("carp0", "BACKUP", Duration::ZERO)?;
    let sent = pair.a.counter("carp0", "opackets")?;
    clocks.suspend(&pair.a, 2)?;
    pair.b.wait_for_counter("carp0", "opackets", 5)?;
    ensure!(
        pair.a.counter("carp0", "opackets")? == sent,
        "A has sent: {}",
        reason(&pair.a)?
    );
    pair.recovers(ADDRESS, before)
}

#[test]
fn clock_that_was_ahead_leaves_no_second_master() -> Result<()> {
    let (pair, clocks) = pair()?;
    let right = Moved::default();
    for carpd in [&pair.a, &pair.b] {
        carpd.carpctl("sysctl net.inet.carp.replay=2 net.inet.carp.replay_window=2")?;
    }
    for later in [2 * HOUR, Duration::from_millis(2500)] {
        state_stays(&pair)?;
        clocks.set(Moved { later, ..right })?;
        // B refuses what is sealed outside of the window.
        let wait = master_down(1, 100) + later.min(Duration::from_secs(3));
        pair.b.wait_for_state("carp0", "MASTER", wait)?;
        clocks.set(right)?;
        // The advertisement after the next is sealed by the right clock at the latest.
        pair.b
            .wait_for_state("carp0", "BACKUP", Duration::from_secs(2))?;
    }
    state_stays(&pair)?;
    pair.a.wait_for_state("carp0", "MASTER", Duration::ZERO)
}
