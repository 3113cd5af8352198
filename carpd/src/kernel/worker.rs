//! Loop of the kernel thread: queued work first, then chores, sightings and inspections.

use core::time::Duration;
use std::collections::BTreeSet;

use carp_proto::{Place, Unit, Work};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::adopt::Leftovers;
use super::bystanders::Bystanders;
use super::chores::Chore;
use super::devices;
use super::held::Held;
use super::helpers::Helpers;
use super::holdings::Holdings;
use super::inspection::Inspection;
use super::mend::Mending;
use super::news::{Awaited, News};
use super::progress::Done;
use super::queue::{Job, Queue};
use super::sightings::Sighting;

/// Time between the first bow-out and the removal of all devices at the end. Removing hundreds holds the
/// routing lock for tens of milliseconds. A host in this kernel that takes some addresses over is done
/// before that.
const END_DELAY: Duration = Duration::from_millis(15);

/// Limit of carp interfaces that leave one after the other whose IPv4 addresses are taken away together.
/// The first of them bows out after that.
const MAX_LEAVING_TOGETHER: usize = 64;

/// State of the kernel thread.
#[derive(Debug)]
pub(super) struct Worker {
    holdings: Holdings,
    queue: Queue,
    leftovers: Leftovers,
    helpers: Helpers,
    bystanders: Bystanders,
    mending: Mending,
    inspection: Inspection,
    /// Set once the queue is closed.
    is_ending: bool,
    /// Set if everything stays as it is for the next instance.
    keeps: bool,
    /// Time of the first bow-out since there was no work.
    bowed_out: Option<Instant>,
}

impl Worker {
    /// Takes over what the previous instance left if it `adopts`, and otherwise removes it.
    pub(super) fn start(holdings: Holdings, adopts: bool) -> Self {
        let mut worker = Self {
            holdings,
            queue: Queue::default(),
            leftovers: Leftovers::default(),
            helpers: Helpers::default(),
            bystanders: Bystanders::default(),
            mending: Mending::default(),
            inspection: Inspection::new(),
            is_ending: false,
            keeps: false,
            bowed_out: None,
        };
        let holdings = &mut worker.holdings;
        let mut leases = None;
        if adopts {
            leases = worker
                .leftovers
                .adopt(holdings)
                .inspect_err(|error| warn!("cannot read what the previous instance left: {error}"))
                .ok();
        }
        if leases.is_none() {
            holdings.remove_everything();
        }
        holdings.tell(News::Found(leases.unwrap_or_default()));
        worker
    }

    /// Works until the queue is closed and all work is done. After everything that can take long, the
    /// monitor has its turn.
    pub(super) async fn run(
        &mut self,
        mut jobs: UnboundedReceiver<Job>,
        done: Done,
        mut sightings: UnboundedReceiver<Sighting>,
    ) {
        loop {
            // Work that was requested because of these comes after them.
            while let Ok(sighting) = sightings.try_recv() {
                self.see(sighting);
            }
            self.collect(&mut jobs);
            if let Some(job) = self.next_job() {
                let is_slow = matches!(job, Job::Work(Work::Ensure { .. }, _));
                self.perform(job);
                done.one();
                if is_slow {
                    yield_now().await;
                }
                continue;
            }
            if self.is_ending {
                break;
            }
            self.bowed_out = None;
            tokio::select! {
                biased;
                job = jobs.recv() => match job {
                    Some(job) => self.queue.push(job),
                    None => self.is_ending = true,
                },
                chore = self.holdings.chores.next() => {
                    self.do_chore(chore);
                    yield_now().await;
                }
                Some(sighting) = sightings.recv() => self.see(sighting),
                () = self.mending.due() => {
                    self.mending.mend(&mut self.holdings);
                    yield_now().await;
                }
                () = self.inspection.due() => {
                    for unit in self.inspection.inspect(&mut self.holdings) {
                        self.mending.suspect(unit);
                    }
                    yield_now().await;
                }
            }
        }
    }

    /// Undoes all changes, unless everything is to stay.
    pub(super) async fn end(mut self) {
        if self.keeps {
            return;
        }
        let units: BTreeSet<Unit> = self.holdings.interfaces.keys().copied().collect();
        self.holdings.deafen_all(&units);
        for unit in units {
            self.holdings.leave(unit);
        }
        let Holdings {
            netlink,
            sender,
            mut attached,
            ..
        } = self.holdings;
        // No frame is sent after this.
        sender.close();
        if let Some(since) = self.bowed_out {
            sleep_until(since + END_DELAY).await;
        }
        if let Err(error) = devices::delete_all(&netlink) {
            warn!("cannot remove our devices: {error}");
        }
        attached.detach_all(&netlink);
    }

    fn collect(&mut self, jobs: &mut UnboundedReceiver<Job>) {
        while !self.is_ending {
            match jobs.try_recv() {
                Ok(job) => self.queue.push(job),
                Err(TryRecvError::Disconnected) => self.is_ending = true,
                Err(TryRecvError::Empty) => return,
            }
        }
    }

    /// Returns the next job. If a carp interface leaves with it, it is deaf and without IPv4 addresses
    /// then, and so are those that leave next.
    fn next_job(&mut self) -> Option<Job> {
        let first = self.queue.leaving().next();
        if let Some(unit) = first {
            if self.holdings.held(unit).is_some_and(Held::hears) {
                let all = self.queue.leaving().collect();
                self.holdings.deafen_all(&all);
            }
            if self
                .holdings
                .held(unit)
                .is_some_and(Held::is_deaf_with_ipv4)
            {
                let some: Vec<Unit> = self.queue.leaving().take(MAX_LEAVING_TOGETHER).collect();
                self.holdings.strip_all(&some);
            }
        }
        if self.is_ending && !self.keeps {
            self.queue.pop_last()
        } else {
            self.queue.pop()
        }
    }

