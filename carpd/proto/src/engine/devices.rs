//! Physical interfaces: which one carries which virtual host, and what follows from that.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use crate::action::{Action, Notice};
use crate::advertiser::is_link_local;
use crate::family::Family;
use crate::link::{IfIndex, Link};
use crate::name::Unit;
use crate::numbers::Vhid;
use crate::obstacle::{Impediment, Obstacle};
use crate::reason::Reason;
use crate::settings::{DeviceName, LinkLayer, Settings, VirtualAddress};
use crate::status::StateName;
use crate::suppression::Cause;
use crate::time::Now;
use crate::vhost::{ArpDuty, Event, Vhost};

impl Engine {
    pub(super) fn link_changed(&mut self, link: Link, now: Now, out: &mut Vec<Action>) {
        let index = link.index;
        if self.links.get(&index) == Some(&link) {
            return;
        }
        let mac = link.mac;
        let addresses = link.addresses.clone();
        let old = self.links.insert(index, link);
        let new_mac = old.as_ref().is_some_and(|old| old.mac != mac);
        self.reconsider(index, now, out);
        let before = old.map(|old| old.addresses).unwrap_or_default();
        if before != addresses {
            self.review_near(&[before, addresses].concat(), out);
        }
        if new_mac {
            let on_parent: Vec<Unit> = self
                .on(index)
                .filter(|vhost| vhost.settings.lladdr == LinkLayer::Parent)
                .map(|vhost| vhost.unit)
                .collect();
            for unit in on_parent {
                self.event(unit, Event::Refresh, now, out);
            }
        }
    }

    pub(super) fn link_gone(&mut self, index: IfIndex, now: Now, out: &mut Vec<Action>) {
        let Some(link) = self.links.remove(&index) else {
            return;
        };
        self.limiter.forget(index);
        self.reconsider(index, now, out);
        self.review_near(&link.addresses, out);
    }

    /// A physical interface changed: some virtual hosts may move to it or away from it, and those
    /// on it may start or stop to run.
    fn reconsider(&mut self, index: IfIndex, now: Now, out: &mut Vec<Action>) {
        let all: Vec<Unit> = self.vhosts.keys().copied().collect();
        for unit in all {
            let Some(vhost) = self.vhosts.get_mut(&unit) else {
                continue;
            };
            let concerned = vhost.device == Some(index);
            let named = vhost.settings.carpdev.as_ref().is_some_and(|name| {
                let link = self.links.get(&index);
                link.is_some_and(|link| link.is_named(name))
            });
            if concerned && matches!(vhost.impediment, Some(Impediment::DeviceRefused(_))) {
                // The kernel is asked at once, and not only when its next turn comes.
                vhost.forget_placement();
            }
            let settings = &vhost.settings;
            if choose(settings, Current::Found(vhost.device), &self.links) != vhost.device {
                let settings = settings.clone();
                self.reconfigure(unit, settings, now, out);
            } else if concerned || named {
                self.event(unit, Event::Reconsider, now, out);
                out.push(Action::Updated(unit));
            }
            self.judge_link(unit, now, out);
            self.judge_refusal(unit, now, out);
        }
    }

    /// Gives a virtual host new settings, or a new physical interface, or both: the only place
    /// where either changes. A MASTER that becomes something else bows out as what it was.
    pub(super) fn reconfigure(
        &mut self,
        unit: Unit,
        settings: Settings,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let Some(vhost) = self.vhosts.get(&unit) else {
            return;
        };
        let old = &vhost.settings;
        let device = choose(&settings, Current::of(vhost, &settings), &self.links);
        let verdict = Vhost::runnable(&settings, device.and_then(|device| self.links.get(&device)));
        let other =
            vhost.device != device || old.vhid != settings.vhid || old.lladdr != settings.lladdr;
        let seen = old.key != settings.key
            || old.addresses != settings.addresses
            || old.advbase != settings.advbase
            || old.advskew != settings.advskew;
        let moved = old.addresses != settings.addresses || old.carpdev != settings.carpdev;
        let left = vhost.device;
        match verdict {
            Err(reason) => self.event(unit, Event::Retire(reason), now, out),
            Ok(()) if other => self.event(unit, Event::Retire(Reason::Reconfigured), now, out),
            Ok(()) => {}
        }
        if moved && let Some(vhost) = self.vhosts.get_mut(&unit) {
            vhost.was_on = None;
        }
        self.settle(unit, settings, device, out);
        self.event(unit, Event::Reconsider, now, out);
        if seen && !other {
            self.event(unit, Event::Refresh, now, out);
        }
        for device in [left, device].into_iter().flatten() {
            self.share_out_arp(device, now, out);
            self.detach_if_unused(device, out);
        }
        self.review(unit, out);
        self.judge_link(unit, now, out);
        self.judge_refusal(unit, now, out);
        out.push(Action::Updated(unit));
        self.report_obstacle(unit, out);
    }

