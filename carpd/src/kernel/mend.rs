//! What others do to our devices, addresses and sysctls: put right at once, and named in the log.
//!
//! **Invariant:** an address that is put back ends when its lease would have ended. That this host
//! still is MASTER is said by the protocol alone, with a renewal.

use core::fmt::Display;
use core::net::IpAddr;
use core::ops::Bound;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use carp_proto::{DeviceAddress, Family, IfIndex, Instant, Place, Unit, VirtualAddress};
use netlink_packet_route::link::{LinkFlags, MacVlanMode};
use tokio::time::{Interval, MissedTickBehavior, sleep_until};
use tracing::{debug, warn};

use super::conf::Conf;
use super::devices::{self, DISABLE_IPV6, Seen};
use super::filter::Filter;
use super::netlink::Change;
use super::netlink_error::NetlinkError;
use super::sysctls::{self, Sysctl};
use super::worker::{Device, Held, State, Worker};
use super::{addresses, master};
use crate::clock::Clock;

/// What is changed together is looked at together, our own changes among it.
const PAUSE: Duration = Duration::from_millis(10);

/// The kernel tells nobody of most sysctls, and of routes those alone who ask for all of a
/// router's: they are looked at so often,
const ROUND: Duration = Duration::from_secs(2);

/// those of so many devices at a time.
const DEVICES_A_ROUND: usize = 8;

/// The same about the same is said at most once in this time.
const SILENCE: Duration = Duration::from_secs(10);

/// Below it an interface has no IPv6 (RFC 8200 §5), nor the sysctls for it.
const IPV6_LEAST_MTU: u32 = 1280;

/// What was seen to happen to something that may be ours, by whomever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sighting {
    /// An address has gone from the interface of this number.
    AddressGone(u32, IpAddr),
    /// Something of the interface of this number has changed, or it has gone.
    Device(u32),
    /// A physical interface has got another name or MTU.
    Parent(IfIndex),
    /// The own addresses of a physical interface, all that are usable.
    Own(IfIndex, Vec<DeviceAddress>),
    /// The macvlan of this number is somebody else's: on which interface, and its name; `None` if
    /// it is gone.
    Guest(u32, Option<(IfIndex, String)>),
    /// Changes were lost: anything may have happened.
    Anything,
}

/// Sightings of which nobody has looked whose they are: of thousands together that is one walk.
#[derive(Debug, Default)]
struct Sightings {
    gone: BTreeSet<(u32, IpAddr)>,
    devices: BTreeSet<u32>,
    parents: BTreeSet<IfIndex>,
    anything: bool,
}

impl Sightings {
    fn add(&mut self, sighting: &Sighting) {
        match *sighting {
            Sighting::AddressGone(index, address) => {
                self.gone.insert((index, address));
            }
            Sighting::Device(index) => {
                self.devices.insert(index);
            }
            Sighting::Parent(index) => {
                self.parents.insert(index);
            }
            Sighting::Own(..) | Sighting::Guest(..) => {}
            Sighting::Anything => self.anything = true,
        }
    }

    /// What there is to look at because of them; `None` if nothing.
    fn suspect(&self, state: &State) -> Option<Suspect> {
        let device = state.device.as_ref();
        let seen = |device: &Device| {
            self.devices.contains(&device.index) || self.parents.contains(&device.parent)
        };
        let addresses = state.held.as_ref().and_then(|held| {
            let on = match held.place {
                Place::Parent(parent) => parent.0,
                Place::Device | Place::SilentDevice => device?.index,
            };
            let addresses = held.addresses.iter().map(|each| each.address);
            Some(addresses.filter(move |each| self.gone.contains(&(on, *each))))
        });
        let suspect = Suspect {
            device: self.anything || device.is_some_and(seen),
            everything: self.anything,
            addresses: addresses.into_iter().flatten().collect(),
        };
        (suspect.device || !suspect.addresses.is_empty()).then_some(suspect)
    }
}

