//! Adoption of the devices and addresses that the previous instance left in the kernel: found at the
//! start, resumed where work asks for them, and removed otherwise.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use carp_proto::{DeviceAddress, IfIndex, Instant, Lease, LeasedOn, Place, Unit, VirtualAddress};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::MacVlanMode;
use tracing::{debug, warn};

use super::device_report::DeviceReport;
use super::held::{Device, Held, Leased};
use super::holdings::Holdings;
use super::netlink_error::NetlinkError;
use super::sysctl::Sysctl;
use super::{addresses, devices};
use crate::clock::Clock;

/// Devices and addresses that no work has asked for yet. Devices of carp interfaces are not among them:
/// those are [leftovers](Held::is_leftover).
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    /// Numbers of devices of ours that have no carp interface's name.
    strays: Vec<u32>,
    /// Virtual addresses on physical interfaces.
    addresses: Vec<AddressMessage>,
}

/// Device of a carp interface that was found.
struct Found {
    device: Device,
    report: DeviceReport,
    is_master: bool,
    addresses: Vec<VirtualAddress>,
    until: Instant,
}

impl Leftovers {
    /// Takes over all devices and addresses that are there, and returns the leases that still run.
    ///
    /// # Errors
    /// The refusal of the kernel.
    pub(super) fn adopt(
        &mut self,
        holdings: &mut Holdings,
    ) -> Result<BTreeSet<Lease>, NetlinkError> {
        let mut found = self.find_devices(holdings)?;
        let mut leases = BTreeSet::new();
        for message in holdings.netlink.addresses()? {
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
                self.addresses.push(message);
            }
        }
        for (unit, found) in found.into_values() {
            let Device { parent, mac, .. } = found.device;
            let is_master = found.is_master;
            let (report, addresses) = (found.report.clone(), found.addresses.clone());
            holdings.interfaces.insert(unit, found.into());
            if is_master {
                holdings.update_sysctls(unit, &report);
                let on = LeasedOn::Device { unit, parent, mac };
                leases.extend(addresses.iter().map(|each| Lease {
                    on,
                    address: each.address,
                }));
            } else {
                // The previous instance ended on the way to or from MASTER, or while it made the device.
                holdings.leave(unit);
                holdings.silence(unit);
            }
        }
        Ok(leases)
    }

    /// Returns every device of ours by its number.
    fn find_devices(
        &mut self,
        holdings: &Holdings,
    ) -> Result<BTreeMap<u32, (Unit, Found)>, NetlinkError> {
        let mut names = BTreeMap::new();
        let mut ours = Vec::new();
        holdings.netlink.each_link(|link| {
            let report = DeviceReport::of(link);
            names.insert(report.index, report.name.clone());
            if report.is_ours {
                ours.push(report);
            }
        })?;
        let mut found = BTreeMap::new();
        for report in ours {
            let index = report.index;
            let parent_name = report.parent.and_then(|parent| names.get(&parent.0));
            let (Ok(unit), Some(parent), Some(parent_name), Some(mac)) = (
                report.name.parse::<Unit>(),
                report.parent,
                parent_name,
                report.mac,
            ) else {
                self.strays.push(index);
                continue;
            };
            let device = Device {
                index,
                parent,
                parent_name: parent_name.clone(),
                mac,
            };
            let device = Found {
                device,
                is_master: report.is_up() && report.mode == Some(MacVlanMode::Bridge),
                report,
                addresses: Vec::new(),
                until: Instant::from_micros(u64::MAX),
            };
            found.insert(index, (unit, device));
        }
        Ok(found)
    }

    /// Removes what no work has asked for.
    pub(super) fn sweep(&mut self, holdings: &mut Holdings) {
        let Self { strays, addresses } = core::mem::take(self);
        for message in addresses {
            if !holdings.has_on_parent(&message) {
                let message = RouteNetlinkMessage::DelAddress(message);
                if let Err(error) = holdings.netlink.change((message, 0)) {
                    debug!("cannot remove an address left behind: {error}");
                }
            }
        }
        holdings.discard_leftovers();
        for index in strays {
            if let Err(error) = devices::delete(&holdings.netlink, index) {
                warn!("cannot remove a device left behind: {error}");
            }
        }
        holdings.attached.sweep(&holdings.netlink);
    }
}

impl From<Found> for Held {
    fn from(found: Found) -> Self {
        let leased = Leased {
            place: Place::Device,
            addresses: found.addresses,
            until: found.until,
            is_deaf: false,
        };
        Self {
            device: Some(found.device),
            leased: (found.is_master || !leased.addresses.is_empty()).then_some(leased),
            is_leftover: true,
            ..Self::default()
        }
    }
}

impl Holdings {
    /// Removes everything that the previous instance left and of which nothing is known.
    pub(super) fn remove_everything(&mut self) {
        self.interfaces.clear();
        if let Err(error) = devices::delete_all(&self.netlink) {
            warn!("cannot remove devices left behind: {error}");
        }
        if let Err(error) = addresses::sweep(&self.netlink) {
            warn!("cannot remove addresses left behind: {error}");
        }
        self.attached.detach_all(&self.netlink);
    }

    /// Sets the sysctls of a MASTER's device that differ: another version of carpd may have set fewer.
    fn update_sysctls(&mut self, unit: Unit, report: &DeviceReport) {
        let Some(held) = self.held(unit) else {
            return;
        };
        for (sysctl, value) in held.sysctls() {
            // arp_ignore depends on the place of the addresses, which is known when they are taken.
            let differs = report.sysctl(sysctl).is_some_and(|found| found != value);
            if differs && sysctl != Sysctl::ArpIgnore {
                self.set(report.index, &unit.to_string(), sysctl, value);
            }
        }
    }

    /// Removes the devices of carp interfaces that no work has asked for.
    fn discard_leftovers(&mut self) {
        let mut leftovers = Vec::new();
        let mut has_others = false;
        for (unit, held) in &mut self.interfaces {
            if core::mem::take(&mut held.is_leftover) {
                leftovers.push(*unit);
            }
            has_others |= leftovers.last() != Some(unit) || held.is_master_on_parent();
        }
        // All at once if possible: one by one takes longer.
        if !has_others && !leftovers.is_empty() {
            self.interfaces.clear();
            if let Err(error) = devices::delete_all(&self.netlink) {
                warn!("cannot remove devices left behind: {error}");
            }
        }
        for unit in leftovers {
            let Some(held) = self.held(unit) else {
                continue;
            };
            let is_master_on_device = held.is_master_on_device();
            let Some(index) = held.device.as_ref().map(|device| device.index) else {
                continue;
            };
            if is_master_on_device {
                self.leave(unit);
            }
            self.discard(unit, index);
        }
    }

    /// Returns true if the address belongs to a carp interface with addresses on this physical
    /// interface.
    fn has_on_parent(&self, message: &AddressMessage) -> bool {
        let parent = Place::Parent(IfIndex(message.header.index));
        let Some(DeviceAddress { address, .. }) = addresses::own(message) else {
            return false;
        };
        self.interfaces.values().any(|held| {
            held.leased.as_ref().is_some_and(|leased| {
                let has_address = |each: &VirtualAddress| each.address == address;
                leased.place == parent && leased.addresses.iter().any(has_address)
            })
        })
    }
}

/// Returns the end of the lease of an address.
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
