//! What another carpd of this host left in the kernel when it ended without giving it back:
//! found at the start, gone on with, and removed where nobody asks for it.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use carp_proto::{DeviceAddress, IfIndex, Instant, Lease, LeasedOn, Place, Unit, VirtualAddress};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkMessage, MacVlanMode};
use tracing::{debug, warn};

use super::conf::Conf;
use super::devices::{self, Seen};
use super::netlink::Netlink;
use super::netlink_error::NetlinkError;
use super::sysctls::ARP_IGNORE;
use super::worker::{Device, Held, State, Worker};
use super::{addresses, mend};
use crate::clock::Clock;

/// What nobody has asked for yet.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    /// Units whose device was found.
    units: BTreeSet<Unit>,
    /// Devices of ours that bear no unit's name.
    strays: Vec<u32>,
    /// Virtual addresses on physical interfaces.
    addresses: Vec<AddressMessage>,
}

impl Leftovers {
    /// Whether the device of `unit` was found, and nobody has asked for it since.
    pub(super) fn has(&self, unit: Unit) -> bool {
        self.units.contains(&unit)
    }

    /// Somebody has asked for the device of `unit`.
    pub(super) fn claim(&mut self, unit: Unit) {
        self.units.remove(&unit);
    }
}

/// A device of ours.
struct Found {
    device: Device,
    conf: Conf,
    hears: bool,
    addresses: Vec<VirtualAddress>,
    until: Instant,
}

