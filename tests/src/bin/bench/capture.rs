//! Captures of a cable, with the kernel's time stamps.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use carp_tests::{Host, Wire, wait_until};

use crate::frames::{Content, read};

/// Longest time until a capture notices that it was dropped.
const RECEIVE_TIMEOUT: Duration = Duration::from_millis(50);

/// One frame, with its time since the epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Duration,
    pub(crate) what: Content,
}

impl Seen {
    /// Returns whether it is an advertisement of this host.
    pub(crate) fn is_advertisement_of(&self, host: Ipv4Addr) -> bool {
        matches!(self.what, Content::Advertisement { source, .. } if source == host)
    }

    /// Returns whether it gives the MAC of `address`, in an answer or an announcement.
    pub(crate) fn locates(&self, address: Ipv4Addr) -> bool {
        matches!(self.what, Content::Arp { sender, .. } if sender == address)
    }

    /// Returns whether it announces `address`.
    pub(crate) fn announces(&self, address: Ipv4Addr) -> bool {
        matches!(self.what, Content::Arp { sender, gratuitous: true } if sender == address)
    }
}

/// A thread that reads one interface until it is dropped.
#[derive(Debug)]
pub(crate) struct Capture {
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Captures the frames that arrive at the client.
    pub(crate) fn open(client: &Host, interface: &str) -> Result<Self> {
        Self::over(Wire::open(client, interface, RECEIVE_TIMEOUT)?)
    }

    /// Captures the frames that a host sends, at the moment at which it passes them to the wire.
    pub(crate) fn open_outgoing(host: &Host, interface: &str) -> Result<Self> {
        Self::over(Wire::open_outgoing(host, interface, RECEIVE_TIMEOUT)?)
    }

    fn over(wire: Wire) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new().spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            move || listen(&wire, &seen, &stop)
        })?;
        Ok(Self {
            seen,
            stop,
            thread: Some(thread),
        })
    }

    /// Returns all frames since `moment`.
    pub(crate) fn since(&self, moment: Duration) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let first = seen.partition_point(|each| each.at < moment);
        seen.get(first..).unwrap_or_default().to_vec()
    }

    /// Waits for the first frame since `moment` that is `wanted`.
    pub(crate) fn wait_for(
        &self,
        what: &str,
        moment: Duration,
        bound: Duration,
        wanted: impl Fn(&Seen) -> bool,
    ) -> Result<Duration> {
        wait_until(what, bound, || {
            let seen = self.since(moment);
            Ok(seen.iter().find(|each| wanted(each)).map(|each| each.at))
        })
    }

    /// Returns the last advertisement of `host` before `moment`.
    pub(crate) fn last_advertisement(&self, host: Ipv4Addr, moment: Duration) -> Result<Duration> {
        let seen = self.since(Duration::ZERO);
        let mut before = seen.iter().rev().filter(|each| each.at < moment);
        let last = before.find(|each| each.is_advertisement_of(host));
        Ok(last
            .with_context(|| format!("no advertisement of {host} was seen"))?
            .at)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Returns the time of the clock that the kernel stamps frames with.
pub(crate) fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn listen(wire: &Wire, seen: &Mutex<Vec<Seen>>, stop: &AtomicBool) {
    let mut buffer = [0; 128];
    while !stop.load(Ordering::Relaxed) {
        // ENETDOWN and the like: there are no frames then.
        let Ok(Some((at, length))) = wire.receive(&mut buffer) else {
            continue;
        };
        if let Some(what) = buffer.get(..length).and_then(read) {
            seen.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Seen { at, what });
        }
    }
}
