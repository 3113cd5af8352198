//! News that waits for the kernel: hooks, systemd and clients hear of a transition when the addresses have
//! come or gone with it.
//!
//! **Invariant:** the news of one carp interface keeps its order, and a reply comes behind the news of
//! what the request caused.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use carp_proto::{Instant, Notice, Unit};

use crate::publish::{News, Publisher};

/// Longest wait of news for the kernel.
const KERNEL_TIMEOUT: Duration = Duration::from_secs(2);

/// Queues of news, by carp interface. Each queue begins with a wait.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    queues: BTreeMap<Unit, VecDeque<Entry>>,
    /// Time limits of the waits, earliest first.
    limits: VecDeque<(Instant, Unit, u64)>,
    last: u64,
}

#[derive(Debug)]
enum Entry {
    /// The entries behind this one wait for the confirmation of this number.
    Wait(u64),
    News(News),
}

impl Withheld {
    /// Makes further news of `unit` wait for the confirmation of the returned number, at most two seconds
    /// from `now`.
    pub(super) fn begin(&mut self, unit: Unit, now: Instant) -> u64 {
        self.last += 1;
        let queue = self.queues.entry(unit).or_default();
        queue.push_back(Entry::Wait(self.last));
        self.limits
            .push_back((now + KERNEL_TIMEOUT, unit, self.last));
        self.last
    }

    /// Returns the time of the next call of [`expire`](Self::expire).
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.limits.front().map(|(limit, ..)| *limit)
    }

    /// Returns whether news of `unit` waits.
    pub(super) fn has(&self, unit: Unit) -> bool {
        self.queues.contains_key(&unit)
    }

    /// Sends `news` now, or queues it behind the waiting news of its carp interface.
    pub(super) fn send(&mut self, news: News, publisher: &mut Publisher) {
        let concerned = concerned(&news).into_iter().collect();
        self.send_behind(&concerned, news, publisher);
    }

    /// Sends `news` now, or queues it behind the waiting news of these carp interfaces: of the one whose
    /// wait began last.
    pub(super) fn send_behind(
        &mut self,
        units: &BTreeSet<Unit>,
        news: News,
        publisher: &mut Publisher,
    ) {
        // It would be lost later, and the full state that replaces it does not wait.
        if publisher.is_behind() {
            self.release(publisher);
        }
        let last = units
            .iter()
            .filter_map(|unit| Some((last_wait(self.queues.get(unit)?), *unit)))
            .max();
        match last.and_then(|(_, unit)| self.queues.get_mut(&unit)) {
            Some(queue) => queue.push_back(Entry::News(news)),
            None => publisher.send(news),
        }
    }

    /// Sends the news that waited for this number, which the kernel thread has confirmed.
    pub(super) fn done(&mut self, unit: Unit, number: u64, publisher: &mut Publisher) {
        let is_free = |entry: &Entry| !matches!(entry, Entry::Wait(wait) if *wait > number);
        if let Some(queue) = self.queues.get_mut(&unit) {
            while queue.front().is_some_and(is_free) {
                if let Some(Entry::News(news)) = queue.pop_front() {
                    publisher.send(news);
                }
            }
            if queue.is_empty() {
                self.queues.remove(&unit);
            }
        }
        while self.limits.front().is_some_and(|limit| self.is_over(limit)) {
            self.limits.pop_front();
        }
    }

    fn is_over(&self, (_, unit, number): &(Instant, Unit, u64)) -> bool {
        let first = self.queues.get(unit).and_then(VecDeque::front);
        !matches!(first, Some(Entry::Wait(wait)) if wait <= number)
    }

    /// Sends the news whose time limit has passed.
    pub(super) fn expire(&mut self, now: Instant, publisher: &mut Publisher) {
        while let Some(&(limit, unit, number)) = self.limits.front()
            && limit <= now
        {
            self.done(unit, number, publisher);
        }
    }

    /// Sends all news.
    pub(super) fn release(&mut self, publisher: &mut Publisher) {
        self.limits.clear();
        let entries = core::mem::take(&mut self.queues).into_values().flatten();
        for entry in entries {
            if let Entry::News(news) = entry {
                publisher.send(news);
            }
        }
    }
}

fn last_wait(queue: &VecDeque<Entry>) -> Option<u64> {
    queue.iter().rev().find_map(|entry| match entry {
        Entry::Wait(number) => Some(*number),
        Entry::News(_) => None,
    })
}

