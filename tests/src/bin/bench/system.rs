//! The processor time of children, for which no safe crate has the system call.
#![expect(unsafe_code, reason = "getrusage has no safe wrapper")]

use std::io;
use std::mem::zeroed;
use std::time::Duration;

/// Returns user and system time of all children that have ended.
pub(crate) fn time_of_children() -> io::Result<Duration> {
    // SAFETY: all zeroes are a valid rusage, and the kernel writes one to the address of `usage`.
    let usage = unsafe {
        let mut usage: libc::rusage = zeroed();
        if libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) != 0 {
            return Err(io::Error::last_os_error());
        }
        usage
    };
    let span = |time: libc::timeval| {
        Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default())
            + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or_default())
    };
    Ok(span(usage.ru_utime) + span(usage.ru_stime))
}