impl Worker {
    /// Makes what is there its own, and says which leases have not run out.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(super) fn adopt(&mut self) -> Result<BTreeSet<Lease>, NetlinkError> {
        let mut links = Vec::new();
        self.netlink.each_link(|link| links.push(link.clone()))?;
        let all = self.netlink.addresses()?;
        let mut found = self.find_devices(&links);
        let mut leases = BTreeSet::new();
        for message in all {
            let Some(DeviceAddress { address, prefix }) = addresses::own(&message) else {
                continue;
            };
            let index = message.header.index;
            if let Some((_, device)) = found.get_mut(&index) {
                device.until = device.until.min(end_of(&message));
                device.addresses.push(VirtualAddress { address, prefix });
            } else if addresses::is_virtual(&message) {
                let on = LeasedOn::Parent(IfIndex(index));
                leases.insert(Lease { on, address });
                self.leftovers.addresses.push(message);
            }
        }
        for (unit, found) in found.into_values() {
            let Device { parent, mac, .. } = found.device;
            let (hears, addresses) = (found.hears, found.addresses.clone());
            let conf = found.conf.clone();
            self.take_over(unit, found);
            if hears {
                self.update_sysctls(unit, &conf);
                let on = LeasedOn::Device { unit, parent, mac };
                leases.extend(addresses.iter().map(|each| Lease {
                    on,
                    address: each.address,
                }));
            } else {
                // It ended on the way from or to MASTER, or while it made the device.
                self.leave(unit);
                self.quieten(unit);
            }
        }
        Ok(leases)
    }

    /// Every device of ours by its number.
    fn find_devices(&mut self, links: &[LinkMessage]) -> BTreeMap<u32, (Unit, Found)> {
        let names: BTreeMap<u32, String> = links
            .iter()
            .map(|link| (link.header.index, Seen::of(link).name))
            .collect();
        let mut found = BTreeMap::new();
        for link in links.iter().filter(|link| devices::is_ours(link)) {
            let (index, seen) = (link.header.index, Seen::of(link));
            let parent = devices::parent_of(link);
            let parent_name = parent.and_then(|parent| names.get(&parent.0).cloned());
            let (Ok(unit), Some(parent), Some(parent_name), Some(mac)) =
                (seen.name.parse::<Unit>(), parent, parent_name, seen.mac)
            else {
                self.leftovers.strays.push(index);
                continue;
            };
            let device = Device {
                index,
                parent,
                parent_name,
                mac,
            };
            let device = Found {
                device,
                conf: Conf::of(link),
                hears: seen.is_up() && seen.mode == Some(MacVlanMode::Bridge),
                addresses: Vec::new(),
                until: Instant::from_micros(u64::MAX),
            };
            found.insert(index, (unit, device));
        }
        found
    }

    fn take_over(&mut self, unit: Unit, found: Found) {
        let held = Held {
            place: Place::Device,
            addresses: found.addresses,
            until: found.until,
            deaf: false,
        };
        let state = State {
            device: Some(found.device),
            held: (found.hears || !held.addresses.is_empty()).then_some(held),
            ..State::default()
        };
        self.units.insert(unit, state);
        self.leftovers.units.insert(unit);
    }

    /// Sets what the device of a MASTER has not: another version of carpd may have set less.
    fn update_sysctls(&mut self, unit: Unit, conf: &Conf) {
        let Some(state) = self.state(unit) else {
            return;
        };
        let (wanted, device) = (mend::wanted_sysctls(state), self.device(unit));
        let Some(device) = device else { return };
        for (sysctl, value) in wanted {
            // Who answers ARP requests is known when the addresses are taken.
            let is_other = conf.value(sysctl).is_some_and(|found| found != value);
            if is_other && sysctl != ARP_IGNORE {
                self.set(device.index, &unit.to_string(), sysctl, value);
            }
        }
    }

    /// Removes what was found and nobody has asked for.
    pub(super) fn sweep(&mut self) {
        let Leftovers {
            units,
            strays,
            addresses,
        } = core::mem::take(&mut self.leftovers);
        for message in addresses {
            if !self.is_held_on_parent(&message) {
                let message = RouteNetlinkMessage::DelAddress(message);
                if let Err(error) = self.netlink.change((message, 0)) {
                    debug!("cannot remove an address left behind: {error}");
                }
            }
        }
        // At once, if it may be: one by one takes longer.
        if !units.is_empty() && units.len() == self.units.len() {
            self.units.clear();
            if let Err(error) = devices::delete_all(&self.netlink) {
                warn!("cannot remove devices left behind: {error}");
            }
        }
        for unit in units {
            let Some(state) = self.units.get_mut(&unit) else {
                continue;
            };
            let Some(device) = state.device.clone() else {
                continue;
            };
            match state.held.as_ref().map(|held| held.place) {
                Some(Place::Device | Place::SilentDevice) => self.leave(unit),
                Some(Place::Parent(_)) | None => {}
            }
            self.discard(unit, device.index);
        }
        for index in strays {
            if let Err(error) = devices::delete(&self.netlink, index) {
                warn!("cannot remove a device left behind: {error}");
            }
        }
        self.sysctls.sweep(&self.netlink);
    }

    fn is_held_on_parent(&self, message: &AddressMessage) -> bool {
        let parent = Place::Parent(IfIndex(message.header.index));
        let Some(DeviceAddress { address, .. }) = addresses::own(message) else {
            return false;
        };
        self.units.values().any(|state| {
            state.held.as_ref().is_some_and(|held| {
                held.place == parent && held.addresses.iter().any(|each| each.address == address)
            })
        })
    }
}

/// Removes everything that a carpd left behind of which nothing is known.
pub(super) fn remove_everything(netlink: &Netlink) {
    if let Err(error) = devices::delete_all(netlink) {
        warn!("cannot remove devices left behind: {error}");
    }
    if let Err(error) = addresses::sweep(netlink) {
        warn!("cannot remove addresses left behind: {error}");
    }
}

/// When the lease of an address ends.
fn end_of(message: &AddressMessage) -> Instant {
    let left = message.attributes.iter().find_map(|attribute| {
        if let AddressAttribute::CacheInfo(cache) = attribute {
            Some(cache.ifa_valid)
        } else {
            None
        }
    });
    Clock.now().instant + Duration::from_secs(left.unwrap_or_default().into())
}
