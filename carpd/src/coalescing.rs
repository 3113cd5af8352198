//! Coalescing of received frames: one wake-up of the protocol thread for many frames.

use std::thread;
use std::time::Duration;

use carp_proto::Instant;

/// Frames that arrive within this time of the previous one are read together. 255 virtual hosts of a
/// peer advertise in a row, and each frame would wake the protocol thread.
const GATHER: Duration = Duration::from_millis(1);

/// No pause this close to a deadline, and therefore none for peers that advertise this often.
const NEAR: Duration = Duration::from_millis(50);

/// Coalesces frames as network cards coalesce interrupts.
///
/// **Invariant:** neither the first frame of a row nor a deadline ever waits.
#[derive(Debug)]
pub(crate) struct Coalescing {
    heard: Instant,
}

impl Coalescing {
    /// Returns the state before the first frame.
    pub(crate) const fn new() -> Self {
        Self {
            heard: Instant::ZERO,
        }
    }

    /// Sleeps until more frames have arrived, if they arrive in a row. Call this when all frames are
    /// read.
    pub(crate) fn wait(&mut self, now: Instant, deadline: Option<Instant>) {
        if let Some(pause) = self.pause(now, deadline) {
            // Not tokio's sleep, which every frame would interrupt.
            thread::sleep(pause);
        }
    }

    /// Returns the pause; `None` if the next frame must wake the thread.
    fn pause(&mut self, now: Instant, deadline: Option<Instant>) -> Option<Duration> {
        let is_in_a_row = now.since(self.heard) < GATHER;
        let is_free = deadline.is_none_or(|deadline| deadline.since(now) > NEAR);
        self.heard = now;
        (is_in_a_row && is_free).then(|| {
            // The first frame after the pause still belongs to the row.
            self.heard = now + GATHER;
            GATHER
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(1_000_000 + micros)
    }

    #[test]
    fn first_frame_of_a_row_does_not_wait_and_the_others_do() {
        let mut coalescing = Coalescing::new();
        assert_eq!(coalescing.pause(at(0), None), None);
        assert_eq!(coalescing.pause(at(20), None), Some(GATHER));
        assert_eq!(coalescing.pause(at(1_100), None), Some(GATHER));
        assert_eq!(coalescing.pause(at(1_000_000), None), None);
    }

    #[test]
    fn single_frames_never_wait() {
        let mut coalescing = Coalescing::new();
        for micros in (0..100_000).step_by(1_000) {
            assert_eq!(coalescing.pause(at(micros), None), None, "{micros}");
        }
    }

    #[test]
    fn no_frame_waits_near_a_deadline() {
        let mut coalescing = Coalescing::new();
        assert_eq!(coalescing.pause(at(0), None), None);
        for due in [0, 500, 50_010] {
            assert_eq!(coalescing.pause(at(10), Some(at(due))), None, "{due}");
        }
        assert_eq!(coalescing.pause(at(20), Some(at(50_021))), Some(GATHER));
    }
}
