//! Difference of the clocks that carpd reads from those of the machine. Only a test has one, because it
//! cannot set the clocks of the machine.

use std::time::Duration;

/// Difference of each clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    /// Time by which the wall clock is ahead.
    pub(super) later: Duration,
    /// Time by which the wall clock is behind.
    pub(super) earlier: Duration,
    /// Time for which the machine seems to have been suspended.
    pub(super) suspended: Duration,
}

/// Environment variable with the path of the file that has the differences. Without it there are none.
#[cfg(test)]
pub(super) const FILE: &str = "CARPD_TEST_CLOCKS";

/// Returns no difference.
#[cfg(not(test))]
pub(super) const fn moved() -> Moved {
    Moved {
        later: Duration::ZERO,
        earlier: Duration::ZERO,
        suspended: Duration::ZERO,
    }
}

/// Reads the differences from the file.
#[cfg(test)]
pub(super) fn moved() -> Moved {
    let Some(file) = std::env::var_os(FILE) else {
        return Moved::default();
    };
    let text = std::fs::read_to_string(file).unwrap();
    let mut seconds = text
        .split_whitespace()
        .map(|word| Duration::from_secs_f64(word.parse().unwrap()));
    Moved {
        later: seconds.next().unwrap(),
        earlier: seconds.next().unwrap(),
        suspended: seconds.next().unwrap(),
    }
}
