//! The device of a virtual host in the kernel.

use super::{Env, Vhost};
use crate::action::{Action, Work};
use crate::link::IfIndex;
use crate::mac::Mac;
use crate::obstacle::Impediment;
use crate::settings::LinkLayer;

impl Vhost {
    /// Orders the device from the kernel, or its removal, if that changed.
    pub(super) fn order_device(&mut self, env: &Env<'_>, out: &mut Vec<Action>) {
        let unit = self.unit;
        let needed = self.needed_device(env);
        if self.ordered_device == needed {
            return;
        }
        self.ordered_device = needed;
        match needed {
            Some((parent, mac)) => {
                out.push(Action::Work(Work::Ensure { unit, parent, mac }));
                if self.may_run(env).is_err() {
                    out.push(Action::Work(Work::Down { unit }));
                }
            }
            None => out.push(Action::Work(Work::Remove { unit })),
        }
    }

    /// Physical interface and MAC of the device, if the virtual host needs one.
    pub(super) fn needed_device(&self, env: &Env<'_>) -> Option<(IfIndex, Mac)> {
        let is_taken = self.impediment == Some(Impediment::VhidTaken);
        match (self.settings.lladdr, self.settings.vhid, env.link) {
            (LinkLayer::Virtual, Some(vhid), Some(link)) if !is_taken => {
                Some((link.index, Mac::virtual_of(vhid)))
            }
            (LinkLayer::Virtual | LinkLayer::Parent, _, _) => None,
        }
    }

    /// Makes the virtual host order its device again.
    pub(crate) const fn forget_device(&mut self) {
        self.ordered_device = None;
    }
}
