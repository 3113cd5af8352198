//! A client that pings the virtual address a thousand times a second, through its kernel's routes
//! and neighbour table, and its outages.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use carp_tests::Host;
use socket2::{Domain, Protocol, Socket, Type};

use crate::capture::{Seen, now};
use crate::frames::{Content, echo_request};

const PING_INTERVAL: Duration = Duration::from_millis(1);

/// Each tenth request counts for a client that asks every 10 ms.
const SLOW_DIVISOR: u64 = 10;

/// A thread that asks until it is dropped. A [`Capture`](crate::capture::Capture) reads the replies.
#[derive(Debug)]
pub(crate) struct Pinger {
    sent: Arc<Mutex<Vec<(u64, Duration)>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pinger {
    /// Starts to ping `address`.
    pub(crate) fn start(client: &Host, address: Ipv4Addr) -> Result<Self> {
        let socket = client.within(|| {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
            // Another socket reads the replies: this one should keep none.
            socket.set_recv_buffer_size(1)?;
            Ok(socket)
        })?;
        let sent = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new().spawn({
            let (sent, stop) = (Arc::clone(&sent), Arc::clone(&stop));
            move || ask(&socket, address, &sent, &stop)
        })?;
        Ok(Self {
            sent,
            stop,
            thread: Some(thread),
        })
    }

    /// Returns how many requests of the slow client between two moments had no reply.
    pub(crate) fn lost(&self, from: Duration, to: Duration, seen: &[Seen]) -> u32 {
        let mut answered: Vec<u64> = seen.iter().filter_map(reply).collect();
        answered.sort_unstable();
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = sent
            .iter()
            .filter(|(number, at)| number % SLOW_DIVISOR == 0 && (from..to).contains(at))
            .filter(|(number, _)| answered.binary_search(number).is_err())
            .count();
        u32::try_from(lost).unwrap_or(u32::MAX)
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Returns the longest time between two replies that ended after `from`.
pub(crate) fn outage(from: Duration, seen: &[Seen]) -> Result<Duration> {
    let replies: Vec<Duration> = seen
        .iter()
        .filter(|each| reply(each).is_some())
        .map(|each| each.at)
        .collect();
    replies
        .iter()
        .zip(replies.iter().skip(1))
        .filter(|(_, end)| **end > from)
        .map(|(start, end)| end.saturating_sub(*start))
        .max()
        .context("the client had no reply any more")
}

fn reply(seen: &Seen) -> Option<u64> {
    match seen.what {
        Content::EchoReply { number } => Some(number),
        Content::Advertisement { .. } | Content::Arp { .. } => None,
    }
}

fn ask(socket: &Socket, address: Ipv4Addr, sent: &Mutex<Vec<(u64, Duration)>>, stop: &AtomicBool) {
    let to = SocketAddr::from((address, 0)).into();
    let mut next = Instant::now();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let at = now();
        // EHOSTUNREACH, while the neighbour is not found, is an outage like any other.
        let _ = socket.send_to(&echo_request(number), &to);
        sent.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((number, at));
        number += 1;
        next += PING_INTERVAL;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}