    /// What keeps a virtual host in INIT; `None` if it is not.
    pub(super) fn obstacle(&self, vhost: &Vhost) -> Option<Obstacle> {
        if vhost.state() != StateName::Init {
            return None;
        }
        let settings = &vhost.settings;
        let link = vhost.device.and_then(|device| self.links.get(&device));
        let (vhid, address) = match (settings.vhid, settings.addresses.first()) {
            _ if !settings.up => return Some(Obstacle::AdministrativelyDown),
            (None, _) => return Some(Obstacle::NoVhid),
            (_, None) => return Some(Obstacle::NoAddress),
            (Some(vhid), Some(address)) => (vhid, address),
        };
        let name = |link: &Link| link.name.clone();
        match (link, &settings.carpdev) {
            (None, None) => Some(self.no_choice(settings, *address)),
            (None, Some(named)) => {
                let is_there = self.links.values().any(|link| link.is_named(named));
                Some(if is_there {
                    Obstacle::UnfitDevice(named.clone())
                } else {
                    Obstacle::NoDevice(named.clone())
                })
            }
            (Some(link), _) if !link.up => Some(Obstacle::DeviceDown(name(link))),
            (Some(link), _) if !link.carrier => Some(Obstacle::NoCarrier(name(link))),
            (Some(link), _) => match &vhost.impediment {
                None => None,
                Some(Impediment::DeviceRefused(error)) => {
                    Some(Obstacle::DeviceRefused(error.clone()))
                }
                Some(Impediment::VhidTaken) => {
                    let by = self.bound.get(&(link.index, vhid)).copied();
                    by.map(|by| Obstacle::VhidTaken {
                        vhid,
                        by,
                        device: name(link),
                    })
                }
            },
        }
    }

    /// Why no physical interface was chosen: there is none, or there are several.
    fn no_choice(&self, settings: &Settings, first: VirtualAddress) -> Obstacle {
        let choices = deciding(settings).map(|address| (address, holding(&self.links, address)));
        let several = choices
            .map(|(address, links)| (address, links.map(|link| link.name.clone()).collect()))
            .find(|(_, devices): &(_, Vec<_>)| devices.len() > 1);
        match several {
            Some((address, devices)) => Obstacle::SeveralDevices { address, devices },
            None => Obstacle::NoSubnet(first),
        }
    }

    /// Says once why a virtual host stays in INIT that its administrator may believe to be running,
    /// if nothing else says so: a link that does not work suppresses preemption, which is told.
    fn report_obstacle(&mut self, unit: Unit, out: &mut Vec<Action>) {
        let Some(vhost) = self.vhosts.get(&unit) else {
            return;
        };
        let obstacle = self.obstacle(vhost).filter(|obstacle| match obstacle {
            Obstacle::NoSubnet(_)
            | Obstacle::SeveralDevices { .. }
            | Obstacle::UnfitDevice(_)
            | Obstacle::NoDevice(_)
            | Obstacle::VhidTaken { .. } => true,
            Obstacle::AdministrativelyDown
            | Obstacle::NoVhid
            | Obstacle::NoAddress
            | Obstacle::DeviceDown(_)
            | Obstacle::NoCarrier(_)
            | Obstacle::DeviceRefused(_) => false,
        });
        if let Some(vhost) = self.vhosts.get_mut(&unit)
            && vhost.told != obstacle
        {
            vhost.told.clone_from(&obstacle);
            if let Some(obstacle) = obstacle {
                out.push(Action::Notice(Notice::NotRunning { unit, obstacle }));
            }
        }
    }

    /// Makes a virtual host in INIT have `settings` and be on `device`.
    pub(super) fn settle(
        &mut self,
        unit: Unit,
        settings: Settings,
        device: Option<IfIndex>,
        out: &mut Vec<Action>,
    ) {
        self.vacate(unit);
        if let Some(vhost) = self.vhosts.get_mut(&unit) {
            let old = &vhost.settings;
            // The kernel thread asks again for a device that was refused; until it is granted, or
            // another one is wanted, the refusal stands.
            if (vhost.device, old.vhid, old.lladdr) != (device, settings.vhid, settings.lladdr) {
                vhost.impediment = None;
            }
            vhost.advertiser.configure(&settings);
            vhost.settings = settings;
            vhost.device = device;
        }
        self.changes.settings_or_state(unit);
        self.bind(unit, out);
    }