/// What is to be looked at, and what was said.
#[derive(Debug)]
pub(super) struct Mending {
    sightings: Sightings,
    suspects: BTreeMap<Unit, Suspect>,
    /// When; `None` if there is nothing.
    due: Option<tokio::time::Instant>,
    rounds: Interval,
    /// Whose sysctls were read last.
    last: Option<Unit>,
    said: BTreeMap<(String, &'static str), Said>,
    /// Global sysctls and their values, as was said.
    silencing: BTreeSet<(&'static str, i32)>,
    filter: Filter,
}

/// Of one unit.
#[derive(Debug, Default)]
struct Suspect {
    device: bool,
    everything: bool,
    addresses: BTreeSet<IpAddr>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    held_back: u64,
}

/// What there is to do now.
pub(super) enum Turn {
    /// [`Worker::mend`]
    Suspects,
    /// [`Worker::check_sysctls`]
    Sysctls,
}

impl Mending {
    /// On the runtime of the caller.
    pub(super) fn new() -> Self {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            sightings: Sightings::default(),
            suspects: BTreeMap::new(),
            due: None,
            rounds,
            last: None,
            said: BTreeMap::new(),
            silencing: BTreeSet::new(),
            filter: Filter::default(),
        }
    }

    /// Waits until there is something to do. Cancel safe.
    pub(super) async fn turn(&mut self) -> Turn {
        tokio::select! {
            biased;
            () = until(self.due) => Turn::Suspects,
            _ = self.rounds.tick() => Turn::Sysctls,
        }
    }

    /// Forgets a unit that is no more.
    pub(super) fn forget(&mut self, unit: Unit) {
        self.suspects.remove(&unit);
        let name = unit.to_string();
        self.said.retain(|(who, _), _| *who != name);
    }

    fn suspect(&mut self, unit: Unit) -> &mut Suspect {
        self.wake();
        self.suspects.entry(unit).or_default()
    }

    fn wake(&mut self) {
        self.due
            .get_or_insert_with(|| tokio::time::Instant::now() + PAUSE);
    }

    /// Names the global sysctls that no device can undo, each once while it is so.
    fn name_silencing(&mut self) {
        let now: BTreeSet<_> = sysctls::silencing().collect();
        for (key, value) in now.difference(&self.silencing) {
            warn!(
                "net.ipv4.conf.all.{key} is {value}: carp devices may not answer ARP requests: set \
                 it to 0"
            );
        }
        self.silencing = now;
    }

    /// One line for the log, unless the same was said lately. `kind` is what makes it the same.
    pub(super) fn say(&mut self, who: &str, kind: &'static str, what: &dyn Display) {
        let now = Clock.now().instant;
        let mut held_back = 0;
        if let Some(said) = self.said.get_mut(&(who.to_owned(), kind)) {
            if now.since(said.at) < SILENCE {
                said.held_back += 1;
                return;
            }
            held_back = said.held_back;
        }
        let said = Said {
            at: now,
            held_back: 0,
        };
        self.said.insert((who.to_owned(), kind), said);
        if held_back == 0 {
            warn!("{who}: {what}");
        } else {
            warn!("{who}: {what} ({held_back} times more since it was last said)");
        }
    }
}

async fn until(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => core::future::pending().await,
    }
}

impl Worker {
    /// Has looked at what `sighting` is about, if it is ours; routes follow at once.
    pub(super) fn sight(&mut self, sighting: Sighting) {
        self.mending.sightings.add(&sighting);
        if let Sighting::Own(interface, own) = sighting {
            self.follow_own(interface, own);
            self.name_silenced(interface);
        } else if let Sighting::Guest(number, guest) = sighting {
            self.bystanders.follow(number, guest);
            self.name_guests();
        } else {
            self.mending.wake();
        }
    }

