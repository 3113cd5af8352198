//! Becoming, being and ceasing to be MASTER, as far as the kernel has a part in it.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeSet;

use carp_proto::{Family, IfIndex, Instant, Place, Unit, VirtualAddress};
use tracing::warn;

use super::addresses::Placed;
use super::conf::Conf;
use super::devices::DISABLE_IPV6;
use super::netlink::Change;
use super::netlink_error::NetlinkError;
use super::sysctls::{ARP_IGNORE, ARP_IGNORE_ALL, ARP_IGNORE_OTHERS, Sysctl};
use super::worker::{Device, Held, State, Worker};
use super::{News, addresses, devices};
use crate::clock::Clock;

const FORWARDING_V4: Sysctl = Sysctl::v4("forwarding");
const FORWARDING_V6: Sysctl = Sysctl::v6("forwarding");

impl Worker {
    /// The addresses first, then the ears: ARP is answered once all is there. Nothing at all if
    /// their lease is over: whoever asked was stopped, or this thread was. Gives whether the kernel
    /// was asked for the addresses.
    pub(super) fn take(
        &mut self,
        unit: Unit,
        place: Place,
        mut wanted: Vec<VirtualAddress>,
        until: Instant,
    ) -> bool {
        let lease = left(until, Clock.now().instant);
        if lease == 0 {
            self.leave(unit);
            return false;
        }
        let had_some = self.state(unit).is_some_and(|state| state.held.is_some());
        self.give_up_others(unit, place, &wanted);
        let index = match place {
            Place::Parent(parent) => {
                self.keep_native(unit, parent, &mut wanted);
                parent.0
            }
            Place::Device | Place::SilentDevice => match self.wake(unit, place) {
                Some(device) => {
                    self.prepare(unit, &device, &mut wanted);
                    device.index
                }
                None => return false,
            },
        };
        let mut changes = self.puts(unit, index, place, &wanted, lease);
        if let Place::Device | Place::SilentDevice = place {
            changes.push(devices::hear(index));
        }
        let mut answers = self.netlink.change_all(changes).into_iter();
        self.judge(unit, &wanted, answers.by_ref().take(wanted.len()));
        if let Some(Err(error)) = answers.next() {
            self.refuse(unit, None, error.to_string());
        }
        self.units.entry(unit).or_default().held = Some(Held {
            place,
            addresses: wanted,
            until,
            deaf: false,
        });
        // The kernel does not change the route of an IPv4 address that was there before, and makes
        // none on a physical interface.
        if had_some || matches!(place, Place::Parent(_)) {
            self.settle_routes(unit);
        }
        true
    }

    fn puts(
        &self,
        unit: Unit,
        index: u32,
        place: Place,
        addresses: &[VirtualAddress],
        lease: u32,
    ) -> Vec<Change> {
        addresses
            .iter()
            .map(|address| addresses::put(index, self.placed(unit, place, *address), lease))
            .collect()
    }

    /// How the kernel shall have `address`.
    pub(super) fn placed(&self, unit: Unit, place: Place, address: VirtualAddress) -> Placed {
        Placed::new(place, address, self.is_routed(unit, place, address))
    }

    /// Takes away what the unit holds and shall not hold any more.
    fn give_up_others(&mut self, unit: Unit, place: Place, wanted: &[VirtualAddress]) {
        let Some(held) = self.state(unit).and_then(|state| state.held.clone()) else {
            return;
        };
        let (on, shall_be_on) = (self.index_of(unit, held.place), self.index_of(unit, place));
        if on != shall_be_on {
            self.leave(unit);
        } else if let Some(index) = on {
            let surplus = held
                .addresses
                .iter()
                .filter(|address| !wanted.contains(address));
            self.take_away_all(unit, index, held.place, surplus);
        }
    }

