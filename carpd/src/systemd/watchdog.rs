//! Signs of life, from the protocol's thread itself: where it hangs, they end.

use std::sync::Arc;
use std::time::Duration;

use carp_proto::Instant;
use sd_notify::NotifyState;

use super::Socket;

/// How many signs fit into systemd's patience; it advises two, but one may find no room.
const SIGNS: u32 = 4;

/// Gives signs of life, for as long as somebody calls [`Watchdog::feed`].
#[derive(Debug)]
pub(crate) struct Watchdog {
    socket: Arc<Socket>,
    period: Duration,
    next: Option<Instant>,
    sign: String,
}

impl Watchdog {
    pub(super) fn new(socket: Arc<Socket>, patience: Duration) -> Self {
        Self {
            socket,
            period: patience / SIGNS,
            next: None,
            sign: NotifyState::Watchdog.to_string(),
        }
    }

    /// When the next sign is due; `None` before the first.
    pub(crate) const fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Gives a sign if one is due. Never waits.
    pub(crate) fn feed(&mut self, now: Instant) {
        if self.next.is_none_or(|next| next <= now) {
            self.next = Some(now + self.period);
            // If there is no room, there are three more.
            let _ = self.socket.send(&self.sign);
        }
    }
}
