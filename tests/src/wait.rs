//! Waiting for events, with bounds from the protocol's timers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// Time that a busy machine can add to any of the protocol's times.
pub const MARGIN: Duration = Duration::from_secs(2);

/// Bound of a reaction that needs no timer of the protocol, such as a handover with a bow-out: far below
/// the three seconds of a takeover from a silent master.
pub const REACTION_TIMEOUT: Duration = Duration::from_millis(1500);

/// Interval between two checks of a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Returns the time that a backup waits for its master: three times `advbase` seconds plus
/// `advskew`/256 seconds.
#[must_use]
pub fn master_down(advbase: u32, advskew: u32) -> Duration {
    Duration::from_secs(1) * 3 * advbase + Duration::from_secs(1) * advskew / 256
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes every wait and every new host fail soon, so that the guards clean up.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Fails after [`interrupt`].
pub fn check_interrupted() -> Result<()> {
    ensure!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted");
    Ok(())
}

/// Calls `condition` until it returns a value. Fails after `bound`.
///
/// An error of the condition means "not yet"; the failure contains the last one.
pub fn wait_until<T>(
    what: &str,
    bound: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + bound;
    loop {
        check_interrupted()?;
        let outcome = condition();
        match outcome {
            Ok(Some(value)) => return Ok(value),
            Ok(None) if Instant::now() >= end => bail!("not within {bound:.1?}: {what}"),
            Err(error) if Instant::now() >= end => {
                return Err(error).with_context(|| format!("not within {bound:.1?}: {what}"));
            }
            Ok(None) | Err(_) => thread::sleep(POLL_INTERVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn master_down_is_three_intervals_and_the_skew() {
        assert_eq!(master_down(1, 0), Duration::from_secs(3));
        assert_eq!(master_down(1, 128), Duration::from_millis(3500));
    }

    #[test]
    fn condition_that_never_holds_fails_with_its_last_error() {
        let failure = wait_until("the moon", Duration::ZERO, || -> Result<Option<()>> {
            bail!("still green")
        });
        let text = format!("{:#}", failure.expect_err("nothing to wait for"));
        assert!(
            text.contains("the moon") && text.contains("still green"),
            "{text}"
        );
    }
}
