//! Notifications to the service manager, see `sd_notify(3)`: ready, status, reloading, stopping. They are
//! queued, and [`Outbox::run`] sends them. Without `NOTIFY_SOCKET`, none are sent.

use std::env;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::mpsc;
use tracing::warn;

use super::socket::Socket;
use super::watchdog::Watchdog;

/// Maximum number of queued notifications. The queue fills only while systemd hangs.
const QUEUE_LIMIT: usize = 256;

/// Pause before sending again when systemd's socket is full.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Sender of notifications. Clones share the queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Systemd {
    queue: Option<mpsc::Sender<String>>,
    ready: Arc<AtomicBool>,
}

/// Queue of notifications.
#[derive(Debug)]
pub(crate) struct Outbox {
    socket: Arc<Socket>,
    queue: mpsc::Receiver<String>,
}

/// Reload in progress, until it is dropped.
#[derive(Debug)]
pub(crate) struct Reloading<'a>(&'a Systemd);

/// Connects to the service manager if it wants notifications (`NOTIFY_SOCKET`) and watchdog pings
/// (`WATCHDOG_USEC`).
pub(crate) fn connect() -> (Systemd, Option<Outbox>, Option<Watchdog>) {
    let Some(address) = env::var_os("NOTIFY_SOCKET") else {
        return (Systemd::default(), None, None);
    };
    let socket = match Socket::to(&address) {
        Ok(socket) => Arc::new(socket),
        Err(error) => {
            warn!("NOTIFY_SOCKET={}: {error}", address.display());
            return (Systemd::default(), None, None);
        }
    };
    let watchdog = sd_notify::watchdog_enabled()
        .filter(|timeout| !timeout.is_zero())
        .map(|timeout| Watchdog::new(Arc::clone(&socket), timeout));
    let (sender, queue) = mpsc::channel(QUEUE_LIMIT);
    let systemd = Systemd {
        queue: Some(sender),
        ready: Arc::default(),
    };
    (systemd, Some(Outbox { socket, queue }), watchdog)
}

impl Systemd {
    /// Reports that sockets, bus and configuration are up.
    pub(crate) fn ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
        self.notify(&[NotifyState::Ready]);
    }

    /// Sets the line that `systemctl status` shows.
    pub(crate) fn status(&self, line: &str) {
        self.notify(&[NotifyState::Status(line)]);
    }

    /// Reports a reload, until the guard is dropped. `None` before carpd is ready, when reading the
    /// configuration is part of starting.
    pub(crate) fn reloading(&self) -> Option<Reloading<'_>> {
        if !self.ready.load(Ordering::Relaxed) {
            return None;
        }
        // Without the time, systemd 253 and later would take the reload for failed.
        let now = NotifyState::monotonic_usec_now().ok()?;
        self.notify(&[NotifyState::Reloading, now]);
        Some(Reloading(self))
    }

    /// Reports that carpd is stopping.
    pub(crate) fn stopping(&self) {
        self.notify(&[NotifyState::Stopping, NotifyState::Status("handing over")]);
    }

    fn notify(&self, states: &[NotifyState<'_>]) {
        if let Some(queue) = &self.queue {
            let lines: Vec<String> = states.iter().map(ToString::to_string).collect();
            // A full queue drops the notification: systemd has not read for a long time.
            let _ = queue.try_send(lines.join("\n"));
        }
    }
}

impl Drop for Reloading<'_> {
    fn drop(&mut self) {
        self.0.ready();
    }
}

/// Runs `work`, and sends queued notifications meanwhile.
pub(crate) async fn notify_during(outbox: Option<Outbox>, work: impl Future<Output = ()>) {
    let Some(mut outbox) = outbox else {
        return work.await;
    };
    tokio::select! {
        () = outbox.run() => {}
        () = work => {}
    }
    outbox.finish();
}

impl Outbox {
    /// Sends queued notifications. Never ends.
    async fn run(&mut self) {
        while let Some(message) = self.queue.recv().await {
            self.send(&message).await;
        }
        std::future::pending::<()>().await;
    }

    /// Sends the remaining notifications, as far as the socket has room.
    fn finish(mut self) {
        while let Ok(message) = self.queue.try_recv() {
            let _ = self.socket.send(&message);
        }
    }

    async fn send(&self, message: &str) {
        while let Err(error) = self.socket.send(message) {
            if error.kind() != ErrorKind::WouldBlock {
                warn!("cannot notify systemd {message:?}: {error}");
                return;
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn pair() -> (UnixDatagram, Systemd, Outbox, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let theirs = UnixDatagram::bind(&path).unwrap();
        let socket = Arc::new(Socket::to(path.as_os_str()).unwrap());
        let (sender, queue) = mpsc::channel(QUEUE_LIMIT);
        let systemd = Systemd {
            queue: Some(sender),
            ready: Arc::default(),
        };
        (theirs, systemd, Outbox { socket, queue }, directory)
    }

    fn read(theirs: &UnixDatagram) -> String {
        carp_tests::receive(theirs, Duration::from_secs(20)).unwrap()
    }

    #[test]
    fn reload_is_reported_once_carpd_is_ready() {
        let (theirs, systemd, outbox, _directory) = pair();
        assert!(systemd.reloading().is_none());
        systemd.ready();
        drop(systemd.reloading());
        systemd.stopping();
        outbox.finish();
        assert_eq!(read(&theirs), "READY=1");
        let reloading = read(&theirs);
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        assert!(time.unwrap().parse::<u64>().unwrap() > 0, "{reloading}");
        assert_eq!(read(&theirs), "READY=1");
        assert_eq!(read(&theirs), "STOPPING=1\nSTATUS=handing over");
    }

    #[tokio::test]
    async fn watchdog_ping_is_dropped_when_the_socket_is_full() {
        let (theirs, systemd, mut outbox, _directory) = pair();
        // The queue of a socket is as long as net.unix.max_dgram_qlen.
        let mut filled = 0;
        while outbox.socket.send("STATUS=busy").is_ok() {
            filled += 1;
        }
        let timeout = Duration::from_secs(4);
        let mut watchdog = Watchdog::new(Arc::clone(&outbox.socket), timeout);
        watchdog.feed(carp_proto::Instant::from_micros(0));
        systemd.ready();
        let reader = tokio::task::spawn_blocking(move || {
            for _ in 0..filled {
                assert_eq!(read(&theirs), "STATUS=busy");
            }
            read(&theirs)
        });
        tokio::select! {
            () = outbox.run() => {}
            last = reader => assert_eq!(last.unwrap(), "READY=1"),
        }
    }
}
