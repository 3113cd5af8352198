//! Timer of the protocol loop.
//!
//! It is a kernel timer on the clock of [`Clock`]. It expires as soon as a suspended machine resumes,
//! where a timer on `CLOCK_MONOTONIC` would first wait for the remaining time. It is precise to the
//! microsecond; a millisecond, the resolution of tokio's timers, is a quarter of the interval of
//! `advbase 0 advskew 1`.

#![expect(
    unsafe_code,
    reason = "tokio has no safe function that registers a descriptor soundly"
)]

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use carp_proto::Instant;
use rustix::io::read;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock::Clock;

/// Timer that expires once for each time it is set to.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    /// Time it is set to, by the kernel's clock.
    at: Option<Duration>,
}

impl Alarm {
    /// Returns a timer that is not set. Call this inside a runtime.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
        // SAFETY: the descriptor moves into the `AsyncFd`, so no other code can close or replace it,
        // and the `AsyncFd` deregisters it before closing it.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?;
        Ok(Self { timer, at: None })
    }

    /// Sets the timer to `at`; a time that has passed expires at once. Replaces any earlier time.
    ///
    /// # Errors
    /// None, for a valid timer.
    pub(crate) fn set(&mut self, at: Option<Instant>) -> io::Result<()> {
        let at = at.map(|at| Clock.boottime(at));
        if self.at == at {
            return Ok(());
        }
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let setting = Itimerspec {
            it_interval: zero,
            it_value: at.map_or(zero, timespec),
        };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &setting)?;
        self.at = at;
        Ok(())
    }

    /// Waits until the timer expires. Cancel safe.
    ///
    /// # Errors
    /// None, for a valid timer.
    pub(crate) async fn expired(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut times = [0; 8];
            match ready.try_io(|timer| Ok(read(timer, &mut times)?)) {
                Ok(result) => {
                    self.at = None;
                    return result.map(drop);
                }
                // The timer was set again meanwhile.
                Err(_would_block) => {}
            }
        }
    }
}

/// Converts a time for `timerfd_settime(2)`, where zero would disarm the timer.
fn timespec(time: Duration) -> Timespec {
    let time = time.max(Duration::from_nanos(1));
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::task::{Context, Waker};

    use super::*;

    fn now() -> Instant {
        Clock.now().instant
    }

    fn has_expired(alarm: &mut Alarm) -> bool {
        let waiting = std::pin::pin!(alarm.expired());
        waiting
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[tokio::test]
    async fn alarm_expires_once_at_its_time() {
        let mut alarm = Alarm::new().unwrap();
        let due = now() + Duration::from_micros(2_500);
        alarm.set(Some(due)).unwrap();
        alarm.expired().await.unwrap();
        assert!(now() >= due);
        tokio::task::yield_now().await;
        assert!(!has_expired(&mut alarm));
    }

    #[tokio::test]
    async fn alarm_in_the_past_expires_at_once() {
        let mut alarm = Alarm::new().unwrap();
        for passed in [Instant::ZERO, now()] {
            alarm.set(Some(passed)).unwrap();
            alarm.expired().await.unwrap();
        }
    }

    #[tokio::test]
    async fn alarm_that_is_set_again_forgets_the_earlier_time() {
        let mut alarm = Alarm::new().unwrap();
        alarm.set(Some(now())).unwrap();
        alarm.set(Some(now() + Duration::from_secs(3_600))).unwrap();
        tokio::task::yield_now().await;
        assert!(!has_expired(&mut alarm));
        alarm.set(None).unwrap();
        tokio::task::yield_now().await;
        assert!(!has_expired(&mut alarm));
    }
}
