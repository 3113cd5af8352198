//! Frames made by hand, put on a host's cable as they are: a few, or more than anybody should have
//! to look at.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use crate::{Host, Wire};

/// So many frames at most go out with one call.
const BATCH: usize = 64;

/// A running flood; it ends with its guard.
#[derive(Debug)]
pub struct Flood {
    thread: Option<JoinHandle<io::Result<Flooded>>>,
    stop: Arc<AtomicBool>,
}

/// What came of a flood.
#[derive(Clone, Copy, Debug)]
pub struct Flooded {
    /// The frames that the kernel took; the others it said it had no room for.
    pub sent: u64,
    /// How long it took.
    pub span: Duration,
}

impl Flooded {
    /// Frames a second, on average.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^52")]
    pub fn rate(&self) -> f64 {
        self.sent as f64 / self.span.as_secs_f64()
    }
}

impl Host {
    /// Sends whole Ethernet frames from `interface`, in their order.
    pub fn inject(&self, interface: &str, frames: &[Vec<u8>]) -> Result<()> {
        let wire = Wire::open_to_send(self, interface)?;
        for frame in frames {
            wire.send(frame)
                .with_context(|| format!("{}: cannot send", self.name()))?;
        }
        Ok(())
    }

    /// Starts to send `frames`, in their order and over and over, from `interface`: `rate` a second
    /// if the machine can, for this long.
    pub fn flood(
        &self,
        interface: &str,
        frames: &[Vec<u8>],
        rate: u32,
        span: Duration,
    ) -> Result<Flood> {
        let wire = Wire::open_to_send(self, interface)?;
        let stop = Arc::new(AtomicBool::new(false));
        let whole = frames.len().max(BATCH / frames.len().max(1) * frames.len());
        let batch: Vec<Vec<u8>> = frames.iter().cycle().take(whole).cloned().collect();
        let thread = thread::Builder::new().spawn({
            let stop = Arc::clone(&stop);
            move || flood(&wire, &batch, rate, span, &stop)
        })?;
        Ok(Flood {
            thread: Some(thread),
            stop,
        })
    }
}

impl Flood {
    /// Waits for its end.
    pub fn finish(mut self) -> Result<Flooded> {
        let thread = self.thread.take().context("it has ended")?;
        let flooded = thread.join().map_err(|_| anyhow!("the flood panicked"))?;
        flooded.context("the flood")
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whoever was kept from sending for a while sends the more afterwards: the rate is the average.
fn flood(
    wire: &Wire,
    batch: &[Vec<u8>],
    rate: u32,
    span: Duration,
    stop: &AtomicBool,
) -> io::Result<Flooded> {
    let begin = Instant::now();
    let mut flooded = Flooded {
        sent: 0,
        span: Duration::ZERO,
    };
    while flooded.span < span && !stop.load(Ordering::Relaxed) {
        let due = Duration::from_micros(flooded.sent * 1_000_000 / u64::from(rate));
        if let Some(early) = due.checked_sub(flooded.span) {
            thread::sleep(early);
        }
        match wire.send_all(batch) {
            Ok(sent) => flooded.sent += sent as u64,
            // A queue on the way is full; what was not sent now is sent later.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(error) => return Err(error),
        }
        flooded.span = begin.elapsed();
    }
    Ok(flooded)
}
