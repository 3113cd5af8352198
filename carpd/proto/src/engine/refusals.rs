//! Devices and addresses that the kernel refuses.

use core::net::IpAddr;

use super::Engine;
use crate::action::{Action, Notice};
use crate::name::Unit;
use crate::obstacle::{Impediment, Obstacle};
use crate::status::StateName;
use crate::suppression::Cause;
use crate::time::Now;
use crate::vhost::Event;

impl Engine {
    /// The kernel refused an address or the device. Without a device, the virtual host waits in INIT for
    /// [`Engine::granted`].
    pub(super) fn refused(
        &mut self,
        unit: Unit,
        address: Option<IpAddr>,
        error: String,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let Some(vhost) = self.vhosts.get_mut(&unit) else {
            return;
        };
        if let Some(address) = address {
            vhost.refused_addresses.insert(address, error.clone());
        } else {
            let refused = Some(Impediment::DeviceRefused(error.clone()));
            if vhost.impediment == refused {
                return;
            }
            vhost.impediment = refused;
        }
        out.push(Action::Notice(Notice::KernelRefused {
            unit,
            address,
            error,
        }));
        self.event(unit, Event::Reconsider, now, out);
        self.judge_refusal(unit, now, out);
        out.push(Action::Updated(unit));
    }

    /// The kernel has an address or a device that it may have refused before.
    pub(super) fn granted(
        &mut self,
        unit: Unit,
        address: Option<IpAddr>,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let Some(vhost) = self.vhosts.get_mut(&unit) else {
            return;
        };
        let was_refused = if let Some(address) = address {
            vhost.address_granted(address)
        } else {
            let is_refused = |it: &mut Impediment| matches!(it, Impediment::DeviceRefused(_));
            vhost.impediment.take_if(is_refused).is_some()
        };
        if was_refused {
            self.event(unit, Event::Reconsider, now, out);
            self.judge_refusal(unit, now, out);
            out.push(Action::Updated(unit));
        }
    }

    /// Sets or clears the cause of suppression for a refused device. The cause ends when the virtual host no
    /// longer waits for the device.
    pub(super) fn judge_refusal(&mut self, unit: Unit, now: Now, out: &mut Vec<Action>) {
        let vhost = self.vhosts.get(&unit);
        let obstacle = vhost.and_then(|vhost| self.obstacle(vhost));
        match obstacle {
            Some(Obstacle::DeviceRefused(error)) => {
                let why = Obstacle::DeviceRefused(error).to_string();
                self.set_cause(Cause::Refused(unit), unit.to_string(), &why, now, out);
            }
            Some(_) | None => self.clear_cause(Cause::Refused(unit), now, out),
        }
    }

    /// One line for each device and address that the kernel refuses, of one carp interface or of all.
    #[must_use]
    pub fn refusals(&self, of: Option<Unit>) -> Vec<String> {
        let mut lines = Vec::new();
        let is_asked = |unit: Unit| of.is_none_or(|of| of == unit);
        for vhost in self.vhosts.values().filter(|vhost| is_asked(vhost.unit)) {
            let unit = vhost.unit;
            if let Some(Impediment::DeviceRefused(error)) = &vhost.impediment {
                let refused = Obstacle::DeviceRefused(error.clone());
                lines.push(format!("{unit}: {refused}"));
            }
            if vhost.state() == StateName::Master {
                let refused = vhost.refused_addresses.iter();
                lines.extend(refused.map(|(address, error)| {
                    format!("{unit}: the kernel refused {address}: {error}")
                }));
            }
        }
        lines
    }
}