    /// An address that the physical interface has by itself is never leased nor taken away.
    fn keep_native(&mut self, unit: Unit, parent: IfIndex, wanted: &mut Vec<VirtualAddress>) {
        let native: Vec<IpAddr> = match self.netlink.addresses() {
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
        // `fib_inetaddr_event()`
        if wanted.iter().any(is_v4)
            && !native.iter().any(IpAddr::is_ipv4)
            && let Some(name) = self.netlink.name_of(parent)
        {
            let what = format!(
                "{name} has no IPv4 address of its own: when this host becomes backup, the kernel \
                 removes every IPv4 route by way of {name}, see carp(4)"
            );
            self.mending.say(&unit.to_string(), "routes", &what);
        }
    }

    /// The unit's device, up and with the IPv4 sysctls that depend on what it is to do; made anew
    /// if somebody else has removed it.
    fn wake(&mut self, unit: Unit, place: Place) -> Option<Device> {
        let Some(device) = self.device(unit) else {
            // The reason is known where the kernel refused the device.
            let is_refused = |state: &State| state.refused.contains_key(&None);
            if !self.state(unit).is_some_and(is_refused) {
                self.refuse(unit, None, format!("there is no device {unit}"));
            }
            return None;
        };
        match self.rouse(&device, place) {
            Ok(()) => Some(device),
            Err(NetlinkError {
                errno: libc::ENODEV,
                ..
            }) => {
                warn!("{unit}: somebody has removed the device, making it anew");
                self.units.entry(unit).or_default().held = None;
                self.ensure(unit, device.parent, device.mac);
                let device = self.device(unit)?;
                if let Err(error) = self.rouse(&device, place) {
                    self.refuse(unit, None, error.to_string());
                    return None;
                }
                Some(device)
            }
            Err(error) => {
                self.refuse(unit, None, error.to_string());
                None
            }
        }
    }

    fn rouse(&self, device: &Device, place: Place) -> Result<(), NetlinkError> {
        let mut settings = vec![(ARP_IGNORE, arp_ignore(place))];
        // As follow_forwarding() does.
        if let Ok(theirs) = FORWARDING_V4.read(&device.parent_name) {
            settings.push((FORWARDING_V4, theirs));
        }
        // Its addresses are reported to switches as soon as they are there.
        let changes = vec![
            devices::unmute(device.index),
            devices::configure(device.index, &settings),
            devices::up(device.index),
        ];
        // The first is refused where somebody has given the device a queue of theirs.
        let answers = self.netlink.change_all(changes).into_iter().skip(1);
        answers.collect()
    }

    /// An IPv6 stack for those who need one.
    fn prepare(&mut self, unit: Unit, device: &Device, wanted: &mut Vec<VirtualAddress>) {
        let has_v6 = wanted
            .iter()
            .any(|address| Family::of(address.address) == Family::V6);
        if !has_v6 {
            return;
        }
        let name = unit.to_string();
        if let Some(error) = ipv6_missing(&name, &device.parent_name) {
            for address in wanted
                .iter()
                .filter(|a| Family::of(a.address) == Family::V6)
            {
                self.refuse(unit, Some(address.address), error.clone());
            }
            wanted.retain(|address| Family::of(address.address) == Family::V4);
            return;
        }
        self.units.entry(unit).or_default().ipv6_off = false;
        self.set(device.index, &name, DISABLE_IPV6, 0);
        self.follow(device, &name);
    }

    /// Makes the leases of everything that these units hold start anew, and mends what somebody
    /// else has removed.
    pub(super) fn renew(&mut self, leases: &[(Unit, u32)], asked: Instant) {
        let now = Clock.now().instant;
        let mut changes = Vec::new();
        let mut renewed = Vec::new();
        for &(unit, lease) in leases {
            let until = asked + Duration::from_secs(lease.into());
            let lease = left(until, now);
            let Some(held) = self
                .units
                .get_mut(&unit)
                .and_then(|state| state.held.as_mut())
                .filter(|_| lease > 0)
            else {
                continue;
            };
            held.until = until;
            let Some(held) = self.state(unit).and_then(|state| state.held.as_ref()) else {
                continue;
            };
            let Some(index) = self.index_of(unit, held.place) else {
                continue;
            };
            changes.extend(self.puts(unit, index, held.place, &held.addresses, lease));
            renewed.push((unit, held.addresses.len()));
        }
        let mut answers = self.netlink.change_all(changes).into_iter();
        for (unit, count) in renewed {
            let answers: Vec<_> = answers.by_ref().take(count).collect();
            let Some(held) = self.state(unit).and_then(|state| state.held.clone()) else {
                continue;
            };
            if answers.iter().any(is_gone) {
                self.take(unit, held.place, held.addresses, held.until);
            } else {
                self.judge(unit, &held.addresses, answers.into_iter());
            }
        }
    }

    /// Tells which of `addresses` the kernel refused.
    fn judge(
        &mut self,
        unit: Unit,
        addresses: &[VirtualAddress],
        answers: impl Iterator<Item = Result<(), NetlinkError>>,
    ) {
        for (address, answer) in addresses.iter().zip(answers) {
            match answer {
                Ok(()) => {
                    let address = Some(address.address);
                    if let Some(state) = self.units.get_mut(&unit)
                        && state.refused.remove(&address).is_some()
                    {
                        self.tell(News::Granted { unit, address });
                    }
                }
                Err(error) => self.refuse(unit, Some(address.address), error.to_string()),
            }
        }
    }

    /// Makes the devices of those who are about to leave deaf, all at once: none of them answers
    /// while the addresses of the others go.
    pub(super) fn deafen_all(&mut self, leavers: &BTreeSet<Unit>) {
        let mut changes = Vec::new();
        let mut units = Vec::new();
        for unit in leavers {
            if let Some(device) = self.device(*unit).filter(|_| self.hears(*unit)) {
                changes.extend([devices::mute(device.index), devices::deafen(device.index)]);
                units.push(*unit);
            }
        }
        let answers = self.netlink.change_all(changes);
        for (unit, answer) in units
            .into_iter()
            .zip(answers.into_iter().skip(1).step_by(2))
        {
            // Who is not deaf by now is told so again, alone, when it leaves.
            if let (Ok(()), Some(held)) = (answer, self.held_mut(unit)) {
                held.deaf = true;
            }
        }
    }

    /// Takes the IPv4 addresses of these leavers away, as far as they are deaf, all at once.
    pub(super) fn strip_all(&mut self, leavers: &[Unit]) {
        let mut changes = Vec::new();
        let mut stripped = Vec::new();
        for unit in leavers {
            let Some(device) = self.device(*unit).filter(|_| self.is_deaf_with_ipv4(*unit)) else {
                continue;
            };
            let held = self.held_mut(*unit).map(|held| &mut held.addresses);
            let (v4, v6) = held.map(core::mem::take).map(by_family).unwrap_or_default();
            if let Some(held) = self.held_mut(*unit) {
                held.addresses = v6;
            }
            for address in v4 {
                let placed = self.placed(*unit, Place::Device, address);
                changes.push(addresses::take_away(device.index, placed));
                stripped.push((*unit, address));
            }
        }
        let answers = self.netlink.change_all(changes);
        for ((unit, address), answer) in stripped.into_iter().zip(answers) {
            report(unit, address, answer);
        }
    }

    /// Whether it is about to leave, and has IPv4 addresses yet.
    pub(super) fn is_deaf_with_ipv4(&self, unit: Unit) -> bool {
        let held = self.state(unit).and_then(|state| state.held.as_ref());
        held.is_some_and(|held| held.deaf && held.addresses.iter().any(is_v4))
    }

    /// Whether it holds addresses on a device that is not deaf.
    pub(super) fn hears(&self, unit: Unit) -> bool {
        let held = self.state(unit).and_then(|state| state.held.as_ref());
        held.is_some_and(|held| match held.place {
            Place::Device | Place::SilentDevice => !held.deaf,
            Place::Parent(_) => false,
        })
    }

    fn held_mut(&mut self, unit: Unit) -> Option<&mut Held> {
        self.units.get_mut(&unit)?.held.as_mut()
    }

    /// Deaf first, then without addresses; nothing slow, and nothing said.
    pub(super) fn leave(&mut self, unit: Unit) {
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
        let (v4, v6) = by_family(held.addresses);
        if let Place::Parent(_) = held.place {
            self.take_away_all(unit, index, held.place, v4.iter().chain(&v6));
            return;
        }
        let mut changes = Vec::new();
        if !held.deaf {
            changes.extend([devices::mute(index), devices::deafen(index)]);
        }
        changes.extend(
            v4.iter()
                .map(|each| addresses::take_away(index, self.placed(unit, held.place, *each))),
        );
        let mut answers = self.netlink.change_all(changes).into_iter();
        if !held.deaf
            // The first was about what is sent.
            && answers.next().is_some()
            && let Some(Err(error)) = answers.next().map(devices::gone_is_fine)
        {
            warn!("{unit}: cannot make the device deaf: {error}");
        }
        for (address, answer) in v4.iter().zip(answers) {
            report(unit, *address, answer);
        }
        // Takes all IPv6 addresses away at once. Deleted one by one they would be followed by
        // multicast listener reports with the virtual MAC, which is another host's by then.
        let state = self.units.entry(unit).or_default();
        if !state.ipv6_off {
            state.ipv6_off = DISABLE_IPV6.write(&unit.to_string(), 1).is_ok();
        }
        if !state.ipv6_off {
            self.take_away_all(unit, index, held.place, v6.iter());
        }
    }

    fn take_away_all<'a>(
        &self,
        unit: Unit,
        index: u32,
        place: Place,
        addresses: impl Iterator<Item = &'a VirtualAddress> + Clone,
    ) {
        let changes = addresses
            .clone()
            .map(|address| addresses::take_away(index, self.placed(unit, place, *address)))
            .collect();
        let answers = self.netlink.change_all(changes);
        for (address, answer) in addresses.clone().zip(answers) {
            report(unit, *address, answer);
        }
        self.remove_routes(unit, index, addresses);
    }
}

