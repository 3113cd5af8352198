//! Virtual hosts and the physical interfaces that they are bound to.

use std::collections::BTreeSet;

use super::Engine;
use crate::action::Action;
use crate::family::Family;
use crate::link::IfIndex;
use crate::name::Unit;
use crate::numbers::Vhid;
use crate::obstacle::Impediment;
use crate::settings::{LinkLayer, Settings};
use crate::status::StateName;
use crate::suppression::Cause;
use crate::time::Now;
use crate::vhost::Vhost;

impl Engine {
    /// Gives a virtual host in INIT its settings and its physical interface.
    pub(super) fn assign(
        &mut self,
        unit: Unit,
        settings: Settings,
        device: Option<IfIndex>,
        out: &mut Vec<Action>,
    ) {
        self.unbind(unit);
        if let Some(vhost) = self.vhosts.get_mut(&unit) {
            let old = &vhost.settings;
            // The kernel thread orders a refused device again. The refusal stands until the device is
            // granted, or another one is needed.
            if (vhost.device, old.vhid, old.lladdr) != (device, settings.vhid, settings.lladdr) {
                vhost.impediment = None;
            }
            vhost.dialect.configure(&settings);
            vhost.settings = settings;
            vhost.device = device;
        }
        self.changes.settings_or_state(unit);
        self.bind(unit, out);
    }

    /// Binds a virtual host to its vhid and physical interface, unless another one is bound to both.
    fn bind(&mut self, unit: Unit, out: &mut Vec<Action>) {
        let Some(vhost) = self.vhosts.get_mut(&unit) else {
            return;
        };
        vhost
            .impediment
            .take_if(|impediment| *impediment == Impediment::VhidTaken);
        vhost.forget_device();
        let Some(binding) = vhost.device.zip(vhost.settings.vhid) else {
            return;
        };
        let (device, _) = binding;
        if *self.bound.entry(binding).or_insert(unit) != unit {
            vhost.impediment = Some(Impediment::VhidTaken);
        } else if self.attached.insert(device) {
            out.push(Action::Attach(device));
        }
    }

    fn unbind(&mut self, unit: Unit) {
        let vhost = self.vhosts.get(&unit);
        let binding = vhost.and_then(|vhost| vhost.device.zip(vhost.settings.vhid));
        if let Some(binding) = binding
            && self.bound.get(&binding) == Some(&unit)
        {
            self.bound.remove(&binding);
        }
    }

    /// Removes a virtual host that was retired.
    pub(super) fn remove(&mut self, unit: Unit, now: Now, out: &mut Vec<Action>) {
        self.unbind(unit);
        let Some(vhost) = self.vhosts.remove(&unit) else {
            return;
        };
        self.changes.settings_or_state(unit);
        self.unattributed.add(&vhost.counters);
        self.clear_cause(Cause::Link(unit), now, out);
        self.clear_cause(Cause::Sending(unit), now, out);
        self.clear_cause(Cause::Refused(unit), now, out);
        if let Some(device) = vhost.device {
            self.choose_arp_responders(device, now, out);
            self.detach_if_unused(device, out);
        }
    }

    pub(super) fn detach_if_unused(&mut self, device: IfIndex, out: &mut Vec<Action>) {
        if self.carries(device) || !self.attached.remove(&device) {
            return;
        }
        if self.arp_devices.remove(&device) {
            out.push(Action::ListenArp { device, on: false });
        }
        out.push(Action::Detach(device));
    }

    /// Families of the virtual hosts on `device`, if every running one is MASTER with its virtual MAC.
    /// Empty otherwise, and while none runs.
    #[must_use]
    pub fn families_of_masters(&self, device: IfIndex) -> BTreeSet<Family> {
        let mut families = BTreeSet::new();
        for vhost in self.on(device) {
            match (vhost.state(), vhost.settings.lladdr) {
                (StateName::Init, _) => {}
                (StateName::Master, LinkLayer::Virtual) => {
                    families.extend(vhost.settings.families());
                }
                (StateName::Backup | StateName::Master, _) => return BTreeSet::new(),
            }
        }
        families
    }

    /// Returns true if a carp interface is on this physical interface.
    pub(super) fn carries(&self, device: IfIndex) -> bool {
        self.on(device).next().is_some()
    }

    /// Virtual hosts on a physical interface, in ascending order of their vhids.
    pub(super) fn on(&self, device: IfIndex) -> impl Iterator<Item = &Vhost> {
        let all = (device, Vhid::LEAST)..=(device, Vhid::MOST);
        self.bound
            .range(all)
            .filter_map(|(_, unit)| self.vhosts.get(unit).map(Box::as_ref))
    }
}
