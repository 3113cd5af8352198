//! When to read what no signal tells: counters, and when advertisements were heard and sent.
//!
//! Reading is never more often than asked for, but for advertisements that are due on the
//! screen, so that no bar shrinks for want of looking; and the list never takes more than a
//! three-hundredth of the time.

use crate::model::Interface;

/// How many times as long as a reading took is waited at least.
const RATIO: u64 = 300;

/// How long an answer may be on its way before that is worth a word, in microseconds.
const PATIENCE: u64 = 2_000_000;

/// How soon after the last reading one for advertisements that are due may follow.
const HURRY: u64 = 250_000;

/// The longest that the screen goes without a look, whatever that costs.
const STALE: u64 = 1_500_000;

/// How late advertisements may come without being late.
const SLACK: u64 = 60_000;

/// What is to be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Poll {
    /// Nothing.
    Nothing,
    /// Every interface.
    List,
    /// Those on the screen.
    Visible,
}

/// What was asked for when. Times are in microseconds.
#[derive(Debug)]
pub(super) struct Polling {
    interval: u64,
    /// When the answer that we wait for was asked for.
    waiting: Option<u64>,
    /// When carpd fell silent.
    silent: Option<u64>,
    /// When anything was last asked for.
    last: u64,
    /// When the last list came.
    list: u64,
    /// How long the last list took, and the last look at the screen.
    list_took: u64,
    look_took: u64,
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
            look_took: 0,
        }
    }

    /// Something was asked for.
    pub(super) fn asked(&mut self, now: u64) {
        self.waiting = Some(now);
        self.last = now;
    }

    /// The whole list came; the answer is when it was asked for.
    pub(super) fn listed(&mut self, now: u64, took: u64) -> u64 {
        self.list = now;
        self.list_took = took;
        self.answered(now)
    }

    /// Those on the screen came; the answer is when they were asked for.
    pub(super) fn looked(&mut self, now: u64, took: u64) -> u64 {
        self.look_took = took;
        self.answered(now)
    }

    /// An answer came; the answer is when it was asked for.
    pub(super) fn answered(&mut self, now: u64) -> u64 {
        self.silent = None;
        self.waiting.take().unwrap_or(now)
    }

    /// No answer came in time.
    pub(super) fn failed(&mut self) {
        self.silent = self.silent.or(self.waiting);
        self.waiting = None;
    }

    /// Since when carpd has not answered.
    pub(super) fn silent_since(&self, now: u64) -> Option<u64> {
        let waiting = self
            .waiting
            .filter(|asked| now.saturating_sub(*asked) > PATIENCE);
        self.silent.or(waiting)
    }

    /// What is to be read at `now`, with these hosts on the screen.
    pub(super) fn turn(&self, now: u64, visible: &[&Interface]) -> Poll {
        if self.waiting.is_some() {
            return Poll::Nothing;
        }
        let list_pause = self.interval.max(self.list_took.saturating_mul(RATIO));
        let since = now.saturating_sub(self.last);
        // A clock that was put back must not stop the reading.
        let passed = |pause: u64| since >= pause || now < self.last;
        if now.saturating_sub(self.list) >= list_pause || now < self.list {
            let soon = passed(self.interval.min(HURRY));
            return if soon { Poll::List } else { Poll::Nothing };
        }
        // Where the whole list is cheap there is no need to choose.
        let (turn, took) = if list_pause == self.interval {
            (Poll::List, self.list_took)
        } else {
            (Poll::Visible, self.look_took)
        };
        let pause = took.saturating_mul(RATIO).min(STALE);
        let due = |interface: &&Interface| {
            let expected = interface
                .last_advertisement()
                .map(|last| last + interface.interval() + SLACK);
            expected.is_some_and(|expected| expected < now && expected > self.last)
        };
        let hurry = passed(pause.max(HURRY)) && visible.iter().any(due);
        if hurry || passed(pause.max(self.interval)) {
            return turn;
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
        polling.asked(10 * SECOND);
        polling.listed(10 * SECOND, took);
        polling
    }

    #[test]
    fn the_list_is_read_once_in_an_interval() {
        let polling = after_a_list(1_000);
        assert_eq!(polling.turn(10 * SECOND + 900_000, &[]), Poll::Nothing);
        assert_eq!(polling.turn(11 * SECOND, &[]), Poll::List);
    }

    #[test]
    fn a_costly_list_is_read_seldom_and_the_screen_meanwhile() {
        let polling = after_a_list(SECOND / 10);
        assert_eq!(polling.turn(11 * SECOND, &[]), Poll::Visible);
        assert_eq!(polling.turn(39 * SECOND, &[]), Poll::Visible);
        assert_eq!(polling.turn(40 * SECOND, &[]), Poll::List);
    }

    #[test]
    fn an_advertisement_that_is_due_is_looked_for() {
        let polling = after_a_list(1_000);
        let interface = backup(9 * SECOND + 300_000);
        assert_eq!(
            polling.turn(10 * SECOND + 300_000, &[&interface]),
            Poll::Nothing
        );
        assert_eq!(
            polling.turn(10 * SECOND + 400_000, &[&interface]),
            Poll::List
        );
    }

    #[test]
    fn one_that_stays_away_is_looked_for_once() {
        let mut polling = after_a_list(1_000);
        let interface = backup(9 * SECOND + 300_000);
        polling.asked(10 * SECOND + 400_000);
        polling.listed(10 * SECOND + 400_000, 1_000);
        assert_eq!(
            polling.turn(10 * SECOND + 800_000, &[&interface]),
            Poll::Nothing
        );
    }

    #[test]
    fn a_daemon_that_does_not_answer_is_silent_until_it_does() {
        let mut polling = Polling::new(SECOND);
        polling.asked(10 * SECOND);
        assert_eq!(polling.silent_since(11 * SECOND), None);
        assert_eq!(polling.silent_since(13 * SECOND), Some(10 * SECOND));
        polling.failed();
        polling.asked(15 * SECOND);
        assert_eq!(polling.silent_since(15 * SECOND), Some(10 * SECOND));
        polling.answered(16 * SECOND);
        assert_eq!(polling.silent_since(16 * SECOND), None);
    }
}