    /// Enters a virtual host under its vhid and physical interface, unless another one is there.
    fn bind(&mut self, unit: Unit, out: &mut Vec<Action>) {
        let Some(vhost) = self.vhosts.get_mut(&unit) else {
            return;
        };
        vhost
            .impediment
            .take_if(|impediment| *impediment == Impediment::VhidTaken);
        vhost.forget_placement();
        let Some(place) = vhost.device.zip(vhost.settings.vhid) else {
            return;
        };
        if *self.bound.entry(place).or_insert(unit) != unit {
            vhost.impediment = Some(Impediment::VhidTaken);
        } else if self.attached.insert(place.0) {
            out.push(Action::Attach(place.0));
        }
    }

    /// Takes a virtual host from the place it has.
    fn vacate(&mut self, unit: Unit) {
        let vhost = self.vhosts.get(&unit);
        let place = vhost.and_then(|vhost| vhost.device.zip(vhost.settings.vhid));
        if let Some(place) = place
            && self.bound.get(&place) == Some(&unit)
        {
            self.bound.remove(&place);
        }
    }

    /// Forgets a virtual host that was retired.
    pub(super) fn unbind(&mut self, unit: Unit, now: Now, out: &mut Vec<Action>) {
        self.vacate(unit);
        let Some(vhost) = self.vhosts.remove(&unit) else {
            return;
        };
        self.changes.settings_or_state(unit);
        self.unattributed.add(&vhost.counters);
        self.clear_cause(Cause::Link(unit), now, out);
        self.clear_cause(Cause::Sending(unit), now, out);
        self.clear_cause(Cause::Refused(unit), now, out);
        if let Some(device) = vhost.device {
            self.share_out_arp(device, now, out);
            self.detach_if_unused(device, out);
        }
    }

    fn detach_if_unused(&mut self, device: IfIndex, out: &mut Vec<Action>) {
        if self.carries(device) || !self.attached.remove(&device) {
            return;
        }
        if self.arp.remove(&device) {
            out.push(Action::ListenArp { device, on: false });
        }
        out.push(Action::Detach(device));
    }

    /// Decides who answers ARP requests on a physical interface: the kernel, unless virtual hosts
    /// share an address there.
    pub(super) fn share_out_arp(&mut self, device: IfIndex, now: Now, out: &mut Vec<Action>) {
        let mut holders: BTreeMap<IpAddr, u32> = BTreeMap::new();
        for vhost in self.on(device) {
            for each in &vhost.settings.addresses {
                if each.address.is_ipv4() && vhost.can_share(each.address) {
                    *holders.entry(each.address).or_default() += 1;
                }
            }
        }
        holders.retain(|_, count| *count > 1);
        let balanced = self.sysctls.arpbalance;
        let units: Vec<Unit> = self.on(device).map(|vhost| vhost.unit).collect();
        for unit in units {
            let Some(vhost) = self.vhosts.get_mut(&unit) else {
                continue;
            };
            let shared = || {
                holders
                    .keys()
                    .copied()
                    .filter(|address| vhost.can_share(*address))
            };
            let duty = match shared().next() {
                None => ArpDuty::Kernel,
                Some(_) if balanced => ArpDuty::Carpd {
                    quiet: shared().collect(),
                },
                Some(_) => ArpDuty::Carpd { quiet: Vec::new() },
            };
            if vhost.arp != duty {
                vhost.arp = duty;
                self.event(unit, Event::Rehouse, now, out);
            }
        }
        let on = !holders.is_empty();
        let changed = if on {
            self.arp.insert(device)
        } else {
            self.arp.remove(&device)
        };
        if changed {
            out.push(Action::ListenArp { device, on });
        }
    }

    /// Sets or clears the cause of suppression that a virtual host's physical interface is.
    pub(super) fn judge_link(&mut self, unit: Unit, now: Now, out: &mut Vec<Action>) {
        let Some(vhost) = self.vhosts.get_mut(&unit) else {
            return;
        };
        let settings = &vhost.settings;
        let link = vhost.device.and_then(|device| self.links.get(&device));
        if let Some(link) = link {
            vhost.was_on = Some(link.name.clone());
        }
        let wanted = settings.up && settings.vhid.is_some() && !settings.addresses.is_empty();
        // An interface that was never there may be a typing error, and would demote this host for ever.
        let lost = vhost.was_on.as_ref();
        let name = lost.map(|was_on| settings.carpdev.as_ref().unwrap_or(was_on));
        let is_there = |name: &DeviceName| self.links.values().any(|link| link.is_named(name));
        let why = match link {
            Some(link) if !link.up => "is down",
            Some(link) if !link.carrier => "has no carrier",
            Some(_) => "",
            None if name.is_some_and(is_there) => "cannot carry CARP",
            None => "is gone",
        };
        match name {
            Some(name) if wanted && !why.is_empty() => {
                let who = name.to_string();
                self.set_cause(Cause::Link(unit), who, why, now, out);
            }
            Some(_) | None => self.clear_cause(Cause::Link(unit), now, out),
        }
    }

