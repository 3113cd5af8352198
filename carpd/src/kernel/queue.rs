//! Order of kernel work: work that keeps or ends an address comes before work that makes a device. A
//! device takes milliseconds to make, so that thousands take many seconds, and meanwhile the leases of
//! other carp interfaces would end.
//!
//! **Invariant:** all work for one carp interface is done in the order of the requests, and so is all work
//! for none.

use std::collections::{BTreeMap, VecDeque};

use carp_proto::{IfIndex, Instant, Unit, Work};

use super::news::Awaited;

/// One entry of the queue.
#[derive(Debug)]
pub(super) enum Job {
    /// Work, with the time of the request.
    Work(Work, Instant),
    /// [`Work::Renew`] for several carp interfaces.
    Renew(Vec<(Unit, u32)>, Instant),
    /// Sets the sysctls of a physical interface.
    Attach(IfIndex),
    /// Puts the sysctls of a physical interface back.
    Detach(IfIndex),
    /// Sets the helper devices of a physical interface up or down.
    SetUpHelpers(IfIndex, bool),
    /// Sends the probe with this number: frames without a destination.
    Probe(IfIndex, u64, Vec<Vec<u8>>),
    /// Removes what the previous instance left.
    Sweep,
    /// Leaves everything as it is when the thread ends.
    Keep,
    /// Confirms the work of one carp interface, or of all.
    Confirm(Option<Unit>, Awaited),
}

/// Work that is to be done.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Work that is done first.
    prompt: VecDeque<Job>,
    /// Making of devices, and later work that must follow it.
    slow: VecDeque<Job>,
    /// Number of entries in `slow` of each carp interface.
    waiting: BTreeMap<Unit, usize>,
    /// Number of [`Work::Leave`] of each carp interface.
    leaves: BTreeMap<Unit, usize>,
}

impl Queue {
    /// Appends a job after those that it must not overtake.
    pub(super) fn push(&mut self, job: Job) {
        match job {
            Job::Work(Work::Renew { unit, lease }, asked) => {
                self.push_renewals(vec![(unit, lease)], asked);
            }
            Job::Renew(leases, asked) => self.push_renewals(leases, asked),
            Job::Work(work, asked) => {
                let unit = unit_of(&work);
                if let Work::Leave { .. } = work {
                    *self.leaves.entry(unit).or_default() += 1;
                }
                let makes = matches!(work, Work::Ensure { .. });
                if makes || self.waiting.contains_key(&unit) {
                    *self.waiting.entry(unit).or_default() += 1;
                    self.slow.push_back(Job::Work(work, asked));
                } else {
                    self.prompt.push_back(Job::Work(work, asked));
                }
            }
            Job::Confirm(of, _) if self.is_waiting(of) => self.slow.push_back(job),
            // It removes what no work has asked for by then.
            Job::Sweep if !self.slow.is_empty() => self.slow.push_back(job),
            Job::Sweep
            | Job::Attach(_)
            | Job::Detach(_)
            | Job::SetUpHelpers(..)
            | Job::Probe(..)
            | Job::Keep
            | Job::Confirm(..) => self.prompt.push_back(job),
        }
    }

    /// Returns true if work of this carp interface waits for devices; with `None`, work of any.
    fn is_waiting(&self, of: Option<Unit>) -> bool {
        of.map_or(!self.waiting.is_empty(), |unit| {
            self.waiting.contains_key(&unit)
        })
    }

    /// Returns the next job.
    pub(super) fn pop(&mut self) -> Option<Job> {
        let job = self.prompt.pop_front().or_else(|| self.pop_slow())?;
        if let Job::Work(Work::Leave { unit }, _) = &job {
            count_down(&mut self.leaves, *unit);
        }
        Some(job)
    }

    /// Returns true if the job that was just popped is out of date, because `unit` leaves later.
    pub(super) fn is_leaving(&self, unit: Unit) -> bool {
        self.leaves.contains_key(&unit)
    }

    /// Returns the next job of a thread that is about to end and undo all changes: it makes and takes
    /// nothing more, but a MASTER still bows out.
    pub(super) fn pop_last(&mut self) -> Option<Job> {
        loop {
            let job = self.pop()?;
            if let Job::Work(Work::Ensure { .. } | Work::Take { .. }, _) | Job::SetUpHelpers(..) =
                job
            {
                continue;
            }
            return Some(job);
        }
    }

