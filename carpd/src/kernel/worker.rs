//! Performs what is asked: what is to be done for each unit, in which order, and what is told of it.

use core::future::pending;
use core::net::IpAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use carp_proto::{IfIndex, Instant, Mac, Place, Unit, VirtualAddress, Work};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::yield_now;
use tokio::time::sleep_until;
use tracing::{debug, warn};

use super::adopt::{self, Leftovers};
use super::bystanders::Bystanders;
use super::devices::{Found, Seen};
use super::mend::{Mending, Sighting, Turn};
use super::netlink::Netlink;
use super::netlink_error::NetlinkError;
use super::progress::Done;
use super::queue::Queue;
use super::routes::Own;
use super::sysctls::{Kept, Sysctl};
use super::{Awaited, Job, News, Options, devices};
use crate::net::Sender;

/// The kernel thread's state.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) netlink: Netlink,
    sender: Sender,
    news: UnboundedSender<News>,
    pub(super) sysctls: Kept,
    pub(super) units: BTreeMap<Unit, State>,
    /// Closed: nothing more will be asked for.
    ending: bool,
    queue: Queue,
    /// When the first bow-out was sent since there was nothing to do.
    bowed_out: Option<tokio::time::Instant>,
    /// In the order in which they may begin.
    pub(super) chores: VecDeque<(tokio::time::Instant, Chore)>,
    pub(super) mending: Mending,
    pub(super) own: Own,
    pub(super) bystanders: Bystanders,
    pub(super) leftovers: Leftovers,
    /// The sysctls that cannot be set here, as was said.
    pub(super) unsettable: BTreeSet<Sysctl>,
    /// The numbers of the helper devices of each physical interface that has had any.
    pub(super) helpers: BTreeMap<IfIndex, [u32; 2]>,
    /// Physical interfaces whose helper devices could not be made, which the log has said.
    pub(super) without_helpers: BTreeSet<IfIndex>,
    /// Whether the next carpd shall find everything as it is.
    keep: bool,
}

/// What a unit has in the kernel.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) device: Option<Device>,
    pub(super) held: Option<Held>,
    /// Whether IPv6 is known to be disabled on the device.
    pub(super) ipv6_off: bool,
    /// The device that it shall have, and how many times that was tried again.
    pub(super) wanted: Option<(IfIndex, Mac)>,
    pub(super) retries: u32,
    /// What was told last of each thing refused, so that a renewal does not tell it again.
    pub(super) refused: BTreeMap<Option<IpAddr>, String>,
}

#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) index: u32,
    pub(super) parent: IfIndex,
    pub(super) parent_name: String,
    pub(super) mac: Mac,
}

/// The addresses of a MASTER.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) place: Place,
    pub(super) addresses: Vec<VirtualAddress>,
    /// When their lease ends.
    pub(super) until: Instant,
    /// Whether the device was already made deaf, for it is about to lose them.
    pub(super) deaf: bool,
}

/// How long a device that is needed no more stays up: taking it down is milliseconds under the
/// kernel's routing lock, for which others in this kernel may wait who are just taking over, and
/// in vain if we are soon needed again.
const REST: Duration = Duration::from_secs(1);

/// How long one stays there that shall be removed.
const SHORT_REST: Duration = Duration::from_millis(50);

/// How long after the first bow-out all devices stay there that are removed at the end: removing
/// them takes the routing lock, for tens of milliseconds where there are hundreds, and a host that
/// takes some addresses over in this kernel is done before.
const LAST_REST: Duration = Duration::from_millis(15);

/// The IPv4 addresses of so many who leave one after the other go together; the first of them does
/// not bow out before.
const LEAVING_TOGETHER: usize = 64;

/// Slow work, done while nothing else waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    Down(Unit),
    Remove(Unit),
    /// Sets the helper devices of a physical interface down.
    SetHelpersDown(IfIndex),
    /// Deletes the helper device with this number.
    DeleteHelper(u32),
    /// The device of this number, which is not the unit's any more.
    Discard(Unit, u32),
    /// Asks again for the device that the kernel refused.
    Retry(Unit),
    /// Says that what was put off before it is done.
    Confirm(Awaited),
}

