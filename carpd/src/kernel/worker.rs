//! Performs the queue: what is to be done for each unit, in which order, and what is told of it.

use core::net::IpAddr;
use std::collections::{BTreeMap, VecDeque};

use carp_proto::{Family, IfIndex, Mac, Place, Unit, VirtualAddress, Work};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tracing::{debug, warn};

use super::devices::{DISABLE_IPV6, Found};
use super::netlink::{Netlink, Refused};
use super::sysctls::{ARP_IGNORE_ALL, ARP_IGNORE_OTHERS, Kept, Sysctl};
use super::{Job, News, Options, addresses, devices};
use crate::net::Sender;

const ARP_IGNORE: Sysctl = Sysctl::v4("arp_ignore");
const FORWARDING: [Sysctl; 2] = [Sysctl::v4("forwarding"), Sysctl::v6("forwarding")];

/// The kernel thread's state.
#[derive(Debug)]
pub(super) struct Worker {
    netlink: Netlink,
    sender: Sender,
    news: UnboundedSender<News>,
    sysctls: Kept,
    units: BTreeMap<Unit, State>,
    chores: VecDeque<Chore>,
}

/// What a unit has in the kernel.
#[derive(Debug, Default)]
struct State {
    device: Option<Device>,
    held: Option<Held>,
    /// What was told last of each thing refused, so that a renewal does not tell it again.
    refused: BTreeMap<Option<IpAddr>, String>,
}

#[derive(Clone, Debug)]
struct Device {
    index: u32,
    parent: IfIndex,
    parent_name: String,
    mac: Mac,
}

/// The addresses of a MASTER.
#[derive(Clone, Debug)]
struct Held {
    place: Place,
    addresses: Vec<VirtualAddress>,
}

/// Slow work, done while nothing else waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chore {
    Down(Unit),
    Remove(Unit),
}

impl Worker {
    /// Removes what a crashed carpd left behind.
    pub(super) async fn start(
        options: Options,
        netlink: Netlink,
        sender: Sender,
        news: UnboundedSender<News>,
    ) -> Self {
        if let Err(error) = devices::delete_all(&netlink).await {
            warn!("cannot remove devices left behind: {error}");
        }
        if let Err(error) = addresses::sweep(&netlink).await {
            warn!("cannot remove addresses left behind: {error}");
        }
        let sysctls = Kept::recover(options.run_dir.join("sysctls"), &netlink).await;
        Self {
            netlink,
            sender,
            news,
            sysctls,
            units: BTreeMap::new(),
            chores: VecDeque::new(),
        }
    }

    /// Works until the queue is closed and empty, then gives everything back.
    pub(super) async fn run(mut self, mut jobs: UnboundedReceiver<Job>) {
        loop {
            match jobs.try_recv() {
                Ok(job) => self.perform(job).await,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => match self.chores.pop_front() {
                    Some(chore) => self.do_chore(chore).await,
                    None => match jobs.recv().await {
                        Some(job) => self.perform(job).await,
                        None => break,
                    },
                },
            }
        }
        self.give_back().await;
    }

    async fn give_back(mut self) {
        let units: Vec<Unit> = self.units.keys().copied().collect();
        for unit in units {
            self.leave(unit).await;
        }
        if let Err(error) = devices::delete_all(&self.netlink).await {
            warn!("cannot remove our devices: {error}");
        }
        self.sysctls.release_all(&self.netlink).await;
    }

