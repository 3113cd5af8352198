//! Restart: the engine continues where the previous instance ended.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::choice::{Current, choose};
use crate::action::Action;
use crate::lease::{Lease, LeasedOn};
use crate::link::IfIndex;
use crate::name::Unit;
use crate::saved::SavedState;
use crate::settings::{LinkLayer, Settings};
use crate::status::StateName;
use crate::time::Now;
use crate::vhost::{Event, Vhost};

impl Engine {
    /// Creates all carp interfaces before the first one advertises, because causes of suppression and
    /// shared addresses follow from all of them.
    pub(super) fn resume(
        &mut self,
        saved: SavedState,
        leases: &BTreeSet<Lease>,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        self.sysctls = saved.sysctls;
        self.changes.sysctls();
        out.push(Action::SysctlsChanged);
        let mut events = BTreeMap::new();
        let mut devices: BTreeSet<IfIndex> = BTreeSet::new();
        for (unit, before) in saved.interfaces {
            self.vhosts.insert(unit, Box::new(Vhost::new(unit)));
            out.push(Action::Created(unit));
            let is_named = before.settings.carpdev.is_some();
            let on = (!is_named).then(|| where_leased(unit, &before.settings, leases));
            let device = choose(&before.settings, Current::Chosen(on.flatten()), &self.links);
            self.assign(unit, before.settings.clone(), device, out);
            devices.extend(device);
            let link = device.and_then(|device| self.links.get(&device));
            if let Some(vhost) = self.vhosts.get_mut(&unit) {
                if before.state != StateName::Init {
                    vhost.last_device.clone_from(&before.settings.carpdev);
                }
                let kept = vhost.is_leased(link, leases);
                vhost.dialect.resume(&before, kept, now);
                let event = if kept {
                    Event::Resume
                } else {
                    Event::Reconsider
                };
                events.insert(unit, event);
            }
        }
        for device in devices {
            self.choose_arp_responders(device, now, out);
        }
        let units: Vec<Unit> = events.keys().copied().collect();
        for unit in units {
            self.judge_link(unit, now, out);
            self.review(unit, out);
        }
        for (unit, event) in events {
            self.event(unit, event, now, out);
            out.push(Action::Updated(unit));
        }
    }
}

/// Physical interface on which the kernel still has the device or the addresses of a virtual host. The
/// previous instance chose it, where several are possible.
fn where_leased(unit: Unit, settings: &Settings, leases: &BTreeSet<Lease>) -> Option<IfIndex> {
    leases.iter().find_map(|lease| match lease.on {
        LeasedOn::Device {
            unit: of, parent, ..
        } => (of == unit).then_some(parent),
        LeasedOn::Parent(parent) => {
            let mut ours = settings.addresses.iter();
            let is_ours = ours.any(|each| each.address == lease.address);
            (is_ours && settings.lladdr == LinkLayer::Parent).then_some(parent)
        }
    })
}