    /// Returns the carp interfaces that leave next, up to the first job that does not belong to leaving
    /// and is no confirmation.
    pub(super) fn leaving(&self) -> impl Iterator<Item = Unit> {
        let run = self.prompt.iter().take_while(|job| {
            matches!(
                job,
                Job::Work(
                    Work::Leave { .. } | Work::BowOut { .. } | Work::Down { .. },
                    _
                ) | Job::Confirm(..)
            )
        });
        run.filter_map(|job| match job {
            Job::Work(Work::Leave { unit }, _) => Some(*unit),
            Job::Work(..)
            | Job::Renew(..)
            | Job::Attach(_)
            | Job::Detach(_)
            | Job::SetUpHelpers(..)
            | Job::Probe(..)
            | Job::Sweep
            | Job::Keep
            | Job::Confirm(..) => None,
        })
    }

    fn pop_slow(&mut self) -> Option<Job> {
        let job = self.slow.pop_front()?;
        if let Job::Work(work, _) = &job {
            count_down(&mut self.waiting, unit_of(work));
        }
        Some(job)
    }

    /// Renews the lease in a [`Work::Take`] that still waits for its device.
    fn push_renewals(&mut self, leases: Vec<(Unit, u32)>, asked: Instant) {
        let (waiting, prompt): (Vec<_>, Vec<_>) = leases
            .into_iter()
            .partition(|(unit, _)| self.waiting.contains_key(unit));
        let waiting: BTreeMap<Unit, u32> = waiting.into_iter().collect();
        if !waiting.is_empty() {
            for job in &mut self.slow {
                if let Job::Work(Work::Take { unit, lease, .. }, since) = job
                    && let Some(renewed) = waiting.get(unit)
                {
                    (*lease, *since) = (*renewed, asked);
                }
            }
        }
        // Even without any, because requests and done work are counted.
        self.prompt.push_back(Job::Renew(prompt, asked));
    }
}

fn count_down(counts: &mut BTreeMap<Unit, usize>, unit: Unit) {
    if let Some(count) = counts.get_mut(&unit) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&unit);
        }
    }
}

const fn unit_of(work: &Work) -> Unit {
    match work {
        Work::Ensure { unit, .. }
        | Work::Take { unit, .. }
        | Work::Renew { unit, .. }
        | Work::Leave { unit }
        | Work::BowOut { unit, .. }
        | Work::Down { unit }
        | Work::Remove { unit } => *unit,
    }
}

#[cfg(test)]
mod tests {
    use carp_proto::{Mac, Place, RequestId};

    use super::*;

