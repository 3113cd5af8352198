//! News that waits until the kernel has done what it says: a MASTER has its addresses, and who is it
//! no more has none, when hooks, systemd and clients hear of it.
//!
//! **Invariant:** the news of one carp interface keeps its order, and an answer comes behind the
//! news of what it caused.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use carp_proto::{Instant, Notice, Unit};

use crate::publish::{News, Publisher};

/// How long news waits for the kernel at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// What waits, by carp interface. A queue begins with what it waits for.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    queues: BTreeMap<Unit, VecDeque<Entry>>,
    /// When each wait ends, the first one first.
    limits: VecDeque<(Instant, Unit, u64)>,
    last: u64,
}

#[derive(Debug)]
enum Entry {
    /// What follows waits for the confirmation of this number.
    Wait(u64),
    News(News),
}

impl Withheld {
    /// What is told of `unit` from now on waits for the confirmation of the number that this gives,
    /// or two seconds from `now`.
    pub(super) fn begin(&mut self, unit: Unit, now: Instant) -> u64 {
        self.last += 1;
        let queue = self.queues.entry(unit).or_default();
        queue.push_back(Entry::Wait(self.last));
        self.limits.push_back((now + PATIENCE, unit, self.last));
        self.last
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.limits.front().map(|(limit, ..)| *limit)
    }

    /// Whether anything of `unit` waits.
    pub(super) fn has(&self, unit: Unit) -> bool {
        self.queues.contains_key(&unit)
    }

    /// Tells `news` now, or behind what waits for its carp interface.
    pub(super) fn tell(&mut self, news: News, publisher: &mut Publisher) {
        let concerned = concerned(&news).into_iter().collect();
        self.tell_behind(&concerned, news, publisher);
    }

    /// Tells `news` now, or behind what waits for one of these carp interfaces: for the one that was
    /// last asked for.
    pub(super) fn tell_behind(
        &mut self,
        units: &BTreeSet<Unit>,
        news: News,
        publisher: &mut Publisher,
    ) {
        // It would be lost later, and what makes up for it does not wait.
        if publisher.is_behind() {
            self.release(publisher);
        }
        let last = units
            .iter()
            .filter_map(|unit| Some((last_wait(self.queues.get(unit)?), *unit)))
            .max();
        match last.and_then(|(_, unit)| self.queues.get_mut(&unit)) {
            Some(queue) => queue.push_back(Entry::News(news)),
            None => publisher.tell(news),
        }
    }