    /// Looks at one suspect, and puts right what others have done to it.
    pub(super) fn mend(&mut self) {
        if self.mending.suspects.is_empty() {
            self.find_suspects();
        }
        let Some((unit, suspect)) = self.mending.suspects.pop_first() else {
            self.mending.due = None;
            return;
        };
        let mut wanted = suspect;
        if wanted.device {
            match self.mend_device(unit) {
                Ok(changed) => wanted.everything |= changed,
                Err(error) => debug!("{unit}: cannot look after the device: {error}"),
            }
        }
        self.mend_addresses(unit, &wanted);
    }

    fn find_suspects(&mut self) {
        let sightings = core::mem::take(&mut self.mending.sightings);
        let found = self.units.iter().filter_map(|(unit, state)| {
            let suspect = sightings.suspect(state)?;
            Some((*unit, suspect))
        });
        self.mending.suspects.extend(found);
    }

    /// `true` if addresses may have gone with what was done to the device.
    fn mend_device(&mut self, unit: Unit) -> Result<bool, NetlinkError> {
        let Some(device) = self.device(unit) else {
            return Ok(false);
        };
        let mut found = BTreeMap::new();
        self.netlink
            .links_numbered([device.parent.0, device.index], |link| {
                found.insert(link.header.index, Seen::of(link));
            })?;
        let Some(parent) = found.remove(&device.parent.0) else {
            // Gone with it, which is no meddling: the protocol is told by other ways.
            return Ok(false);
        };
        let Some(seen) = found.remove(&device.index) else {
            let what = "somebody has deleted the device: made anew";
            self.mending.say(&unit.to_string(), "device", &what);
            self.remake(unit, &device);
            return Ok(false);
        };
        if parent.mtu >= IPV6_LEAST_MTU && seen.mtu < IPV6_LEAST_MTU {
            // Made larger it would begin to talk before its sysctls can be set.
            devices::delete(&self.netlink, device.index)?;
            self.remake(unit, &device);
            return Ok(false);
        }
        if let Some(state) = self.units.get_mut(&unit)
            && let Some(device) = &mut state.device
        {
            device.parent_name.clone_from(&parent.name);
        }
        self.set_back(unit, &device, &seen)?;
        if seen.mtu != parent.mtu {
            self.change(devices::set_mtu(device.index, parent.mtu))?;
        }
        Ok(!seen.is_up())
    }

    /// Name, MAC, mode and up are as they have to be.
    fn set_back(&mut self, unit: Unit, device: &Device, seen: &Seen) -> Result<(), NetlinkError> {
        let (name, held) = (unit.to_string(), self.held_on_device(unit));
        if seen.name != name {
            let what = format!("somebody has renamed the device to {}: set back", seen.name);
            self.mending.say(&name, "name", &what);
            self.change(devices::rename(device.index, &name))?;
        }
        if seen.mac != Some(device.mac) {
            let what = "somebody has changed the device's MAC: set back";
            self.mending.say(&name, "mac", &what);
            self.change(devices::set_mac(device.index, device.mac))?;
        }
        if held && !seen.is_up() {
            let what = "somebody has taken the device down: up again";
            self.mending.say(&name, "down", &what);
            self.change(devices::up(device.index))?;
        }
        self.set_flags_back(&name, device.index, seen)?;
        let mode = if held {
            MacVlanMode::Bridge
        } else {
            MacVlanMode::Source
        };
        if seen.mode != Some(mode) {
            let what = "somebody has changed the device's mode: set back";
            self.mending.say(&name, "mode", &what);
            self.change(if held {
                devices::hear(device.index)
            } else {
                devices::deafen(device.index)
            })?;
        }
        Ok(())
    }