    /// If every running virtual host on a physical interface is MASTER, with its virtual MAC, and
    /// there is one: the families that they use. Otherwise none.
    #[must_use]
    pub fn families_of_masters(&self, device: IfIndex) -> BTreeSet<Family> {
        let mut families = BTreeSet::new();
        for vhost in self.on(device) {
            match (vhost.state(), vhost.settings.lladdr) {
                (StateName::Init, _) => {}
                (StateName::Master, LinkLayer::Virtual) => {
                    let addresses = &vhost.settings.addresses;
                    families.extend(addresses.iter().map(|each| Family::of(each.address)));
                }
                (StateName::Backup | StateName::Master, _) => return BTreeSet::new(),
            }
        }
        families
    }

    /// Whether any carp interface is on this physical interface.
    pub(super) fn carries(&self, device: IfIndex) -> bool {
        self.on(device).next().is_some()
    }

    /// The virtual hosts on a physical interface, in ascending order of their vhids.
    pub(super) fn on(&self, device: IfIndex) -> impl Iterator<Item = &Vhost> {
        let all = (device, Vhid::LEAST)..=(device, Vhid::MOST);
        self.bound
            .range(all)
            .filter_map(|(_, unit)| self.vhosts.get(unit).map(Box::as_ref))
    }
}

/// The physical interface that a virtual host is on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Current {
    /// Found for the present addresses.
    Found(Option<IfIndex>),
    /// Found for others, or named.
    Outdated(Option<IfIndex>),
}

impl Current {
    /// That of a virtual host that is about to have `settings`.
    pub(super) fn of(vhost: &Vhost, settings: &Settings) -> Self {
        let old = &vhost.settings;
        if old.addresses == settings.addresses && old.carpdev == settings.carpdev {
            Self::Found(vhost.device)
        } else {
            Self::Outdated(vhost.device)
        }
    }
}

/// The physical interface for `settings`: the one named, else the one it is on if a subnet of that
/// still holds one of the addresses, else the one whose subnet holds the first address that any
/// does. One that was found for these addresses stays while no other one has them: a network
/// manager may take its address away for a moment. So does one that is down.
///
/// Every interface is in the subnet of a link-local address: with such addresses alone there is a
/// choice only while there is one interface.
pub(super) fn choose(
    settings: &Settings,
    current: Current,
    links: &BTreeMap<IfIndex, Link>,
) -> Option<IfIndex> {
    let (Current::Found(index) | Current::Outdated(index)) = current;
    let stays = |link: &Link| match current {
        Current::Found(_) => true,
        Current::Outdated(_) => !link.works(),
    };
    if let Some(name) = &settings.carpdev {
        return links
            .values()
            .find(|link| link.capable && link.is_named(name))
            .map(|link| link.index);
    }
    let current = index
        .and_then(|index| links.get(&index))
        .filter(|link| link.capable);
    if let Some(link) = current
        && deciding(settings).any(|address| link.holds(address))
    {
        return Some(link.index);
    }
    let best = deciding(settings).find_map(|address| {
        let best = holding(links, address).max_by_key(|link| {
            (
                link.works(),
                longest(link, address),
                core::cmp::Reverse(link.index),
            )
        })?;
        let is_only = || holding(links, address).count() == 1;
        (!is_link_local(&address) || is_only()).then_some(best)
    });
    best.or_else(|| current.filter(|link| stays(link) && !settings.addresses.is_empty()))
        .map(|link| link.index)
}

/// The virtual addresses that choose the physical interface: those that are not link-local, if
/// there are any.
pub(super) fn deciding(settings: &Settings) -> impl Iterator<Item = IpAddr> {
    let addresses = || settings.addresses.iter().map(|each| each.address);
    let none_tells = addresses().all(|address| is_link_local(&address));
    addresses().filter(move |address| none_tells || !is_link_local(address))
}

/// The interfaces that could be chosen for `address`.
fn holding(links: &BTreeMap<IfIndex, Link>, address: IpAddr) -> impl Iterator<Item = &Link> {
    let capable = links.values().filter(|link| link.capable);
    capable.filter(move |link| link.holds(address))
}

/// Those that could be chosen for `address` as well as `chosen`.
pub(super) fn alike<'a>(
    links: &'a BTreeMap<IfIndex, Link>,
    address: IpAddr,
    chosen: &'a Link,
) -> impl Iterator<Item = &'a Link> {
    let others = holding(links, address).filter(move |link| link.index != chosen.index);
    others.filter(move |link| longest(link, address) == longest(chosen, address))
}

fn longest(link: &Link, address: IpAddr) -> u8 {
    let holding = link.addresses.iter().filter(|own| own.holds(address));
    holding.map(|own| own.prefix).max().unwrap_or_default()
}