    pub(super) async fn perform(&mut self, job: Job) {
        match job {
            Job::Attach(device) => self.sysctls.attach(device, &self.netlink).await,
            Job::Detach(device) => self.sysctls.detach(device, &self.netlink).await,
            Job::Work(Work::Ensure { unit, parent, mac }) => {
                self.cancel_chores(unit);
                self.forget_refusals(unit);
                self.ensure(unit, parent, mac).await;
            }
            Job::Work(Work::Take {
                unit,
                place,
                addresses,
                lease,
            }) => {
                self.cancel_chores(unit);
                self.forget_refusals(unit);
                self.take(unit, place, addresses, lease).await;
            }
            Job::Work(Work::Renew { unit, lease }) => self.renew(unit, lease).await,
            Job::Work(Work::Announce {
                unit,
                device,
                frames,
            }) => {
                self.send(device, &frames);
                self.tell(News::Announced(unit));
            }
            Job::Work(Work::Leave { unit }) => self.leave(unit).await,
            Job::Work(Work::BowOut {
                unit: _,
                device,
                frames,
            }) => self.send(device, &frames),
            Job::Work(Work::Down { unit }) => self.chores.push_back(Chore::Down(unit)),
            Job::Work(Work::Remove { unit }) => {
                self.cancel_chores(unit);
                self.chores.push_back(Chore::Remove(unit));
            }
        }
    }

    fn cancel_chores(&mut self, unit: Unit) {
        self.chores.retain(|chore| match chore {
            Chore::Down(other) | Chore::Remove(other) => *other != unit,
        });
    }

    async fn do_chore(&mut self, chore: Chore) {
        let (unit, result) = match chore {
            Chore::Down(unit) => match self.device(unit) {
                Some(device) => (unit, devices::set_down(&self.netlink, device.index).await),
                None => return,
            },
            Chore::Remove(unit) => {
                self.leave(unit).await;
                match self.units.remove(&unit).and_then(|state| state.device) {
                    Some(device) => (unit, devices::delete(&self.netlink, device.index).await),
                    None => return,
                }
            }
        };
        if let Err(error) = result {
            warn!("{unit}: {chore:?}: {error}");
        }
    }

    /// The device exists, is deaf and up, and has no addresses.
    async fn ensure(&mut self, unit: Unit, parent: IfIndex, mac: Mac) {
        self.leave(unit).await;
        match self.make(unit, parent, mac).await {
            Ok(device) => self.units.entry(unit).or_default().device = Some(device),
            Err(error) => {
                self.units.entry(unit).or_default().device = None;
                self.refuse(unit, None, error);
            }
        }
    }

    async fn make(&self, unit: Unit, parent: IfIndex, mac: Mac) -> Result<Device, String> {
        let words = |error: Refused| error.to_string();
        let gone = || format!("interface {parent} is gone");
        let parent_name = self.netlink.name_of(parent).await.ok_or_else(gone)?;
        let reusable = match devices::find(&self.netlink, unit).await.map_err(words)? {
            Found::Nothing => None,
            Found::Ours(device) if device.is_on(parent, mac) => Some(device),
            Found::Ours(device) => {
                devices::delete(&self.netlink, device.index)
                    .await
                    .map_err(words)?;
                None
            }
            Found::Foreign => {
                return Err(format!(
                    "there is an interface {unit} that carpd has not made"
                ));
            }
        };
        let device = if let Some(device) = reusable {
            device
        } else {
            devices::create(&self.netlink, unit, parent, mac)
                .await
                .map_err(words)?;
            match devices::find(&self.netlink, unit).await.map_err(words)? {
                Found::Ours(device) => device,
                Found::Nothing | Found::Foreign => {
                    return Err(format!("somebody else has removed {unit}"));
                }
            }
        };
        devices::set_up(&self.netlink, device.index)
            .await
            .map_err(words)?;
        Ok(Device {
            index: device.index,
            parent,
            parent_name,
            mac,
        })
    }

    /// The addresses first, then the ears: ARP is answered once all is there.
    async fn take(
        &mut self,
        unit: Unit,
        place: Place,
        mut wanted: Vec<VirtualAddress>,
        lease: u32,
    ) {
        self.give_up_others(unit, place, &wanted).await;
        let index = match place {
            Place::Parent(parent) => {
                self.keep_native(parent, &mut wanted).await;
                parent.0
            }
            Place::Device | Place::SilentDevice => match self.wake(unit).await {
                Some(device) => {
                    self.prepare(unit, &device, place, &mut wanted);
                    device.index
                }
                None => return,
            },
        };
        self.put_all(unit, index, &wanted, lease).await;
        if let Place::Device | Place::SilentDevice = place
            && let Err(error) = devices::hear(&self.netlink, index).await
        {
            self.refuse(unit, None, error.to_string());
        }
        self.units.entry(unit).or_default().held = Some(Held {
            place,
            addresses: wanted,
        });
    }