    pub(super) fn perform(&mut self, job: Job) {
        let holdings = &mut self.holdings;
        match job {
            Job::Work(work, asked) => self.work(work, asked),
            Job::Renew(leases, asked) => holdings.renew(&leases, asked),
            Job::Attach(interface) => {
                holdings.attached.attach(interface, &holdings.netlink);
                self.bystanders.name_silenced(interface, holdings);
                self.bystanders.name_guests(holdings);
            }
            Job::Detach(interface) => {
                self.helpers.remove(interface, holdings);
                holdings.attached.detach(interface, &holdings.netlink);
            }
            Job::SetUpHelpers(interface, up) => self.helpers.set_up(interface, up, holdings),
            Job::Probe(interface, number, frames) => holdings.probe(interface, number, frames),
            Job::Sweep => self.leftovers.sweep(holdings),
            Job::Keep => self.keeps = true,
            Job::Confirm(of, awaited) => self.confirm(of, awaited),
        }
    }

    fn work(&mut self, work: Work, asked: carp_proto::Instant) {
        let holdings = &mut self.holdings;
        match work {
            Work::Ensure { unit, parent, mac } => {
                holdings.chores.cancel_end(unit);
                holdings.chores.cancel_discard(unit);
                let held = holdings.held_mut(unit);
                held.is_leftover = false;
                held.refused.clear();
                held.wanted = Some((parent, mac));
                held.retries = 0;
                holdings.ensure(unit, parent, mac);
            }
            Work::Take {
                unit,
                place,
                addresses,
                lease,
                number,
            } => {
                self.prepare(unit, place);
                // Otherwise it would answer for a moment beside the new master.
                if self.queue.is_leaving(unit) {
                    return;
                }
                let until = asked + Duration::from_secs(lease.into());
                if self.holdings.take(unit, place, addresses, until) {
                    self.holdings.tell(News::Taken { unit, number });
                }
            }
            Work::Renew { unit, lease } => holdings.renew(&[(unit, lease)], asked),
            Work::Leave { unit } => holdings.leave(unit),
            Work::BowOut {
                unit: _,
                device,
                frames,
            } => {
                holdings.send(device, &frames);
                self.bowed_out.get_or_insert_with(Instant::now);
            }
            Work::Down { unit } => holdings.chores.put_off(Chore::Down(unit)),
            Work::Remove { unit } => {
                holdings.chores.cancel_end(unit);
                holdings.chores.put_off(Chore::Remove(unit));
            }
        }
    }

    /// Keeps the device of a carp interface that becomes MASTER on it. One that becomes MASTER on the
    /// physical interface loses a device that was to be removed.
    fn prepare(&mut self, unit: Unit, place: Place) {
        let holdings = &mut self.holdings;
        let is_to_be_removed = holdings.chores.contains(Chore::Remove(unit));
        holdings.chores.cancel_end(unit);
        if let Some(held) = holdings.interfaces.get_mut(&unit) {
            held.refused.retain(|address, _| address.is_none());
        }
        match place {
            Place::Device | Place::SilentDevice => {
                if let Some(held) = holdings.interfaces.get_mut(&unit) {
                    held.is_leftover = false;
                }
            }
            Place::Parent(_) => {
                if let Some(device) = holdings.device(unit).filter(|_| is_to_be_removed) {
                    holdings.leave(unit);
                    holdings.discard(unit, device.index);
                }
            }
        }
    }

    /// Confirms at once, or after the removal of devices for which a request waits.
    fn confirm(&mut self, of: Option<Unit>, awaited: Awaited) {
        let waits = match awaited {
            Awaited::Request(_) => self.holdings.chores.has_removal(of),
            Awaited::News(..) => false,
        };
        if waits {
            self.holdings.chores.put_off(Chore::Confirm(awaited));
        } else {
            self.holdings.tell(News::Confirmed(awaited));
        }
    }

    fn see(&mut self, sighting: Sighting) {
        match sighting {
            Sighting::Own(interface, own) => {
                self.holdings.follow_own(interface, own);
                self.bystanders.name_silenced(interface, &self.holdings);
            }
            Sighting::Guest(number, guest) => {
                self.bystanders.follow(number, guest);
                self.bystanders.name_guests(&self.holdings);
            }
            Sighting::AddressGone(..)
            | Sighting::Device(_)
            | Sighting::Parent(_)
            | Sighting::Anything => self.mending.add(&sighting),
        }
    }

    fn do_chore(&mut self, chore: Chore) {
        let holdings = &mut self.holdings;
        let netlink = &holdings.netlink;
        let result = match chore {
            Chore::Retry(unit) => return holdings.retry(unit),
            Chore::Confirm(awaited) => return holdings.tell(News::Confirmed(awaited)),
            Chore::Discard(_, index) | Chore::DeleteHelper(index) => {
                devices::delete(netlink, index)
            }
            Chore::Down(unit) => match holdings.device(unit) {
                Some(device) => devices::set_down(netlink, device.index),
                None => return,
            },
            Chore::SetHelpersDown(interface) => self.helpers.set_down(interface, netlink),
            Chore::Remove(unit) => {
                holdings.leave(unit);
                holdings.log.forget(unit);
                self.mending.forget(unit);
                holdings.chores.cancel(Chore::Retry(unit));
                let held = holdings.interfaces.remove(&unit);
                match held.and_then(|held| held.device) {
                    Some(device) => devices::delete(&holdings.netlink, device.index),
                    None => return,
                }
            }
        };
        if let Err(error) = result {
            warn!("{chore:?}: {error}");
        }
    }
}
