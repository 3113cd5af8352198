//! Privileges of carpd, of its threads and of the programs it starts.
//!
//! **Invariant:** privileges are given up while there is one thread. Capabilities belong to threads,
//! and each thread inherits those of its creator.

use std::io;

use anyhow::{Context as _, bail, ensure};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::process::{getrlimit, set_dumpable_behavior, setrlimit, umask};
use rustix::thread::{CapabilitySet, CapabilitySets};
use rustix::thread::{
    capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

/// Capabilities for devices, addresses, their settings, and packet sockets.
const NEEDED: CapabilitySet = CapabilitySet::NET_ADMIN.union(CapabilitySet::NET_RAW);

/// Capability for real-time threads.
const REALTIME: CapabilitySet = CapabilitySet::SYS_NICE;

/// Gives up every privilege except those on the network and, with `realtime`, on the scheduler.
///
/// Also sets a umask for files that only root can read, and protects the memory, which contains
/// passwords: no core is dumped, and only root can trace the process.
///
/// # Errors
/// A privilege is missing or cannot be given up; one line names it.
pub(crate) fn confine(realtime: bool) -> anyhow::Result<()> {
    let wanted = if realtime {
        NEEDED.union(REALTIME)
    } else {
        NEEDED
    };
    let missing = wanted.difference(capabilities(None)?.permitted);
    ensure!(
        missing.is_empty(),
        "carpd must be started with {}",
        names(missing)
    );
    // First: this needs a privilege that is given up below.
    bound(wanted)?;
    // EINVAL: an old kernel has no ambient set.
    match clear_ambient_capability_set() {
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(error).context("cannot clear the ambient capabilities"),
    }
    keep(wanted).context("cannot give up capabilities")?;
    set_no_new_privs(true).context("cannot refuse new privileges")?;
    umask(Mode::RWXG | Mode::RWXO);
    let limit = Rlimit {
        current: Some(0),
        ..getrlimit(Resource::Core)
    };
    setrlimit(Resource::Core, limit).context("cannot forbid core dumps")?;
    // Last: a change of capabilities resets this flag.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot forbid core dumps")?;
    Ok(())
}

/// Gives up every capability, as any user can: the process then reads files as carpd does.
///
/// # Errors
/// Those of capset(2).
pub(crate) fn renounce() -> io::Result<()> {
    keep(CapabilitySet::empty())
}

fn keep(wanted: CapabilitySet) -> io::Result<()> {
    let sets = CapabilitySets {
        effective: wanted,
        permitted: wanted,
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, sets)?)
}

/// Limits the capabilities of executed programs to `wanted`.
fn bound(wanted: CapabilitySet) -> anyhow::Result<()> {
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(one) {
            Ok(true) if !wanted.contains(one) => {}
            Ok(_) => continue,
            // The kernel has no further capabilities.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error).context("cannot read the bounding set"),
        }
        match remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            Err(Errno::PERM) => bail!(
                "cannot give up {}: start carpd with CAP_SETPCAP, or without {0}",
                names(one)
            ),
            Err(error) => return Err(error).context("cannot reduce the bounding set"),
        }
    }
    Ok(())
}

/// Names of capabilities(7).
fn names(set: CapabilitySet) -> String {
    let known: Vec<String> = set
        .iter_names()
        .map(|(name, _)| format!("CAP_{name}"))
        .collect();
    if known.is_empty() {
        format!("capability {}", set.bits().trailing_zeros())
    } else {
        known.join(" and ")
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    // Capabilities belong to the thread: other tests keep theirs.
    #[test]
    fn missing_capabilities_are_named() {
        let confined = thread::spawn(|| {
            keep(CapabilitySet::NET_ADMIN).unwrap();
            confine(true).unwrap_err().to_string()
        });
        assert_eq!(
            confined.join().unwrap(),
            "carpd must be started with CAP_NET_RAW and CAP_SYS_NICE"
        );
    }

    #[test]
    fn capability_that_cannot_be_given_up_is_named() {
        let bounded = thread::spawn(|| {
            keep(NEEDED).unwrap();
            bound(CapabilitySet::all().difference(CapabilitySet::CHOWN))
                .unwrap_err()
                .to_string()
        });
        assert_eq!(
            bounded.join().unwrap(),
            "cannot give up CAP_CHOWN: start carpd with CAP_SETPCAP, or without CAP_CHOWN"
        );
    }
}