    /// Takes away what the unit holds and shall not hold any more.
    async fn give_up_others(&mut self, unit: Unit, place: Place, wanted: &[VirtualAddress]) {
        let Some(held) = self.state(unit).and_then(|state| state.held.clone()) else {
            return;
        };
        let (on, shall_be_on) = (self.index_of(unit, held.place), self.index_of(unit, place));
        if on != shall_be_on {
            self.leave(unit).await;
        } else if let Some(index) = on {
            let surplus = held
                .addresses
                .iter()
                .filter(|address| !wanted.contains(address));
            self.take_away_all(unit, index, surplus).await;
        }
    }

    /// An address that the physical interface has by itself is never leased nor taken away.
    async fn keep_native(&self, parent: IfIndex, wanted: &mut Vec<VirtualAddress>) {
        let native: Vec<IpAddr> = match self.netlink.addresses().await {
            Ok(messages) => messages
                .iter()
                .filter(|message| message.header.index == parent.0)
                .filter(|message| !addresses::is_virtual(message))
                .filter_map(|message| Some(addresses::own(message)?.address))
                .collect(),
            Err(error) => {
                warn!("cannot read the addresses of interface {parent}: {error}");
                Vec::new()
            }
        };
        wanted.retain(|address| !native.contains(&address.address));
    }

    /// The unit's device, up; made anew if somebody else has removed it.
    async fn wake(&mut self, unit: Unit) -> Option<Device> {
        let Some(device) = self.device(unit) else {
            self.refuse(unit, None, format!("there is no device {unit}"));
            return None;
        };
        match devices::set_up(&self.netlink, device.index).await {
            Ok(()) => Some(device),
            Err(Refused {
                errno: libc::ENODEV,
                ..
            }) => {
                warn!("{unit}: somebody has removed the device, making it anew");
                self.units.entry(unit).or_default().held = None;
                self.ensure(unit, device.parent, device.mac).await;
                self.device(unit)
            }
            Err(error) => {
                self.refuse(unit, None, error.to_string());
                None
            }
        }
    }

    /// Sysctls that depend on what the device is to do.
    fn prepare(
        &mut self,
        unit: Unit,
        device: &Device,
        place: Place,
        wanted: &mut Vec<VirtualAddress>,
    ) {
        let name = unit.to_string();
        let arp_ignore = if place == Place::SilentDevice {
            ARP_IGNORE_ALL
        } else {
            ARP_IGNORE_OTHERS
        };
        devices::set(ARP_IGNORE, &name, arp_ignore);
        let has_v6 = wanted
            .iter()
            .any(|address| Family::of(address.address) == Family::V6);
        if has_v6 {
            if let Some(error) = ipv6_missing(&name, &device.parent_name) {
                for address in wanted
                    .iter()
                    .filter(|a| Family::of(a.address) == Family::V6)
                {
                    self.refuse(unit, Some(address.address), error.clone());
                }
                wanted.retain(|address| Family::of(address.address) == Family::V4);
            } else {
                devices::set(DISABLE_IPV6, &name, 0);
            }
        }
        // What comes in here is forwarded exactly if it were there.
        for sysctl in FORWARDING {
            if let (Ok(theirs), Ok(ours)) = (sysctl.read(&device.parent_name), sysctl.read(&name))
                && theirs != ours
            {
                devices::set(sysctl, &name, theirs);
            }
        }
    }