    /// The kernel has done what was asked of it before [`begin`](Self::begin) gave this number.
    pub(super) fn done(&mut self, unit: Unit, number: u64, publisher: &mut Publisher) {
        let is_free = |entry: &Entry| !matches!(entry, Entry::Wait(wait) if *wait > number);
        if let Some(queue) = self.queues.get_mut(&unit) {
            while queue.front().is_some_and(is_free) {
                if let Some(Entry::News(news)) = queue.pop_front() {
                    publisher.tell(news);
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

    /// Tells what has waited long enough.
    pub(super) fn expire(&mut self, now: Instant, publisher: &mut Publisher) {
        while let Some(&(limit, unit, number)) = self.limits.front()
            && limit <= now
        {
            self.done(unit, number, publisher);
        }
    }

    /// Tells everything.
    pub(super) fn release(&mut self, publisher: &mut Publisher) {
        self.limits.clear();
        let entries = core::mem::take(&mut self.queues).into_values().flatten();
        for entry in entries {
            if let Entry::News(news) = entry {
                publisher.tell(news);
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

/// The carp interface that `news` is of.
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
    use crate::publish::{ApiEnd, LoopEnd, channel};

    fn carp(number: u16) -> Unit {
        number.try_into().unwrap()
    }

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    /// Each piece of news is that an interface is gone, or an answer.
    struct Bench {
        withheld: Withheld,
        publisher: Publisher,
        reader: Receiver<News>,
    }

    impl Bench {
        fn new() -> Self {
            let (LoopEnd { publisher, .. }, ApiEnd { news: reader, .. }) = channel();
            Self {
                withheld: Withheld::default(),
                publisher,
                reader,
            }
        }

        fn tell(&mut self, unit: u16) {
            let news = News::Gone(carp(unit));
            self.withheld.tell(news, &mut self.publisher);
        }

        fn answer(&mut self, units: &[u16], id: u64) {
            let units = units.iter().map(|unit| carp(*unit)).collect();
            let news = News::Answer(RequestId(id), Ok(Answer::Done));
            self.withheld.tell_behind(&units, news, &mut self.publisher);
        }

        fn done(&mut self, unit: u16, number: u64) {
            self.withheld.done(carp(unit), number, &mut self.publisher);
        }

        fn told(&mut self) -> Vec<String> {
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
    fn news_of_one_interface_waits_and_that_of_others_does_not() {
        let mut bench = Bench::new();
        let number = bench.withheld.begin(carp(1), at(0));
        bench.tell(1);
        bench.answer(&[1], 1);
        bench.tell(2);
        bench.answer(&[2], 2);
        assert_eq!(bench.told(), ["carp2", "answer 2"]);
        bench.done(1, number);
        assert_eq!(bench.told(), ["carp1", "answer 1"]);
        assert_eq!(bench.withheld.deadline(), None);
        bench.tell(1);
        assert_eq!(bench.told(), ["carp1"]);
    }

    #[test]
    fn each_confirmation_lets_what_is_before_the_next_wait_go() {
        let mut bench = Bench::new();
        let first = bench.withheld.begin(carp(1), at(0));
        bench.answer(&[1], 1);
        let second = bench.withheld.begin(carp(1), at(5));
        bench.answer(&[1], 2);
        bench.done(1, first);
        assert_eq!(bench.told(), ["answer 1"]);
        assert_eq!(bench.withheld.deadline(), Some(at(2005)));
        bench.done(1, first);
        assert_eq!(bench.told(), [""; 0]);
        bench.done(1, second);
        assert_eq!(bench.told(), ["answer 2"]);
    }

    #[test]
    fn later_confirmation_counts_for_earlier_waits() {
        let mut bench = Bench::new();
        bench.withheld.begin(carp(1), at(0));
        bench.tell(1);
        let second = bench.withheld.begin(carp(1), at(0));
        bench.answer(&[1], 1);
        bench.done(1, second);
        assert_eq!(bench.told(), ["carp1", "answer 1"]);
    }

    #[test]
    fn answer_about_two_interfaces_waits_for_the_later_one() {
        let mut bench = Bench::new();
        let first = bench.withheld.begin(carp(2), at(0));
        let second = bench.withheld.begin(carp(1), at(0));
        bench.answer(&[1, 2], 1);
        bench.done(2, first);
        assert_eq!(bench.told(), [""; 0]);
        bench.done(1, second);
        assert_eq!(bench.told(), ["answer 1"]);
    }

    #[test]
    fn kernel_that_does_not_answer_delays_news_by_two_seconds() {
        let mut bench = Bench::new();
        bench.withheld.begin(carp(1), at(0));
        bench.tell(1);
        bench.withheld.begin(carp(1), at(500));
        bench.tell(1);
        assert_eq!(bench.withheld.deadline(), Some(at(2000)));
        bench.withheld.expire(at(1999), &mut bench.publisher);
        assert_eq!(bench.told(), [""; 0]);
        bench.withheld.expire(at(2000), &mut bench.publisher);
        assert_eq!(bench.told(), ["carp1"]);
        bench.withheld.expire(at(2500), &mut bench.publisher);
        assert_eq!(bench.told(), ["carp1"]);
        assert_eq!(bench.withheld.deadline(), None);
    }

    #[test]
    fn nothing_waits_while_news_is_being_lost() {
        let mut bench = Bench::new();
        bench.withheld.begin(carp(1), at(0));
        bench.answer(&[1], 1);
        while !bench.publisher.is_behind() {
            bench.publisher.tell(News::Gone(carp(2)));
        }
        bench.answer(&[1], 2);
        assert!(!bench.withheld.has(carp(1)));
        while bench.reader.try_recv().is_ok() {}
        bench
            .publisher
            .catch_up(crate::publish::Everything::default);
        assert!(matches!(bench.reader.try_recv(), Ok(News::Everything(_))));
        assert_eq!(bench.told(), ["answer 1", "answer 2"]);
    }
}