/// Returns the carp interface of `news`.
fn concerned(news: &News) -> Option<Unit> {
    match news {
        News::Interface(status) => Some(status.unit),
        News::Gone(unit) => Some(*unit),
        News::Changed(transition) => Some(transition.unit),
        News::Notice(_, notice) => match notice {
            Notice::BadPacket { unit, .. } => *unit,
            Notice::KernelRefused { unit, .. }
            | Notice::NotRunning { unit, .. }
            | Notice::Warning { unit, .. }
            | Notice::TwoMasters { unit, .. }
            | Notice::Sending { unit, .. }
            | Notice::ClockSetBack { unit, .. } => Some(*unit),
            Notice::Suppression { .. } => None,
        },
        News::Refreshed { .. } | News::Sysctls { .. } | News::Answer(..) | News::Everything(_) => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use carp_proto::{Answer, RequestId};
    use tokio::sync::mpsc::Receiver;

    use super::*;
    use crate::publish::{LoopEnd, MainEnd, channel};

    fn carp(number: u16) -> Unit {
        number.try_into().unwrap()
    }

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    /// Queues under test. Their news is the end of an interface, or a reply.
    struct Bench {
        withheld: Withheld,
        publisher: Publisher,
        reader: Receiver<News>,
    }

    impl Bench {
        fn new() -> Self {
            let (LoopEnd { publisher, .. }, MainEnd { news: reader, .. }) = channel();
            Self {
                withheld: Withheld::default(),
                publisher,
                reader,
            }
        }

        fn send(&mut self, unit: u16) {
            let news = News::Gone(carp(unit));
            self.withheld.send(news, &mut self.publisher);
        }

        fn answer(&mut self, units: &[u16], id: u64) {
            let units = units.iter().map(|unit| carp(*unit)).collect();
            let news = News::Answer(RequestId(id), Ok(Answer::Done));
            self.withheld.send_behind(&units, news, &mut self.publisher);
        }

        fn done(&mut self, unit: u16, number: u64) {
            self.withheld.done(carp(unit), number, &mut self.publisher);
        }

        fn received(&mut self) -> Vec<String> {
            let next = || match self.reader.try_recv().ok()? {
                News::Gone(unit) => Some(unit.to_string()),
                News::Answer(RequestId(id), _) => Some(format!("answer {id}")),
                other @ (News::Interface(_)
                | News::Refreshed { .. }
                | News::Changed(_)
                | News::Sysctls { .. }
                | News::Notice(..)
                | News::Everything(_)) => panic!("{other:?}"),
            };
            core::iter::from_fn(next).collect()
        }
    }

    #[test]
    fn news_of_other_interfaces_does_not_wait() {
        let mut bench = Bench::new();
        let number = bench.withheld.begin(carp(1), at(0));
        bench.send(1);
        bench.answer(&[1], 1);
        bench.send(2);
        bench.answer(&[2], 2);
        assert_eq!(bench.received(), ["carp2", "answer 2"]);
        bench.done(1, number);
        assert_eq!(bench.received(), ["carp1", "answer 1"]);
        assert_eq!(bench.withheld.deadline(), None);
        bench.send(1);
        assert_eq!(bench.received(), ["carp1"]);
    }

    #[test]
    fn confirmation_releases_news_up_to_the_next_wait() {
        let mut bench = Bench::new();
        let first = bench.withheld.begin(carp(1), at(0));
        bench.answer(&[1], 1);
        let second = bench.withheld.begin(carp(1), at(5));
        bench.answer(&[1], 2);
        bench.done(1, first);
        assert_eq!(bench.received(), ["answer 1"]);
        assert_eq!(bench.withheld.deadline(), Some(at(2005)));
        bench.done(1, first);
        assert_eq!(bench.received(), [""; 0]);
        bench.done(1, second);
        assert_eq!(bench.received(), ["answer 2"]);
    }

    #[test]
    fn later_confirmation_counts_for_earlier_waits() {
        let mut bench = Bench::new();
        bench.withheld.begin(carp(1), at(0));
        bench.send(1);
        let second = bench.withheld.begin(carp(1), at(0));
        bench.answer(&[1], 1);
        bench.done(1, second);
        assert_eq!(bench.received(), ["carp1", "answer 1"]);
    }

    #[test]
    fn reply_about_two_interfaces_waits_for_the_later_one() {
        let mut bench = Bench::new();
        let first = bench.withheld.begin(carp(2), at(0));
        let second = bench.withheld.begin(carp(1), at(0));
        bench.answer(&[1, 2], 1);
        bench.done(2, first);
        assert_eq!(bench.received(), [""; 0]);
        bench.done(1, second);
        assert_eq!(bench.received(), ["answer 1"]);
    }

    #[test]
    fn silent_kernel_delays_news_by_two_seconds() {
        let mut bench = Bench::new();
        bench.withheld.begin(carp(1), at(0));
        bench.send(1);
        bench.withheld.begin(carp(1), at(500));
        bench.send(1);
        assert_eq!(bench.withheld.deadline(), Some(at(2000)));
        bench.withheld.expire(at(1999), &mut bench.publisher);
        assert_eq!(bench.received(), [""; 0]);
        bench.withheld.expire(at(2000), &mut bench.publisher);
        assert_eq!(bench.received(), ["carp1"]);
        bench.withheld.expire(at(2500), &mut bench.publisher);
        assert_eq!(bench.received(), ["carp1"]);
        assert_eq!(bench.withheld.deadline(), None);
    }

    #[test]
    fn no_news_waits_while_news_is_lost() {
        let mut bench = Bench::new();
        bench.withheld.begin(carp(1), at(0));
        bench.answer(&[1], 1);
        while !bench.publisher.is_behind() {
            bench.publisher.send(News::Gone(carp(2)));
        }
        bench.answer(&[1], 2);
        assert!(!bench.withheld.has(carp(1)));
        while bench.reader.try_recv().is_ok() {}
        bench
            .publisher
            .catch_up(crate::publish::Everything::default);
        assert!(matches!(bench.reader.try_recv(), Ok(News::Everything(_))));
        assert_eq!(bench.received(), ["answer 1", "answer 2"]);
    }
}
