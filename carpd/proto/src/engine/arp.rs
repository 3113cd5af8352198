//! ARP requests that carpd answers, because virtual hosts share an address.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeMap;

use super::Engine;
use crate::action::Action;
use crate::balance::{Candidate, answerer};
use crate::link::IfIndex;
use crate::mac::Mac;
use crate::name::Unit;
use crate::status::StateName;
use crate::time::Now;
use crate::vhost::{ArpResponder, Event};
use crate::wire::arp::{Operation, Packet};
use crate::wire::ethernet::Frame;
use crate::wire::frames;

impl Engine {
    pub(super) fn arp_request(&self, device: IfIndex, frame: &Frame<'_>, out: &mut Vec<Action>) {
        let Ok(request) = Packet::parse(frame.payload) else {
            return;
        };
        if request.operation != Operation::Request || request.sender == request.target {
            return;
        }
        let Some(mac) = self.answering_mac(device, request.target, request.sender) else {
            return;
        };
        let frame = frames::arp_reply(mac, request.target, request.sender_mac, request.sender);
        out.push(Action::Resolve { device, frame });
    }

    /// MAC of the virtual host that must answer for `target`, if carpd answers there and it is this host's
    /// turn. Unicast requests follow the same rule.
    ///
    /// Virtual hosts in INIT count: all hosts must divide the clients by the same number, even while a
    /// virtual host runs on some of them only.
    fn answering_mac(&self, device: IfIndex, target: Ipv4Addr, source: Ipv4Addr) -> Option<Mac> {
        let candidates: Vec<Candidate> = self
            .on(device)
            .filter(|vhost| vhost.can_share(target.into()))
            .map(|vhost| Candidate {
                unit: vhost.unit,
                is_master: vhost.state() == StateName::Master,
            })
            .collect();
        let unit = answerer(&candidates, source, self.sysctls.arpbalance)?;
        let vhost = self.vhosts.get(&unit)?;
        match vhost.arp_responder {
            ArpResponder::Kernel => None,
            ArpResponder::Carpd { .. } => vhost.settings.vhid.map(Mac::virtual_of),
        }
    }

    /// Chooses the ARP responder of each virtual host on `device`: carpd for those that share an address,
    /// otherwise the kernel.
    pub(super) fn choose_arp_responders(
        &mut self,
        device: IfIndex,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let mut holders: BTreeMap<IpAddr, u32> = BTreeMap::new();
        for vhost in self.on(device) {
            for each in &vhost.settings.addresses {
                if each.address.is_ipv4() && vhost.can_share(each.address) {
                    *holders.entry(each.address).or_default() += 1;
                }
            }
        }
        holders.retain(|_, count| *count > 1);
        let is_balanced = self.sysctls.arpbalance;
        let units: Vec<Unit> = self.on(device).map(|vhost| vhost.unit).collect();
        for unit in units {
            let Some(vhost) = self.vhosts.get_mut(&unit) else {
                continue;
            };
            let shared: Vec<IpAddr> = holders
                .keys()
                .copied()
                .filter(|address| vhost.can_share(*address))
                .collect();
            let responder = if shared.is_empty() {
                ArpResponder::Kernel
            } else {
                ArpResponder::Carpd {
                    balanced: if is_balanced { shared } else { Vec::new() },
                }
            };
            if vhost.arp_responder != responder {
                vhost.arp_responder = responder;
                self.event(unit, Event::ArpResponder, now, out);
            }
        }
        let on = !holders.is_empty();
        let has_changed = if on {
            self.arp_devices.insert(device)
        } else {
            self.arp_devices.remove(&device)
        };
        if has_changed {
            out.push(Action::ListenArp { device, on });
        }
    }
}