impl Worker {
    /// Makes what the carpd before left behind its own if it shall, and removes it otherwise.
    pub(super) fn start(
        options: Options,
        netlink: Netlink,
        sender: Sender,
        news: UnboundedSender<News>,
    ) -> Self {
        let sysctls = Kept::load(&options.run_dir.join("sysctls"), &netlink);
        let mut worker = Self {
            netlink,
            sender,
            news,
            sysctls,
            units: BTreeMap::new(),
            ending: false,
            queue: Queue::default(),
            bowed_out: None,
            chores: VecDeque::new(),
            mending: Mending::new(),
            own: Own::default(),
            bystanders: Bystanders::default(),
            leftovers: Leftovers::default(),
            unsettable: BTreeSet::new(),
            helpers: BTreeMap::new(),
            without_helpers: BTreeSet::new(),
            keep: false,
        };
        let mut leases = None;
        if options.adopt {
            leases = worker
                .adopt()
                .inspect_err(|error| warn!("cannot see what was left behind: {error}"))
                .ok();
        }
        if leases.is_none() {
            worker.units.clear();
            adopt::remove_everything(&worker.netlink);
            worker.sysctls.release_all(&worker.netlink);
        }
        worker.tell(News::Found(leases.unwrap_or_default()));
        worker
    }

