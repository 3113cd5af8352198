//! Sending of prepared frames on a host's cable: a few, or a flood.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use crate::{Host, Wire};

/// Most frames that one call sends.
const FRAMES_PER_CALL: usize = 64;

/// Running flood; it ends when dropped.
#[derive(Debug)]
pub struct Flood {
    thread: Option<JoinHandle<io::Result<FloodResult>>>,
    stop: Arc<AtomicBool>,
}

/// Result of a flood.
#[derive(Clone, Copy, Debug)]
pub struct FloodResult {
    /// Frames that the kernel accepted; it had no room for the others.
    pub sent: u64,
    /// Duration.
    pub span: Duration,
}

impl FloodResult {
    /// Returns the average number of frames per second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^52")]
    pub fn rate(&self) -> f64 {
        self.sent as f64 / self.span.as_secs_f64()
    }
}

impl Host {
    /// Sends Ethernet frames from `interface`, in order.
    pub fn inject(&self, interface: &str, frames: &[Vec<u8>]) -> Result<()> {
        let wire = Wire::open_to_send(self, interface)?;
        for frame in frames {
            wire.send(frame)
                .with_context(|| format!("{}: cannot send", self.name()))?;
        }
        Ok(())
    }

    /// Starts to send `frames` from `interface`, in order and repeatedly: `rate` per second if the
    /// machine can, for the duration `span`.
    pub fn flood(
        &self,
        interface: &str,
        frames: &[Vec<u8>],
        rate: u32,
        span: Duration,
    ) -> Result<Flood> {
        let wire = Wire::open_to_send(self, interface)?;
        let stop = Arc::new(AtomicBool::new(false));
        let whole = frames
            .len()
            .max(FRAMES_PER_CALL / frames.len().max(1) * frames.len());
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
    /// Waits for its end. Returns its result.
    pub fn finish(mut self) -> Result<FloodResult> {
        let thread = self.thread.take().context("it has ended")?;
        let result = thread.join().map_err(|_| anyhow!("the flood panicked"))?;
        result.context("the flood")
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

/// Sends the frames. After a delay it sends faster, so that `rate` is the average.
fn flood(
    wire: &Wire,
    batch: &[Vec<u8>],
    rate: u32,
    span: Duration,
    stop: &AtomicBool,
) -> io::Result<FloodResult> {
    let begin = Instant::now();
    let mut result = FloodResult {
        sent: 0,
        span: Duration::ZERO,
    };
    while result.span < span && !stop.load(Ordering::Relaxed) {
        let due = Duration::from_micros(result.sent * 1_000_000 / u64::from(rate));
        if let Some(early) = due.checked_sub(result.span) {
            thread::sleep(early);
        }
        match wire.send_all(batch) {
            Ok(sent) => result.sent += sent as u64,
            // A queue of the kernel is full; the frames are sent later.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(error) => return Err(error),
        }
        result.span = begin.elapsed();
    }
    Ok(result)
}