    fn carp(number: u16) -> Unit {
        Unit::try_from(number).unwrap()
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn ensure(number: u16) -> Job {
        let work = Work::Ensure {
            unit: carp(number),
            parent: IfIndex(2),
            mac: Mac([0; 6]),
        };
        Job::Work(work, at(1))
    }

    fn take(number: u16) -> Job {
        let work = Work::Take {
            unit: carp(number),
            place: Place::Device,
            addresses: Vec::new(),
            lease: 3,
            number: 1,
        };
        Job::Work(work, at(1))
    }

    fn leave(number: u16) -> Job {
        let unit = carp(number);
        Job::Work(Work::Leave { unit }, at(1))
    }

    fn bow_out(number: u16) -> Job {
        let work = Work::BowOut {
            unit: carp(number),
            device: IfIndex(2),
            frames: Vec::new(),
        };
        Job::Work(work, at(1))
    }

    fn short(job: &Job) -> String {
        match job {
            Job::Work(Work::Take { unit, lease, .. }, asked) => {
                format!(
                    "take {unit} until {}",
                    asked.micros() / 1_000_000 + u64::from(*lease)
                )
            }
            Job::Work(Work::Ensure { unit, .. }, _) => format!("ensure {unit}"),
            Job::Work(Work::Leave { unit }, _) => format!("leave {unit}"),
            Job::Work(Work::BowOut { unit, .. }, _) => format!("bow out {unit}"),
            Job::Renew(leases, _) => {
                let units: Vec<_> = leases.iter().map(|(unit, _)| unit.to_string()).collect();
                format!("renew {}", units.join(" "))
            }
            other @ (Job::Work(..)
            | Job::Attach(_)
            | Job::Detach(_)
            | Job::SetUpHelpers(..)
            | Job::Probe(..)
            | Job::Sweep
            | Job::Keep
            | Job::Confirm(..)) => {
                format!("{other:?}")
            }
        }
    }

    fn queue(jobs: impl IntoIterator<Item = Job>) -> Queue {
        let mut queue = Queue::default();
        for job in jobs {
            queue.push(job);
        }
        queue
    }

    fn order(mut queue: Queue) -> Vec<String> {
        core::iter::from_fn(|| queue.pop().map(|job| short(&job))).collect()
    }

    #[test]
    fn interface_is_leaving_until_that_is_done() {
        let mut queue = Queue::default();
        for job in [take(1), leave(1), take(1), ensure(2), take(2), leave(2)] {
            queue.push(job);
        }
        let mut told = Vec::new();
        while let Some(job) = queue.pop() {
            let leaving = [1, 2].map(|number| queue.is_leaving(carp(number)));
            told.push((short(&job), leaving));
        }
        let expected = [
            ("take carp1 until 4", [true, true]),
            ("leave carp1", [false, true]),
            ("take carp1 until 4", [false, true]),
            ("ensure carp2", [false, true]),
            ("take carp2 until 4", [false, true]),
            ("leave carp2", [false, false]),
        ];
        assert_eq!(
            told,
            expected.map(|(job, leaving)| (job.to_owned(), leaving))
        );
    }

    #[test]
    fn addresses_do_not_wait_for_devices_of_other_interfaces() {
        let jobs = [ensure(1), ensure(2), take(3), leave(4)];
        let renewal = Job::Renew(vec![(carp(3), 3)], at(2));
        let order = order(queue(jobs.into_iter().chain([renewal])));
        let expected = [
            "take carp3 until 4",
            "leave carp4",
            "renew carp3",
            "ensure carp1",
            "ensure carp2",
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn work_of_one_interface_keeps_its_order() {
        let jobs = [
            ensure(1),
            take(1),
            leave(1),
            bow_out(1),
            ensure(1),
            Job::Sweep,
            leave(2),
        ];
        let mut queue = queue(jobs);
        let mut done = Vec::new();
        while let Some(job) = queue.pop() {
            done.push(short(&job));
            if done.len() == 6 {
                // No job of the interface waits any more.
                queue.push(leave(1));
            }
        }
        let expected = [
            "leave carp2",
            "ensure carp1",
            "take carp1 until 4",
            "leave carp1",
            "bow out carp1",
            "ensure carp1",
            "leave carp1",
            "Sweep",
        ];
        assert_eq!(done, expected);
    }

    #[test]
    fn confirmation_follows_the_work_of_its_interface_alone() {
        let confirm = |of: Option<u16>, number| {
            let awaited = Awaited::Request(RequestId(number));
            Job::Confirm(of.map(carp), awaited)
        };
        let jobs = [
            ensure(1),
            confirm(Some(1), 1),
            leave(2),
            confirm(Some(2), 2),
            confirm(None, 3),
            ensure(3),
        ];
        let expected = [
            "leave carp2",
            "Confirm(Some(Unit(2)), Request(RequestId(2)))",
            "ensure carp1",
            "Confirm(Some(Unit(1)), Request(RequestId(1)))",
            "Confirm(None, Request(RequestId(3)))",
            "ensure carp3",
        ];
        assert_eq!(order(queue(jobs)), expected);
    }

    #[test]
    fn renewal_extends_the_lease_of_a_take_that_waits() {
        let renewal = Job::Renew(vec![(carp(1), 5), (carp(2), 5)], at(10));
        let order = order(queue([ensure(1), take(1), renewal]));
        assert_eq!(
            order,
            ["renew carp2", "ensure carp1", "take carp1 until 15"]
        );
    }

    #[test]
    fn ending_thread_makes_nothing_and_still_bows_out() {
        let jobs = [ensure(1), take(1), leave(1), bow_out(1), Job::Sweep];
        let mut queue = queue(jobs);
        let last: Vec<_> =
            core::iter::from_fn(|| queue.pop_last().map(|job| short(&job))).collect();
        assert_eq!(last, ["leave carp1", "bow out carp1", "Sweep"]);
    }

    #[test]
    fn leaving_interfaces_are_known_together() {
        let confirmed = Job::Confirm(Some(carp(1)), Awaited::News(carp(1), 1));
        let jobs = [leave(1), bow_out(1), confirmed, leave(2), take(3), leave(4)];
        let queue = queue(jobs);
        assert_eq!(queue.leaving().collect::<Vec<_>>(), [carp(1), carp(2)]);
    }
}