    /// Works until nothing more is asked for and all is done. What others do to our
    /// devices is looked at while nothing else is to be done. After everything that can take long,
    /// the monitor has its turn.
    pub(super) async fn run(
        &mut self,
        mut jobs: UnboundedReceiver<Job>,
        done: Done,
        mut sightings: UnboundedReceiver<Sighting>,
    ) {
        loop {
            // What was asked for because of these comes after them.
            while let Ok(sighting) = sightings.try_recv() {
                self.sight(sighting);
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
            if self.ending {
                break;
            }
            self.bowed_out = None;
            tokio::select! {
                biased;
                job = jobs.recv() => match job {
                    Some(job) => self.queue.push(job),
                    None => self.ending = true,
                },
                chore = next(&mut self.chores) => {
                    self.do_chore(chore);
                    yield_now().await;
                }
                Some(sighting) = sightings.recv() => self.sight(sighting),
                turn = self.mending.turn() => {
                    match turn {
                        Turn::Suspects => self.mend(),
                        Turn::Sysctls => self.check_sysctls(),
                    }
                    yield_now().await;
                }
            }
        }
    }

    /// Gives everything back, unless it shall be kept.
    pub(super) async fn end(self) {
        if !self.keep {
            self.give_back().await;
        }
    }

    fn collect(&mut self, jobs: &mut UnboundedReceiver<Job>) {
        while !self.ending {
            match jobs.try_recv() {
                Ok(job) => self.queue.push(job),
                Err(TryRecvError::Disconnected) => self.ending = true,
                Err(TryRecvError::Empty) => return,
            }
        }
    }

    fn next_job(&mut self) -> Option<Job> {
        let first = self.queue.leaving().next();
        if let Some(unit) = first {
            if self.hears(unit) {
                let all = self.queue.leaving().collect();
                self.deafen_all(&all);
            }
            if self.is_deaf_with_ipv4(unit) {
                let some: Vec<Unit> = self.queue.leaving().take(LEAVING_TOGETHER).collect();
                self.strip_all(&some);
            }
        }
        if self.ending && !self.keep {
            self.queue.pop_last()
        } else {
            self.queue.pop()
        }
    }

    async fn give_back(mut self) {
        let units: BTreeSet<Unit> = self.units.keys().copied().collect();
        self.deafen_all(&units);
        for unit in units {
            self.leave(unit);
        }
        // Nothing more is said.
        self.sender.close();
        if let Some(since) = self.bowed_out {
            sleep_until(since + LAST_REST).await;
        }
        if let Err(error) = devices::delete_all(&self.netlink) {
            warn!("cannot remove our devices: {error}");
        }
        self.sysctls.release_all(&self.netlink);
    }

    pub(super) fn perform(&mut self, job: Job) {
        match job {
            Job::Attach(device) => self.attach(device),
            Job::Detach(device) => {
                self.drop_helpers(device);
                self.sysctls.detach(device, &self.netlink);
            }
            Job::SetUpHelpers(interface, up) => self.set_up_helpers(interface, up),
            Job::Probe(device, number, frames) => self.probe(device, number, frames),
            Job::Sweep => self.sweep(),
            Job::Keep => self.keep = true,
            Job::Confirm(of, awaited) => self.confirm(of, awaited),
            Job::Work(Work::Ensure { unit, parent, mac }, _) => {
                self.leftovers.claim(unit);
                self.cancel_chores(unit);
                self.spare(unit);
                let state = self.units.entry(unit).or_default();
                state.refused.clear();
                state.wanted = Some((parent, mac));
                state.retries = 0;
                self.ensure(unit, parent, mac);
            }
            Job::Work(
                Work::Take {
                    unit,
                    place,
                    addresses,
                    lease,
                    number,
                },
                asked,
            ) => {
                let is_to_go = match place {
                    Place::Device | Place::SilentDevice => {
                        self.leftovers.claim(unit);
                        None
                    }
                    Place::Parent(_) => self.device_to_remove(unit),
                };
                self.cancel_chores(unit);
                self.forget_refused_addresses(unit);
                if let Some(index) = is_to_go {
                    self.leave(unit);
                    self.discard(unit, index);
                }
                // It would answer for a moment beside who is MASTER now.
                if self.queue.is_leaving(unit) {
                    return;
                }
                let until = asked + Duration::from_secs(lease.into());
                if self.take(unit, place, addresses, until) {
                    self.tell(News::Taken { unit, number });
                }
            }
            Job::Work(Work::Renew { unit, lease }, asked) => {
                self.renew(&[(unit, lease)], asked);
            }
            Job::Renew(leases, asked) => self.renew(&leases, asked),
            Job::Work(Work::Leave { unit }, _) => self.leave(unit),
            Job::Work(
                Work::BowOut {
                    unit: _,
                    device,
                    frames,
                },
                _,
            ) => {
                self.send(device, &frames);
                self.bowed_out.get_or_insert_with(tokio::time::Instant::now);
            }
            Job::Work(Work::Down { unit }, _) => self.put_off(Chore::Down(unit)),
            Job::Work(Work::Remove { unit }, _) => {
                self.cancel_chores(unit);
                self.put_off(Chore::Remove(unit));
            }
        }
    }

    pub(super) fn put_off(&mut self, chore: Chore) {
        let rest = match chore {
            Chore::Down(_) | Chore::Discard(..) | Chore::SetHelpersDown(_) => REST,
            Chore::Remove(_) | Chore::DeleteHelper(_) | Chore::Confirm(_) => SHORT_REST,
            Chore::Retry(unit) => self.pause_before_retry(unit),
        };
        let start = tokio::time::Instant::now() + rest;
        let behind = self.chores.partition_point(|(other, _)| *other <= start);
        self.chores.insert(behind, (start, chore));
    }

    /// The number of the unit's device if that shall be removed.
    fn device_to_remove(&self, unit: Unit) -> Option<u32> {
        let removal = |(_, chore): &(_, Chore)| *chore == Chore::Remove(unit);
        let device = self.device(unit)?;
        self.chores.iter().any(removal).then_some(device.index)
    }

    /// Has the device of this number removed, which is `unit`'s no more.
    pub(super) fn discard(&mut self, unit: Unit, index: u32) {
        if let Some(state) = self.units.get_mut(&unit) {
            state.device = None;
        }
        self.put_off(Chore::Discard(unit, index));
    }

    /// The device is the unit's again.
    fn spare(&mut self, unit: Unit) {
        self.chores
            .retain(|(_, chore)| !matches!(chore, Chore::Discard(other, _) if *other == unit));
    }

    fn cancel_chores(&mut self, unit: Unit) {
        self.chores.retain(|(_, chore)| match chore {
            Chore::Down(other) | Chore::Remove(other) => *other != unit,
            Chore::Discard(..)
            | Chore::SetHelpersDown(_)
            | Chore::DeleteHelper(_)
            | Chore::Retry(_)
            | Chore::Confirm(_) => true,
        });
    }

    /// What a confirmation has to wait for is put off for as long as it is itself.
    fn confirm(&mut self, of: Option<Unit>, awaited: Awaited) {
        let waits = self.chores.iter().any(|(_, chore)| match (chore, awaited) {
            (Chore::Remove(unit), Awaited::Request(_)) => of.is_none_or(|of| of == *unit),
            (
                Chore::Remove(_)
                | Chore::Down(_)
                | Chore::Discard(..)
                | Chore::SetHelpersDown(_)
                | Chore::DeleteHelper(_)
                | Chore::Retry(_)
                | Chore::Confirm(_),
                _,
            ) => false,
        });
        if waits {
            self.put_off(Chore::Confirm(awaited));
        } else {
            self.tell(News::Confirmed(awaited));
        }
    }

    pub(super) fn cancel(&mut self, chore: Chore) {
        self.chores.retain(|(_, other)| *other != chore);
    }

    fn do_chore(&mut self, chore: Chore) {
        let netlink = &self.netlink;
        let result = match chore {
            Chore::Retry(unit) => return self.retry(unit),
            Chore::Confirm(awaited) => return self.tell(News::Confirmed(awaited)),
            Chore::Discard(_, index) | Chore::DeleteHelper(index) => {
                devices::delete(netlink, index)
            }
            Chore::Down(unit) => match self.device(unit) {
                Some(device) => devices::set_down(netlink, device.index),
                None => return,
            },
            Chore::SetHelpersDown(interface) => match self.helpers.get(&interface) {
                Some([one, other]) => {
                    let first = devices::set_down(netlink, *one);
                    first.and(devices::set_down(netlink, *other))
                }
                None => return,
            },
            Chore::Remove(unit) => {
                self.leave(unit);
                self.mending.forget(unit);
                self.cancel(Chore::Retry(unit));
                match self.units.remove(&unit).and_then(|state| state.device) {
                    Some(device) => devices::delete(&self.netlink, device.index),
                    None => return,
                }
            }
        };
        if let Err(error) = result {
            warn!("{chore:?}: {error}");
        }
    }

    /// The device exists, is deaf and up, and has no addresses.
    pub(super) fn ensure(&mut self, unit: Unit, parent: IfIndex, mac: Mac) {
        self.leave(unit);
        match self.make(unit, parent, mac) {
            Ok((device, ipv6_off)) => {
                let state = self.units.entry(unit).or_default();
                state.device = Some(device);
                state.ipv6_off = ipv6_off;
                state.refused.remove(&None);
                self.cancel(Chore::Retry(unit));
                self.tell(News::Granted {
                    unit,
                    address: None,
                });
            }
            Err(error) => {
                self.units.entry(unit).or_default().device = None;
                self.refuse(unit, None, error);
            }
        }
    }

    /// The device, and whether it is known to be without IPv6.
    fn make(&mut self, unit: Unit, parent: IfIndex, mac: Mac) -> Result<(Device, bool), String> {
        let words = |error: NetlinkError| error.to_string();
        let gone = || format!("interface {parent} is gone");
        let link = self.netlink.link_numbered(parent.0).ok().flatten();
        let link = link.ok_or_else(gone)?;
        let seen = Seen::of(&link);
        let parent_name = seen.name.clone();
        if devices::is_macvlan(&link) {
            return Err(format!(
                "{parent_name} is itself a macvlan, on which a backup is deaf: \
                 use the interface below it, or lladdr parent"
            ));
        }
        let reusable = match devices::find(&self.netlink, unit).map_err(words)? {
            Found::Nothing => None,
            Found::Ours(device) if device.is_on(parent, mac) => Some(device),
            Found::Ours(device) => {
                devices::delete(&self.netlink, device.index).map_err(words)?;
                None
            }
            Found::Foreign => {
                return Err(format!(
                    "there is an interface {unit} that carpd has not made"
                ));
            }
        };
        let is_new = reusable.is_none();
        let device = if let Some(device) = reusable {
            device
        } else {
            if let Err(error) = devices::create(&self.netlink, unit, parent, mac) {
                return Err(self.reason(&error, &seen));
            }
            match devices::find(&self.netlink, unit).map_err(words)? {
                Found::Ours(device) => device,
                Found::Nothing | Found::Foreign => {
                    return Err(format!("somebody else has removed {unit}"));
                }
            }
        };
        let ipv6_off = is_new && self.silence(unit, device.index);
        self.set_up_first(unit, device.index, parent, mac)
            .map_err(words)?;
        let device = Device {
            index: device.index,
            parent,
            parent_name,
            mac,
        };
        Ok((device, ipv6_off))
    }

    pub(super) fn send(&self, device: IfIndex, frames: &[Vec<u8>]) {
        let frames: Vec<(IfIndex, &[u8])> = frames
            .iter()
            .map(|frame| (device, frame.as_slice()))
            .collect();
        for result in self.sender.send_all(&frames) {
            if let Err(failure) = result {
                debug!(%device, "cannot announce: {failure:?}");
            }
        }
    }

    pub(super) fn state(&self, unit: Unit) -> Option<&State> {
        self.units.get(&unit)
    }

    pub(super) fn device(&self, unit: Unit) -> Option<Device> {
        self.state(unit).and_then(|state| state.device.clone())
    }

    pub(super) fn index_of(&self, unit: Unit, place: Place) -> Option<u32> {
        match place {
            Place::Parent(parent) => Some(parent.0),
            Place::Device | Place::SilentDevice => self.device(unit).map(|device| device.index),
        }
    }

    fn forget_refused_addresses(&mut self, unit: Unit) {
        if let Some(state) = self.units.get_mut(&unit) {
            state.refused.retain(|address, _| address.is_none());
        }
    }

    pub(super) fn refuse(&mut self, unit: Unit, address: Option<IpAddr>, error: String) {
        if address.is_none() {
            self.try_again_later(unit);
        }
        let refused = &mut self.units.entry(unit).or_default().refused;
        if refused.get(&address) != Some(&error) {
            refused.insert(address, error.clone());
            self.tell(News::Refused {
                unit,
                address,
                error,
            });
        }
    }

    pub(super) fn tell(&self, news: News) {
        // Nobody listens while the protocol loop is being torn down.
        let _ = self.news.send(news);
    }
}

/// The next chore once its time has come. Cancel safe: one that is not waited for stays.
async fn next(chores: &mut VecDeque<(tokio::time::Instant, Chore)>) -> Chore {
    loop {
        let Some(&(start, chore)) = chores.front() else {
            return pending().await;
        };
        if tokio::time::Instant::now() >= start {
            chores.pop_front();
            return chore;
        }
        sleep_until(start).await;
    }
}
