//! How many interfaces are in which state: the line that systemd shows.

use std::fmt;
use std::time::Duration;

use carp_proto::{StateName, Unit};

use super::board::Board;
use super::hub::Hub;

/// Thousands of interfaces may change their state at once; systemd is told of that together.
const TOGETHER: Duration = Duration::from_millis(200);

/// The number of interfaces in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    master: usize,
    backup: usize,
    init: usize,
}

impl fmt::Display for Standing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            master,
            backup,
            init,
        } = self;
        write!(formatter, "{master} MASTER, {backup} BACKUP, {init} INIT")
    }
}

impl Standing {
    fn of(board: &Board) -> Self {
        let mut standing = Self::default();
        for status in board.interfaces.values() {
            match status.state {
                StateName::Master => standing.master += 1,
                StateName::Backup => standing.backup += 1,
                StateName::Init => standing.init += 1,
            }
        }
        standing
    }
}

/// The interfaces that are MASTER, in the order of their numbers.
pub(super) fn masters(board: &Board) -> impl Iterator<Item = Unit> {
    let interfaces = board.interfaces.iter();
    interfaces
        .filter(|(_, status)| status.state == StateName::Master)
        .map(|(unit, _)| *unit)
}

/// Keeps systemd's line current until the hub is closed.
pub(super) async fn keep_told(hub: &Hub) {
    let mut moves = hub.moves();
    let mut told = None;
    let telling = async {
        loop {
            let standing = Standing::of(&hub.board());
            if told != Some(standing) {
                hub.systemd().status(&standing.to_string());
                told = Some(standing);
            }
            // The sender is in `hub`, so that waiting cannot fail.
            let _ = moves.changed().await;
            tokio::time::sleep(TOGETHER).await;
            moves.mark_unchanged();
        }
    };
    tokio::select! {
        () = hub.closed() => {}
        () = telling => {}
    }
}
