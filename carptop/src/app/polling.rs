//! Polling of data that no signal carries: counters, and times of advertisements.
//!
//! carptop reads once in the configured interval, and more often only for an advertisement that is
//! due on the screen, so that no bar shrinks for lack of a reading. Reading the whole list takes at
//! most a three-hundredth of the time.

use crate::model::Interface;

/// Least pause after a reading, as a multiple of its duration.
const PAUSE_RATIO: u64 = 300;

/// Time after which a missing answer is reported, in microseconds.
const REPLY_TIMEOUT: u64 = 2_000_000;

/// Least pause before a reading for an advertisement that is due, in microseconds.
const MIN_PAUSE: u64 = 250_000;

/// Longest pause before a reading of the screen, in microseconds, whatever it costs.
const MAX_PAUSE: u64 = 1_500_000;

/// Tolerated delay of an advertisement, in microseconds.
const TOLERANCE: u64 = 60_000;

/// Next reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Poll {
    /// None now.
    Nothing,
    /// All interfaces.
    List,
    /// The interfaces on the screen.
    Visible,
}

/// Times of requests and answers, in microseconds.
#[derive(Debug)]
pub(super) struct Polling {
    interval: u64,
    /// Time of the request that awaits its answer.
    waiting: Option<u64>,
    /// Time of the first request without an answer.
    silent: Option<u64>,
    /// Time of the last request.
    last: u64,
    /// Time when the last list arrived.
    list: u64,
    /// Duration of the last reading of the list, and of the screen.
    list_took: u64,
    visible_took: u64,
}

impl Polling {
    pub(super) const fn new(interval: u64) -> Self {
        Self {
            interval,
            waiting: None,
            silent: None,
            last: 0,
            list: 0,
            list_took: 0,
            visible_took: 0,
        }
    }

    /// Notes a request.
    pub(super) fn requested(&mut self, now: u64) {
        self.waiting = Some(now);
        self.last = now;
    }

    /// Notes the arrival of the list. Returns the time of its request.
    pub(super) fn list_arrived(&mut self, now: u64, took: u64) -> u64 {
        self.list = now;
        self.list_took = took;
        self.answered(now)
    }

    /// Notes the arrival of the interfaces on the screen. Returns the time of their request.
    pub(super) fn visible_arrived(&mut self, now: u64, took: u64) -> u64 {
        self.visible_took = took;
        self.answered(now)
    }

    /// Notes an answer. Returns the time of its request.
    pub(super) fn answered(&mut self, now: u64) -> u64 {
        self.silent = None;
        self.waiting.take().unwrap_or(now)
    }

    /// Notes that no answer arrived in time.
    pub(super) fn failed(&mut self) {
        self.silent = self.silent.or(self.waiting);
        self.waiting = None;
    }

    /// Returns the time since which carpd has not answered.
    pub(super) fn silent_since(&self, now: u64) -> Option<u64> {
        let waiting = self
            .waiting
            .filter(|requested| now.saturating_sub(*requested) > REPLY_TIMEOUT);
        self.silent.or(waiting)
    }

    /// Returns the reading for `now`, with these interfaces on the screen.
    pub(super) fn next(&self, now: u64, visible: &[&Interface]) -> Poll {
        if self.waiting.is_some() {
            return Poll::Nothing;
        }
        let list_pause = self
            .interval
            .max(self.list_took.saturating_mul(PAUSE_RATIO));
        let since = now.saturating_sub(self.last);
        // Polling continues if the clock is set back.
        let passed = |pause: u64| since >= pause || now < self.last;
        if now.saturating_sub(self.list) >= list_pause || now < self.list {
            let is_due = passed(self.interval.min(MIN_PAUSE));
            return if is_due { Poll::List } else { Poll::Nothing };
        }
        // If the whole list is cheap, it replaces the reading of the screen.
        let (poll, took) = if list_pause == self.interval {
            (Poll::List, self.list_took)
        } else {
            (Poll::Visible, self.visible_took)
        };
        let pause = took.saturating_mul(PAUSE_RATIO).min(MAX_PAUSE);
        let is_late = |interface: &&Interface| {
            let expected = interface
                .last_advertisement()
                .map(|last| last + interface.interval() + TOLERANCE);
            expected.is_some_and(|expected| expected < now && expected > self.last)
        };
        let is_urgent = passed(pause.max(MIN_PAUSE)) && visible.iter().any(is_late);
        if is_urgent || passed(pause.max(self.interval)) {
            return poll;
        }
        Poll::Nothing
    }
}

#[cfg(test)]
mod tests {
    use carp_dbus::{InterfaceInfo, MasterInfo};

    use super::*;

    const SECOND: u64 = 1_000_000;

    fn backup(heard: u64) -> Interface {
        let mut interface = Interface::default();
        interface.info = InterfaceInfo {
            state: "BACKUP".to_owned(),
            master: Some(MasterInfo {
                advbase: 1,
                heard,
                ..MasterInfo::default()
            }),
            ..InterfaceInfo::default()
        };
        interface
    }

    fn after_a_list(took: u64) -> Polling {
        let mut polling = Polling::new(SECOND);
        polling.requested(10 * SECOND);
        polling.list_arrived(10 * SECOND, took);
        polling
    }

    #[test]
    fn list_is_read_once_per_interval() {
        let polling = after_a_list(1_000);
        assert_eq!(polling.next(10 * SECOND + 900_000, &[]), Poll::Nothing);
        assert_eq!(polling.next(11 * SECOND, &[]), Poll::List);
    }

    #[test]
    fn costly_list_is_read_rarely_and_the_screen_in_between() {
        let polling = after_a_list(SECOND / 10);
        assert_eq!(polling.next(11 * SECOND, &[]), Poll::Visible);
        assert_eq!(polling.next(39 * SECOND, &[]), Poll::Visible);
        assert_eq!(polling.next(40 * SECOND, &[]), Poll::List);
    }

    #[test]
    fn due_advertisement_triggers_a_reading() {
        let polling = after_a_list(1_000);
        let interface = backup(9 * SECOND + 300_000);
        assert_eq!(
            polling.next(10 * SECOND + 300_000, &[&interface]),
            Poll::Nothing
        );
        assert_eq!(
            polling.next(10 * SECOND + 400_000, &[&interface]),
            Poll::List
        );
    }

    #[test]
    fn missing_advertisement_triggers_one_reading() {
        let mut polling = after_a_list(1_000);
        let interface = backup(9 * SECOND + 300_000);
        polling.requested(10 * SECOND + 400_000);
        polling.list_arrived(10 * SECOND + 400_000, 1_000);
        assert_eq!(
            polling.next(10 * SECOND + 800_000, &[&interface]),
            Poll::Nothing
        );
    }

    #[test]
    fn daemon_is_silent_until_it_answers() {
        let mut polling = Polling::new(SECOND);
        polling.requested(10 * SECOND);
        assert_eq!(polling.silent_since(11 * SECOND), None);
        assert_eq!(polling.silent_since(13 * SECOND), Some(10 * SECOND));
        polling.failed();
        polling.requested(15 * SECOND);
        assert_eq!(polling.silent_since(15 * SECOND), Some(10 * SECOND));
        polling.answered(16 * SECOND);
        assert_eq!(polling.silent_since(16 * SECOND), None);
    }
}
