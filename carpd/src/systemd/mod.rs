//! What the service manager is told, see `sd_notify(3)`: that carpd is ready, how it stands, that
//! it reloads or stops, that it is alive. Where nobody started us who wants to know, nothing.
//!
//! **Invariant:** nobody waits for systemd. What is told is queued, and [`Outbox::run`] sends it;
//! a sign of life is written by the protocol's own thread, or dropped where there is no room.

mod watchdog;

use std::env;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::mpsc;
use tracing::warn;

pub(crate) use self::watchdog::Watchdog;

/// How much may wait to be told. There is little to tell, and more only while systemd hangs.
const QUEUE: usize = 256;

/// How long to wait when systemd's socket is full.
const PAUSE: Duration = Duration::from_millis(20);

/// Tells systemd things. Clones tell the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Systemd {
    queue: Option<mpsc::Sender<String>>,
    ready: Arc<AtomicBool>,
}

/// What waits to be told.
#[derive(Debug)]
pub(crate) struct Outbox {
    socket: Arc<Socket>,
    queue: mpsc::Receiver<String>,
}

/// A reload under way: ends when dropped.
#[derive(Debug)]
pub(crate) struct Reloading<'a>(&'a Systemd);

/// Who started us, if it wants to be told (`NOTIFY_SOCKET`), and if it wants signs of life
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
        .filter(|patience| !patience.is_zero())
        .map(|patience| Watchdog::new(Arc::clone(&socket), patience));
    let (sender, queue) = mpsc::channel(QUEUE);
    let systemd = Systemd {
        queue: Some(sender),
        ready: Arc::default(),
    };
    (systemd, Some(Outbox { socket, queue }), watchdog)
}

impl Systemd {
    /// Sockets, bus and configuration are up.
    pub(crate) fn ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
        self.tell(&[NotifyState::Ready]);
    }

    /// One line that `systemctl status` shows.
    pub(crate) fn status(&self, line: &str) {
        self.tell(&[NotifyState::Status(line)]);
    }

    /// The configuration is read again, until the guard is dropped. Before carpd is ready that is
    /// part of starting.
    pub(crate) fn reloading(&self) -> Option<Reloading<'_>> {
        if !self.ready.load(Ordering::Relaxed) {
            return None;
        }
        // Without the time, systemd 253 and later would take the reload for failed.
        let now = NotifyState::monotonic_usec_now().ok()?;
        self.tell(&[NotifyState::Reloading, now]);
        Some(Reloading(self))
    }

    /// carpd gives everything back and ends.
    pub(crate) fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("handing over")]);
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        if let Some(queue) = &self.queue {
            let lines: Vec<String> = states.iter().map(ToString::to_string).collect();
            // Full: systemd has not read for a long time, and has more to catch up with than this.
            let _ = queue.try_send(lines.join("\n"));
        }
    }
}

impl Drop for Reloading<'_> {
    fn drop(&mut self) {
        self.0.ready();
    }
}

/// Does `work`, and meanwhile sends what is told.
pub(crate) async fn telling(outbox: Option<Outbox>, work: impl Future<Output = ()>) {
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
    /// Sends what is told, for as long as it is polled.
    async fn run(&mut self) {
        while let Some(message) = self.queue.recv().await {
            self.send(&message).await;
        }
        std::future::pending::<()>().await;
    }

    /// Sends what still waits, as far as there is room for it.
    fn finish(mut self) {
        while let Ok(message) = self.queue.try_recv() {
            let _ = self.socket.send(&message);
        }
    }

    async fn send(&self, message: &str) {
        while let Err(error) = self.socket.send(message) {
            if error.kind() != ErrorKind::WouldBlock {
                warn!("cannot tell systemd {message:?}: {error}");
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// systemd's end. It is not connected to: systemd may bind its socket anew when it is updated.
#[derive(Debug)]
struct Socket {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Socket {
    /// A path, or with `@` an abstract name.
    fn to(address: &OsStr) -> io::Result<Self> {
        let address = match address.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(address)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address })
    }

    /// Never waits.
    fn send(&self, message: &str) -> io::Result<()> {
        let message = message.as_bytes();
        self.socket.send_to_addr(message, &self.address).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UnixDatagram, Systemd, Outbox, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let theirs = UnixDatagram::bind(&path).unwrap();
        let socket = Arc::new(Socket::to(path.as_os_str()).unwrap());
        let (sender, queue) = mpsc::channel(QUEUE);
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
    fn a_reload_is_framed_and_one_before_we_are_ready_is_not_told() {
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
    async fn what_finds_no_room_is_told_when_there_is_some_and_a_sign_of_life_is_not() {
        let (theirs, systemd, mut outbox, _directory) = pair();
        // The queue of a socket is as long as net.unix.max_dgram_qlen.
        let mut filled = 0;
        while outbox.socket.send("STATUS=busy").is_ok() {
            filled += 1;
        }
        let patience = Duration::from_secs(4);
        let mut watchdog = Watchdog::new(Arc::clone(&outbox.socket), patience);
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

    #[test]
    fn an_abstract_name_is_an_address_too() {
        let name = format!("carpd-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let theirs = UnixDatagram::bind_addr(&address).unwrap();
        let socket = Socket::to(OsStr::new(&format!("@{name}"))).unwrap();
        socket.send("READY=1").unwrap();
        assert_eq!(read(&theirs), "READY=1");
    }
}