/// IPv4 and IPv6, the last first: the kernel then has no secondary address to promote.
fn by_family(addresses: Vec<VirtualAddress>) -> (Vec<VirtualAddress>, Vec<VirtualAddress>) {
    addresses.into_iter().rev().partition(is_v4)
}

fn is_v4(address: &VirtualAddress) -> bool {
    Family::of(address.address) == Family::V4
}

fn report(unit: Unit, address: VirtualAddress, taken_away: Result<(), NetlinkError>) {
    if let Err(error) = addresses::is_away(taken_away) {
        warn!("{unit}: cannot take {} away: {error}", address.address);
    }
}

/// Whether the interface is gone.
const fn is_gone(answer: &Result<(), NetlinkError>) -> bool {
    matches!(
        answer,
        Err(NetlinkError {
            errno: libc::ENODEV,
            ..
        })
    )
}

/// Whole seconds until a lease ends; a busy machine may have worked on it for a moment.
pub(super) fn left(until: Instant, now: Instant) -> u32 {
    const MOMENT: Duration = Duration::from_millis(250);
    u32::try_from((until + MOMENT).since(now).as_secs()).unwrap_or(u32::MAX)
}

/// Who answers ARP requests for the addresses of a device: the kernel, or carpd.
pub(super) fn arp_ignore(place: Place) -> i32 {
    match place {
        Place::SilentDevice => ARP_IGNORE_ALL,
        Place::Device | Place::Parent(_) => ARP_IGNORE_OTHERS,
    }
}

impl Worker {
    /// What comes in on a device is forwarded exactly if it were on `parent`.
    pub(super) fn follow_forwarding(&mut self, index: u32, device: &Conf, parent: &Conf) {
        for sysctl in [FORWARDING_V4, FORWARDING_V6] {
            if let (Some(theirs), Some(ours)) = (parent.value(sysctl), device.value(sysctl))
                && theirs != ours
            {
                self.set(index, &device.name, sysctl, theirs);
            }
        }
    }

    fn follow(&mut self, device: &Device, name: &str) {
        let read = |name: &str| FORWARDING_V6.read(name);
        if let (Ok(theirs), Ok(ours)) = (read(&device.parent_name), read(name))
            && theirs != ours
        {
            self.set(device.index, name, FORWARDING_V6, theirs);
        }
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
