//! Watchdog pings. The protocol thread sends them itself: if it hangs, they stop. A full socket drops a
//! ping.

use std::sync::Arc;
use std::time::Duration;

use carp_proto::Instant;
use sd_notify::NotifyState;

use super::socket::Socket;

/// Pings per timeout of systemd's watchdog. `sd_watchdog_enabled(3)` advises two; a full socket can
/// drop one.
const PINGS: u32 = 4;

/// Sender of watchdog pings.
#[derive(Debug)]
pub(crate) struct Watchdog {
    socket: Arc<Socket>,
    period: Duration,
    next: Option<Instant>,
    ping: String,
}

impl Watchdog {
    pub(super) fn new(socket: Arc<Socket>, timeout: Duration) -> Self {
        Self {
            socket,
            period: timeout / PINGS,
            next: None,
            ping: NotifyState::Watchdog.to_string(),
        }
    }

    /// Returns the time of the next ping; `None` before the first.
    pub(crate) const fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Sends a ping if one is due. Never blocks.
    pub(crate) fn feed(&mut self, now: Instant) {
        if self.next.is_none_or(|next| next <= now) {
            self.next = Some(now + self.period);
            // If the socket is full, three more pings follow within the timeout.
            let _ = self.socket.send(&self.ping);
        }
    }
}
