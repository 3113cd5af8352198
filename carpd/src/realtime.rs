//! `--realtime`: real-time priority for the protocol's threads, and locked memory.

use std::os::unix::thread::JoinHandleExt as _;
use std::str::FromStr;
use std::thread::JoinHandle;
use std::{io, mem};

use anyhow::{Context as _, ensure};
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Priority of `SCHED_FIFO`, 1 to 99.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Priority(u8);

impl FromStr for Priority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(priority @ 1..=99) => Ok(Self(priority)),
            _ => Err(format!("a real-time priority is 1 to 99, not '{text}'")),
        }
    }
}

impl Priority {
    /// Gives `thread` this priority. Its child threads and processes have an ordinary one.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_NICE`, or in a control group without real-time budget.
    #[expect(unsafe_code, reason = "no safe crate sets the policy of a thread")]
    pub(crate) fn give<T>(self, thread: &JoinHandle<T>) -> io::Result<()> {
        // SAFETY: a `sched_param` consists of integers, for which zero is valid.
        let mut parameters: libc::sched_param = unsafe { mem::zeroed() };
        parameters.sched_priority = self.0.into();
        let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
        // SAFETY: the borrowed handle keeps the thread from being joined or detached, and the
        // parameters outlive the call.
        let error = unsafe {
            libc::pthread_setschedparam(thread.as_pthread_t(), policy, &raw const parameters)
        };
        match error {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Locks all present memory, and future memory once it is used: no advertisement waits for a disk.
///
/// Call this before privileges are given up.
///
/// # Errors
/// The limit on locked memory is low and cannot be raised.
pub(crate) fn lock_memory() -> anyhow::Result<()> {
    // With a limit, a later allocation would fail and end carpd.
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    let raised = setrlimit(Resource::Memlock, unlimited);
    ensure!(
        raised.is_ok() || getrlimit(Resource::Memlock).current.is_none(),
        "there is a limit on it; start carpd with LimitMEMLOCK=infinity (systemd) \
         or ulimit -l unlimited"
    );
    mlockall(MlockAllFlags::CURRENT)
        // ONFAULT: stacks and heaps are much larger than their used part.
        .and_then(|()| mlockall(MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT))
        .context("mlockall")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_is_1_to_99() {
        assert_eq!("1".parse(), Ok(Priority(1)));
        assert_eq!("99".parse(), Ok(Priority(99)));
        for wrong in ["0", "100", "-1", "high", ""] {
            assert_eq!(
                wrong.parse::<Priority>(),
                Err(format!("a real-time priority is 1 to 99, not '{wrong}'"))
            );
        }
    }
}