    /// What else keeps a device from answering.
    fn set_flags_back(&mut self, name: &str, index: u32, seen: &Seen) -> Result<(), NetlinkError> {
        if seen.flags.contains(LinkFlags::Noarp) {
            let what = "somebody has turned the device's ARP off: on again";
            self.mending.say(name, "arp", &what);
            self.change(devices::use_arp(index))?;
        }
        if !seen.flags.contains(LinkFlags::Multicast) {
            let what = "somebody has turned the device's multicast off: on again";
            self.mending.say(name, "multicast", &what);
            self.change(devices::use_multicast(index))?;
        }
        if seen.protodown {
            let what = "somebody has set the device's protodown: ended";
            self.mending.say(name, "protodown", &what);
            self.change(devices::end_protodown(index))?;
        }
        if let Some(master) = seen.master.filter(|master| *master != 0) {
            let mut is_vrf = false;
            self.netlink.links_numbered([master], |link| {
                is_vrf = Seen::of(link).table.is_some();
            })?;
            // That is where its physical interface may be, too.
            if !is_vrf {
                let what = "somebody has made the device another's port: taken out";
                self.mending.say(name, "master", &what);
                self.change(devices::release(index))?;
            }
        }
        Ok(())
    }

    fn change(&self, change: Change) -> Result<(), NetlinkError> {
        self.netlink.change(change)
    }

    fn remake(&mut self, unit: Unit, device: &Device) {
        let held = self
            .units
            .get_mut(&unit)
            .and_then(|state| state.held.take());
        self.ensure(unit, device.parent, device.mac);
        if let Some(held) = held {
            self.take(unit, held.place, held.addresses, held.until);
        }
    }

