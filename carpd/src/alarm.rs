//! Wakes the protocol loop when something is due.
//!
//! A timer of the kernel on the clock that [`Clock`] reads: it goes off as
//! soon as a suspended machine wakes up, where one on `CLOCK_MONOTONIC` would first wait out what
//! was left when it fell asleep; and to the microsecond, where tokio's go by milliseconds, which is
//! much of the 4 milliseconds of `advbase 0 advskew 1`.

#![expect(
    unsafe_code,
    reason = "tokio has no sound way to register a descriptor that is safe"
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

/// Goes off once for each time that it is set to.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    /// What it is set to, by the kernel's clock.
    at: Option<Duration>,
}

impl Alarm {
    /// Not set to anything. To be made inside of a runtime.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
        // SAFETY: as for the sockets, the descriptor moves into the `AsyncFd`, nobody else can
        // close or replace it, and it is deregistered before it is closed.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?;
        Ok(Self { timer, at: None })
    }

    /// Goes off at `at`, at once if that has passed, and not at what it was set to before.
    ///
    /// # Errors
    /// None that a valid timer can have.
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

    /// Waits until it goes off. Nothing is lost if this is dropped before.
    ///
    /// # Errors
    /// None that a valid timer can have.
    pub(crate) async fn gone_off(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut times = [0; 8];
            match ready.try_io(|timer| Ok(read(timer, &mut times)?)) {
                Ok(result) => {
                    self.at = None;
                    return result.map(drop);
                }
                // It was set to something else since.
                Err(_would_block) => {}
            }
        }
    }
}

/// Never zero, which would mean not to go off.
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

    fn has_gone_off(alarm: &mut Alarm) -> bool {
        let waiting = std::pin::pin!(alarm.gone_off());
        waiting
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[tokio::test]
    async fn it_goes_off_at_its_time_and_once() {
        let mut alarm = Alarm::new().unwrap();
        let due = now() + Duration::from_micros(2_500);
        alarm.set(Some(due)).unwrap();
        alarm.gone_off().await.unwrap();
        assert!(now() >= due);
        tokio::task::yield_now().await;
        assert!(!has_gone_off(&mut alarm));
    }

    #[tokio::test]
    async fn what_has_passed_goes_off_at_once_even_time_zero() {
        let mut alarm = Alarm::new().unwrap();
        for passed in [Instant::ZERO, now()] {
            alarm.set(Some(passed)).unwrap();
            alarm.gone_off().await.unwrap();
        }
    }

    #[tokio::test]
    async fn setting_it_anew_forgets_what_it_was_set_to() {
        let mut alarm = Alarm::new().unwrap();
        alarm.set(Some(now())).unwrap();
        alarm.set(Some(now() + Duration::from_secs(3_600))).unwrap();
        tokio::task::yield_now().await;
        assert!(!has_gone_off(&mut alarm));
        alarm.set(None).unwrap();
        tokio::task::yield_now().await;
        assert!(!has_gone_off(&mut alarm));
    }
}
