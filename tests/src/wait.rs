//! Waiting for events, with bounds made of the protocol's own times.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// What a busy machine may add to any of the protocol's times.
pub const MARGIN: Duration = Duration::from_secs(2);

/// The bound of a hand-over announced by a bow-out: far below the three seconds of a silent one.
pub const AT_ONCE: Duration = Duration::from_millis(1500);

const POLL: Duration = Duration::from_millis(10);

/// How long a backup waits for its master: three times `advbase` seconds and `advskew`/256.
#[must_use]
pub fn master_down(advbase: u32, advskew: u32) -> Duration {
    Duration::from_secs(1) * 3 * advbase + Duration::from_secs(1) * advskew / 256
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes everything that waits or wants a new host fail soon, so that the guards clean up.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Fails after [`interrupt`].
pub fn check_interrupted() -> Result<()> {
    ensure!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted");
    Ok(())
}

/// Asks `condition` again and again until it gives a value, and fails when `bound` has passed.
///
/// An error of the condition counts as "not yet"; the last one is part of the failure's text.
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
            Ok(None) | Err(_) => thread::sleep(POLL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_example_waits_three_seconds_and_the_skew() {
        assert_eq!(master_down(1, 0), Duration::from_secs(3));
        assert_eq!(master_down(1, 128), Duration::from_millis(3500));
    }

    #[test]
    fn a_condition_that_never_holds_fails_with_its_last_error() {
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