    fn mend_addresses(&mut self, unit: Unit, suspect: &Suspect) {
        let Some(held) = self.state(unit).and_then(|state| state.held.clone()) else {
            return;
        };
        let Some(index) = self.index_of(unit, held.place) else {
            return;
        };
        let mut missing = Vec::new();
        for address in &held.addresses {
            if !suspect.everything && !suspect.addresses.contains(&address.address) {
                continue;
            }
            // The kernel took it, since nobody has renewed it: that is what leases are for.
            let lease = master::left(held.until, Clock.now().instant);
            if lease == 0 {
                break;
            }
            match self.put_back(unit, index, held.place, *address, lease) {
                Ok(true) => missing.push(address.address),
                Ok(false) => {}
                Err(error) => debug!("{unit}: cannot put {} back: {error}", address.address),
            }
        }
        if suspect.everything {
            self.settle_routes(unit);
        }
        if let Some(first) = missing.first() {
            let others = match missing.len() {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            let what = format!(
                "somebody has removed {first}{others}: put back, but not others' routes by way of it"
            );
            self.mending.say(&unit.to_string(), "address", &what);
        }
    }

    /// `true` if it was missing.
    fn put_back(
        &mut self,
        unit: Unit,
        index: u32,
        place: Place,
        address: VirtualAddress,
        lease: u32,
    ) -> Result<bool, NetlinkError> {
        let placed = self.placed(unit, place, address);
        let result = addresses::add(&self.netlink, index, placed, lease);
        match (place, &result) {
            // Disabling IPv6 takes the addresses away and lets no new one in.
            (
                Place::Device | Place::SilentDevice,
                Err(NetlinkError {
                    errno: libc::EACCES,
                    ..
                }),
            ) => {
                self.set_sysctl_back(index, &unit.to_string(), DISABLE_IPV6, 0);
                addresses::add(&self.netlink, index, placed, lease)
            }
            _ => result,
        }
    }

    /// Reads the sysctls of all physical interfaces, and those of some devices.
    pub(super) fn check_sysctls(&mut self) {
        let after = self.mending.last;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.units.range((start, Bound::Unbounded));
        let units: Vec<Unit> = behind
            .map(|(unit, _)| *unit)
            .take(DEVICES_A_ROUND)
            .collect();
        self.mending.last = match units.as_slice() {
            [.., last] if units.len() == DEVICES_A_ROUND => Some(*last),
            _ => None,
        };
        let mut numbers: BTreeSet<u32> = self.sysctls.attached().map(|device| device.0).collect();
        for device in units.iter().filter_map(|unit| self.device(*unit)) {
            numbers.extend([device.index, device.parent.0]);
        }
        let mut confs = BTreeMap::new();
        let read = self.netlink.links_numbered(numbers, |link| {
            confs.insert(link.header.index, Conf::of(link));
        });
        if let Err(error) = read {
            debug!("cannot read sysctls: {error}");
        }
        for line in self.sysctls.check(&confs, &self.netlink) {
            self.mending.say(&line.device, line.key(), &line);
        }
        for unit in units {
            self.check_sysctls_of(unit, &confs);
            self.check_queue_of(unit);
            self.settle_routes(unit);
        }
        if !self.units.is_empty() {
            self.mending.name_silencing();
        }
        if self.units.keys().any(|unit| self.held_on_device(*unit)) {
            self.mending.filter.check();
        }
    }

    /// A queue tells of its changes only those who ask for all of traffic control.
    fn check_queue_of(&self, unit: Unit) {
        let Some(device) = self.device(unit) else {
            return;
        };
        let change = if self.hears(unit) {
            devices::unmute(device.index)
        } else {
            devices::mute(device.index)
        };
        if let Err(error) = self.change(change) {
            debug!("{unit}: the queue of the device is not ours: {error}");
        }
    }

    fn check_sysctls_of(&mut self, unit: Unit, confs: &BTreeMap<u32, Conf>) {
        let Some(state) = self.state(unit) else {
            return;
        };
        // Before anybody has asked for it nobody knows what it shall have.
        let Some(device) = state.device.clone().filter(|_| !self.leftovers.has(unit)) else {
            return;
        };
        let name = unit.to_string();
        // One that was renamed gets its name back first.
        let Some(conf) = confs.get(&device.index).filter(|conf| conf.name == name) else {
            return;
        };
        let wanted = wanted_sysctls(state);
        if state.held.is_some()
            && let Some(parent) = confs.get(&device.parent.0)
        {
            self.follow_forwarding(device.index, conf, parent);
        }
        for (sysctl, value) in wanted {
            if conf.value(sysctl).is_some_and(|found| found != value) {
                self.set_sysctl_back(device.index, &name, sysctl, value);
                if sysctl == DISABLE_IPV6 {
                    self.mending.suspect(unit).everything = true;
                }
            }
        }
    }

    fn set_sysctl_back(&mut self, index: u32, name: &str, sysctl: Sysctl, value: i32) {
        // Not somebody else's deed if carpd could not set it in the first place.
        if self.unsettable.contains(&sysctl) {
            self.set(index, name, sysctl, value);
            return;
        }
        let what = format!(
            "somebody has changed net.{}.conf.{name}.{}: set back to {value}",
            sysctl.family, sysctl.key
        );
        self.mending.say(name, sysctl.key, &what);
        self.set(index, name, sysctl, value);
    }

    fn held_on_device(&self, unit: Unit) -> bool {
        let held = self.state(unit).and_then(|state| state.held.as_ref());
        held.is_some_and(|held| match held.place {
            Place::Device | Place::SilentDevice => true,
            Place::Parent(_) => false,
        })
    }
}

/// Everything that is set on a device in the state it is in.
pub(super) fn wanted_sysctls(state: &State) -> Vec<(Sysctl, i32)> {
    let mut wanted: Vec<(Sysctl, i32)> = devices::settings().collect();
    if let Some(Held {
        place: place @ (Place::Device | Place::SilentDevice),
        addresses,
        ..
    }) = &state.held
    {
        let v6 = |each: &VirtualAddress| Family::of(each.address) == Family::V6;
        let disabled = i32::from(!addresses.iter().any(v6));
        for (sysctl, value) in &mut wanted {
            if *sysctl == DISABLE_IPV6 {
                *value = disabled;
            } else if *sysctl == sysctls::ARP_IGNORE {
                *value = master::arp_ignore(*place);
            }
        }
    }
    wanted
}
