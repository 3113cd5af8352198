//! Changes of physical interfaces, and their consequences for the virtual hosts.

use super::Engine;
use super::choice::{Current, choose};
use crate::action::Action;
use crate::link::{IfIndex, Link};
use crate::name::Unit;
use crate::obstacle::Impediment;
use crate::reason::Reason;
use crate::settings::{DeviceName, LinkLayer, Settings};
use crate::suppression::Cause;
use crate::time::Now;
use crate::vhost::{Event, Vhost};

impl Engine {
    pub(super) fn link_changed(&mut self, link: Link, now: Now, out: &mut Vec<Action>) {
        let index = link.index;
        if self.links.get(&index) == Some(&link) {
            return;
        }
        let mac = link.mac;
        let addresses = link.addresses.clone();
        let old = self.links.insert(index, link);
        let has_new_mac = old.as_ref().is_some_and(|old| old.mac != mac);
        self.reconsider(index, now, out);
        let before = old.map(|old| old.addresses).unwrap_or_default();
        if before != addresses {
            self.review_near(&[before, addresses].concat(), out);
        }
        if has_new_mac {
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

    /// Reconsiders all virtual hosts after a change of a physical interface: some may move to it or away
    /// from it, and those on it may start or stop.
    fn reconsider(&mut self, index: IfIndex, now: Now, out: &mut Vec<Action>) {
        let all: Vec<Unit> = self.vhosts.keys().copied().collect();
        for unit in all {
            let Some(vhost) = self.vhosts.get_mut(&unit) else {
                continue;
            };
            let is_on_it = vhost.device == Some(index);
            let names_it = vhost.settings.carpdev.as_ref().is_some_and(|name| {
                let link = self.links.get(&index);
                link.is_some_and(|link| link.is_named(name))
            });
            if is_on_it && matches!(vhost.impediment, Some(Impediment::DeviceRefused(_))) {
                // The kernel may grant the device now, so it is not left to the next retry.
                vhost.forget_device();
            }
            let settings = &vhost.settings;
            if choose(settings, Current::Chosen(vhost.device), &self.links) != vhost.device {
                let settings = settings.clone();
                self.reconfigure(unit, settings, now, out);
            } else if is_on_it || names_it {
                self.event(unit, Event::Reconsider, now, out);
                out.push(Action::Updated(unit));
            }
            self.judge_link(unit, now, out);
            self.judge_refusal(unit, now, out);
        }
    }

    /// Changes the settings of a virtual host, its physical interface, or both. Nothing else changes
    /// either of a virtual host that exists. A MASTER that becomes another one bows out first.
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
        let is_another =
            vhost.device != device || old.vhid != settings.vhid || old.lladdr != settings.lladdr;
        let is_visible = old.key != settings.key
            || old.addresses != settings.addresses
            || old.advbase != settings.advbase
            || old.advskew != settings.advskew;
        let may_move = old.addresses != settings.addresses || old.carpdev != settings.carpdev;
        let left = vhost.device;
        match verdict {
            Err(reason) => self.event(unit, Event::Retire(reason), now, out),
            Ok(()) if is_another => self.event(unit, Event::Retire(Reason::Reconfigured), now, out),
            Ok(()) => {}
        }
        if may_move && let Some(vhost) = self.vhosts.get_mut(&unit) {
            vhost.last_device = None;
        }
        self.assign(unit, settings, device, out);
        self.event(unit, Event::Reconsider, now, out);
        if is_visible && !is_another {
            self.event(unit, Event::Refresh, now, out);
        }
        for device in [left, device].into_iter().flatten() {
            self.choose_arp_responders(device, now, out);
            self.detach_if_unused(device, out);
        }
        self.review(unit, out);
        self.judge_link(unit, now, out);
        self.judge_refusal(unit, now, out);
        out.push(Action::Updated(unit));
        self.report_obstacle(unit, out);
    }

    /// Sets or clears the cause of suppression for a physical interface that does not work.
    pub(super) fn judge_link(&mut self, unit: Unit, now: Now, out: &mut Vec<Action>) {
        let Some(vhost) = self.vhosts.get_mut(&unit) else {
            return;
        };
        let settings = &vhost.settings;
        let link = vhost.device.and_then(|device| self.links.get(&device));
        if let Some(link) = link {
            vhost.last_device = Some(link.name.clone());
        }
        let must_run = settings.up && settings.vhid.is_some() && !settings.addresses.is_empty();
        // An interface that never existed may be a typing error, and would demote this host for ever.
        let last = vhost.last_device.as_ref();
        let name = last.map(|last| settings.carpdev.as_ref().unwrap_or(last));
        let exists = |name: &DeviceName| self.links.values().any(|link| link.is_named(name));
        let why = match link {
            Some(link) if !link.up => "is down",
            Some(link) if !link.carrier => "has no carrier",
            Some(_) => "",
            None if name.is_some_and(exists) => "cannot carry CARP",
            None => "is gone",
        };
        match name {
            Some(name) if must_run && !why.is_empty() => {
                let who = name.to_string();
                self.set_cause(Cause::Link(unit), who, why, now, out);
            }
            Some(_) | None => self.clear_cause(Cause::Link(unit), now, out),
        }
    }
}