    /// Makes the lease of everything the unit holds start anew, and mends what somebody else
    /// has removed.
    async fn renew(&mut self, unit: Unit, lease: u32) {
        let Some(held) = self.state(unit).and_then(|state| state.held.clone()) else {
            return;
        };
        let Some(index) = self.index_of(unit, held.place) else {
            return;
        };
        if !self.put_all(unit, index, &held.addresses, lease).await {
            self.take(unit, held.place, held.addresses, lease).await;
        }
    }

    /// `false` if the interface is gone.
    async fn put_all(
        &mut self,
        unit: Unit,
        index: u32,
        wanted: &[VirtualAddress],
        lease: u32,
    ) -> bool {
        for address in wanted {
            match addresses::put(&self.netlink, index, *address, lease).await {
                Ok(()) => {
                    if let Some(state) = self.units.get_mut(&unit) {
                        state.refused.remove(&Some(address.address));
                    }
                }
                Err(Refused {
                    errno: libc::ENODEV,
                    ..
                }) => return false,
                Err(error) => self.refuse(unit, Some(address.address), error.to_string()),
            }
        }
        true
    }

    /// Deaf first, then without addresses; nothing slow, and nothing said.
    async fn leave(&mut self, unit: Unit) {
        let Some(held) = self
            .units
            .get_mut(&unit)
            .and_then(|state| state.held.take())
        else {
            return;
        };
        let Some(index) = self.index_of(unit, held.place) else {
            return;
        };
        let mut silenced = false;
        if let Place::Device | Place::SilentDevice = held.place {
            if let Err(error) = devices::deafen(&self.netlink, index).await {
                warn!("{unit}: cannot make the device deaf: {error}");
            }
            // Takes all IPv6 addresses away at once. Deleted one by one they would be followed by
            // multicast listener reports with the virtual MAC, which is another host's by then.
            silenced = DISABLE_IPV6.write(&unit.to_string(), 1).is_ok();
        }
        let left = held
            .addresses
            .iter()
            // The last first: the kernel then has no secondary address to promote.
            .rev()
            .filter(|address| !(silenced && Family::of(address.address) == Family::V6));
        self.take_away_all(unit, index, left).await;
    }

    async fn take_away_all(
        &self,
        unit: Unit,
        index: u32,
        addresses: impl Iterator<Item = &VirtualAddress>,
    ) {
        for address in addresses {
            if let Err(error) = addresses::take_away(&self.netlink, index, *address).await {
                warn!("{unit}: cannot take {} away: {error}", address.address);
            }
        }
    }

    fn send(&self, device: IfIndex, frames: &[Vec<u8>]) {
        for frame in frames {
            if let Err(failure) = self.sender.send(device, frame) {
                debug!(%device, "cannot announce: {failure:?}");
            }
        }
    }

    fn state(&self, unit: Unit) -> Option<&State> {
        self.units.get(&unit)
    }

    fn device(&self, unit: Unit) -> Option<Device> {
        self.state(unit).and_then(|state| state.device.clone())
    }

    fn index_of(&self, unit: Unit, place: Place) -> Option<u32> {
        match place {
            Place::Parent(parent) => Some(parent.0),
            Place::Device | Place::SilentDevice => self.device(unit).map(|device| device.index),
        }
    }

    fn forget_refusals(&mut self, unit: Unit) {
        if let Some(state) = self.units.get_mut(&unit) {
            state.refused.clear();
        }
    }

    fn refuse(&mut self, unit: Unit, address: Option<IpAddr>, error: String) {
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

    fn tell(&self, news: News) {
        // Nobody listens while the protocol loop is being torn down.
        let _ = self.news.send(news);
    }
}

/// Why a device on `parent` can have no IPv6 address.
fn ipv6_missing(name: &str, parent: &str) -> Option<String> {
    if DISABLE_IPV6.read(name).is_err() {
        Some(format!("{name} has no IPv6"))
    } else if DISABLE_IPV6
        .read(parent)
        .is_ok_and(|disabled| disabled != 0)
    {
        Some(format!("IPv6 is disabled on {parent}"))
    } else {
        None
    }
}
