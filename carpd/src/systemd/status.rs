//! Status line: the number of interfaces in each state, as `systemctl status` shows it.

use std::fmt;
use std::time::Duration;

use carp_proto::StateName;
use tokio::sync::watch;

use super::notify::Systemd;
use crate::snapshot::{SharedSnapshot, Snapshot};

/// Pause after a change. Thousands of interfaces can change their states at the same time, and systemd
/// gets one line for all of them.
const GATHER_TIME: Duration = Duration::from_millis(200);

/// Number of interfaces in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    master: usize,
    backup: usize,
    init: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            master,
            backup,
            init,
        } = self;
        write!(formatter, "{master} MASTER, {backup} BACKUP, {init} INIT")
    }
}

impl Counts {
    fn of(snapshot: &Snapshot) -> Self {
        let mut counts = Self::default();
        for status in snapshot.interfaces.values() {
            match status.state {
                StateName::Master => counts.master += 1,
                StateName::Backup => counts.backup += 1,
                StateName::Init => counts.init += 1,
            }
        }
        counts
    }
}

/// Keeps the status line up to date. `states` is notified of each change of the states in `snapshot`.
/// Ends when its sender is dropped.
pub(crate) async fn keep(
    systemd: &Systemd,
    snapshot: &SharedSnapshot,
    mut states: watch::Receiver<()>,
) {
    let mut sent = None;
    loop {
        let counts = Counts::of(&snapshot.lock());
        if sent != Some(counts) {
            systemd.status(&counts.to_string());
            sent = Some(counts);
        }
        if states.changed().await.is_err() {
            return;
        }
        tokio::time::sleep(GATHER_TIME).await;
        states.mark_unchanged();
    }
}
