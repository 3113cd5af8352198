//! Setting devices and addresses back that other programs have changed, and naming that in the log.
//!
//! **Invariant:** an address that is put back ends when its lease would have ended. Only the protocol
//! decides that this host is still MASTER, and renews the lease.

use core::time::Duration;
use std::collections::BTreeMap;

use carp_proto::{Place, Unit, VirtualAddress};
use netlink_packet_route::link::{LinkFlags, MacVlanMode};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::device_report::DeviceReport;
use super::held::{Device, Held, seconds_left};
use super::holdings::Holdings;
use super::netlink_error::NetlinkError;
use super::sightings::{Sighting, Sightings, Suspect};
use super::sysctl::Sysctl;
use super::{addresses, devices};
use crate::clock::Clock;

/// Time in which sightings are collected, this process's own changes among them.
const COLLECTION_TIME: Duration = Duration::from_millis(10);

/// An interface with a smaller MTU has no IPv6 (RFC 8200 §5), nor the sysctls for it.
const MIN_IPV6_MTU: u32 = 1280;

/// Carp interfaces that are to be checked.
#[derive(Debug, Default)]
pub(super) struct Mending {
    sightings: Sightings,
    suspects: BTreeMap<Unit, Suspect>,
    /// `None` if there is nothing to check.
    due: Option<Instant>,
}

impl Mending {
    /// Has the carp interfaces checked that a sighting is about.
    pub(super) fn add(&mut self, sighting: &Sighting) {
        self.sightings.add(sighting);
        self.wake();
    }

    /// Has all addresses of a carp interface checked.
    pub(super) fn suspect(&mut self, unit: Unit) {
        self.wake();
        self.suspects.entry(unit).or_default().all_addresses = true;
    }

    /// Forgets a carp interface that does not exist any more.
    pub(super) fn forget(&mut self, unit: Unit) {
        self.suspects.remove(&unit);
    }

    /// Waits until a carp interface is to be checked. Cancel safe.
    pub(super) async fn due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => core::future::pending().await,
        }
    }

    /// Checks one carp interface, and sets back what other programs have changed.
    pub(super) fn mend(&mut self, holdings: &mut Holdings) {
        if self.suspects.is_empty() {
            self.find_suspects(holdings);
        }
        let Some((unit, mut suspect)) = self.suspects.pop_first() else {
            self.due = None;
            return;
        };
        if suspect.device {
            match holdings.mend_device(unit) {
                Ok(may_lack_addresses) => suspect.all_addresses |= may_lack_addresses,
                Err(error) => debug!("{unit}: cannot check the device: {error}"),
            }
        }
        holdings.mend_addresses(unit, &suspect);
    }

    fn wake(&mut self) {
        self.due
            .get_or_insert_with(|| Instant::now() + COLLECTION_TIME);
    }

    fn find_suspects(&mut self, holdings: &Holdings) {
        let sightings = core::mem::take(&mut self.sightings);
        let found = holdings.interfaces.iter().filter_map(|(unit, held)| {
            let suspect = sightings.suspect(held)?;
            Some((*unit, suspect))
        });
        self.suspects.extend(found);
    }
}

impl Holdings {
    /// Returns true if the device may have lost addresses together with its state.
    fn mend_device(&mut self, unit: Unit) -> Result<bool, NetlinkError> {
        let Some(device) = self.device(unit) else {
            return Ok(false);
        };
        let mut found = BTreeMap::new();
        self.netlink
            .links_numbered([device.parent.0, device.index], |link| {
                found.insert(link.header.index, DeviceReport::of(link));
            })?;
        let Some(parent) = found.remove(&device.parent.0) else {
            // The device is gone with the physical interface, which the monitor reports.
            return Ok(false);
        };
        let Some(report) = found.remove(&device.index) else {
            let what = "another program has deleted the device: made anew";
            self.log.warn(&unit.to_string(), "device", &what);
            self.remake(unit, &device);
            return Ok(false);
        };
        if parent.mtu >= MIN_IPV6_MTU && report.mtu < MIN_IPV6_MTU {
            // With a larger MTU it would send before its sysctls can be set.
            devices::delete(&self.netlink, device.index)?;
            self.remake(unit, &device);
            return Ok(false);
        }
        if let Some(device) = &mut self.held_mut(unit).device {
            device.parent_name.clone_from(&parent.name);
        }
        self.set_back(unit, &device, &report)?;
        if report.mtu != parent.mtu {
            self.netlink
                .change(devices::set_mtu(device.index, parent.mtu))?;
        }
        Ok(!report.is_up())
    }

    /// Sets name, MAC, state and mode of a device back.
    fn set_back(
        &mut self,
        unit: Unit,
        device: &Device,
        report: &DeviceReport,
    ) -> Result<(), NetlinkError> {
        let name = unit.to_string();
        let is_master = self.held(unit).is_some_and(Held::is_master_on_device);
        if report.name != name {
            let what = format!(
                "another program has renamed the device to {}: set back",
                report.name
            );
            self.log.warn(&name, "name", &what);
            self.netlink.change(devices::rename(device.index, &name))?;
        }
        if report.mac != Some(device.mac) {
            let what = "another program has changed the device's MAC: set back";
            self.log.warn(&name, "mac", &what);
            self.netlink
                .change(devices::set_mac(device.index, device.mac))?;
        }
        if is_master && !report.is_up() {
            let what = "another program has taken the device down: up again";
            self.log.warn(&name, "down", &what);
            self.netlink.change(devices::up(device.index))?;
        }
        self.set_flags_back(&name, report)?;
        let mode = if is_master {
            MacVlanMode::Bridge
        } else {
            MacVlanMode::Source
        };
        if report.mode != Some(mode) {
            let what = "another program has changed the device's mode: set back";
            self.log.warn(&name, "mode", &what);
            self.netlink.change(if is_master {
                devices::hear(device.index)
            } else {
                devices::deafen(device.index)
            })?;
        }
        Ok(())
    }

    /// Sets everything else back that keeps a device from answering.
    fn set_flags_back(&mut self, name: &str, report: &DeviceReport) -> Result<(), NetlinkError> {
        let index = report.index;
        if report.flags.contains(LinkFlags::Noarp) {
            let what = "another program has turned the device's ARP off: on again";
            self.log.warn(name, "arp", &what);
            self.netlink.change(devices::use_arp(index))?;
        }
        if !report.flags.contains(LinkFlags::Multicast) {
            let what = "another program has turned the device's multicast off: on again";
            self.log.warn(name, "multicast", &what);
            self.netlink.change(devices::use_multicast(index))?;
        }
        if report.is_protodown {
            let what = "another program has set the device's protodown: ended";
            self.log.warn(name, "protodown", &what);
            self.netlink.change(devices::end_protodown(index))?;
        }
        if let Some(master) = report.master {
            let mut is_vrf = false;
            self.netlink.links_numbered([master], |link| {
                is_vrf = DeviceReport::of(link).table.is_some();
            })?;
            // The physical interface may be in the VRF, too.
            if !is_vrf {
                let what = "another program has made the device another's port: taken out";
                self.log.warn(name, "master", &what);
                self.netlink.change(devices::release(index))?;
            }
        }
        Ok(())
    }

    fn remake(&mut self, unit: Unit, device: &Device) {
        let leased = self.held_mut(unit).leased.take();
        self.ensure(unit, device.parent, device.mac);
        if let Some(leased) = leased {
            self.take(unit, leased.place, leased.addresses, leased.until);
        }
    }

    fn mend_addresses(&mut self, unit: Unit, suspect: &Suspect) {
        let Some(held) = self.held(unit) else { return };
        let Some(leased) = held.leased.clone() else {
            return;
        };
        let Some(index) = held.index_at(leased.place) else {
            return;
        };
        let mut missing = Vec::new();
        for address in &leased.addresses {
            if !suspect.all_addresses && !suspect.addresses.contains(&address.address) {
                continue;
            }
            // The kernel took an address that was not renewed: that is the purpose of leases.
            let lease = seconds_left(leased.until, Clock.now().instant);
            if lease == 0 {
                break;
            }
            match self.put_back(unit, index, leased.place, *address, lease) {
                Ok(true) => missing.push(address.address),
                Ok(false) => {}
                Err(error) => debug!("{unit}: cannot put {} back: {error}", address.address),
            }
        }
        if suspect.all_addresses {
            self.settle_routes(unit);
        }
        if let Some((first, rest)) = missing.split_first() {
            let others = match rest.len() {
                0 => String::new(),
                count => format!(" and {count} more"),
            };
            let what = format!(
                "another program has removed {first}{others}: put back, but not others' routes by way \
                 of it"
            );
            self.log.warn(&unit.to_string(), "address", &what);
        }
    }

    /// Returns true if the address was missing.
    fn put_back(
        &mut self,
        unit: Unit,
        index: u32,
        place: Place,
        address: VirtualAddress,
        lease: u32,
    ) -> Result<bool, NetlinkError> {
        let placed = self.placed(unit, place, address);
        let result = addresses::add(&self.netlink, index, placed, lease);
        match (place, &result) {
            // Disabling IPv6 takes addresses away, and the kernel then refuses new ones.
            (Place::Device | Place::SilentDevice, Err(error)) if error.errno == libc::EACCES => {
                self.set_sysctl_back(index, &unit.to_string(), Sysctl::DisableIpv6, 0);
                addresses::add(&self.netlink, index, placed, lease)
            }
            _ => result,
        }
    }

    /// Sets a sysctl of a device back, and names that in the log unless carpd could not set it before.
    pub(super) fn set_sysctl_back(&mut self, index: u32, name: &str, sysctl: Sysctl, value: i32) {
        if !self.is_unsettable(sysctl) {
            let what = format!(
                "another program has changed {}: set back to {value}",
                sysctl.name(name)
            );
            self.log.warn(name, sysctl.key(), &what);
        }
        self.set(index, name, sysctl, value);
    }
}
