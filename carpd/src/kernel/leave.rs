//! Ceasing to be MASTER: a device becomes deaf and loses its addresses. Nothing here is slow, and no
//! frame is sent.

use std::collections::BTreeSet;

use carp_proto::{Place, Unit, VirtualAddress};
use tracing::warn;

use super::held::is_v4;
use super::holdings::Holdings;
use super::netlink_error::NetlinkError;
use super::sysctl::Sysctl;
use super::{addresses, devices};

impl Holdings {
    /// Takes the addresses of a carp interface away. Its device becomes deaf before that.
    pub(super) fn leave(&mut self, unit: Unit) {
        let Some(held) = self.interfaces.get_mut(&unit) else {
            return;
        };
        let Some(leased) = held.leased.take() else {
            return;
        };
        let Some(index) = held.index_at(leased.place) else {
            return;
        };
        let (v4, v6) = by_family(leased.addresses);
        if let Place::Parent(_) = leased.place {
            self.take_away_all(unit, index, leased.place, v4.iter().chain(&v6));
            return;
        }
        let mut changes = Vec::new();
        if !leased.is_deaf {
            changes.extend([devices::mute(index), devices::deafen(index)]);
        }
        changes.extend(
            v4.iter()
                .map(|each| addresses::take_away(index, self.placed(unit, leased.place, *each))),
        );
        let mut answers = self.netlink.change_all(changes).into_iter();
        if !leased.is_deaf
            // The answer to muting it.
            && answers.next().is_some()
            && let Some(Err(error)) = answers.next().map(devices::gone_is_fine)
        {
            warn!("{unit}: cannot make the device deaf: {error}");
        }
        for (address, answer) in v4.iter().zip(answers) {
            report(unit, *address, answer);
        }
        // This takes all IPv6 addresses away at once. If they were deleted one by one, the kernel would
        // send multicast listener reports with the virtual MAC, which is another host's by then.
        let held = self.held_mut(unit);
        if !held.is_ipv6_off {
            held.is_ipv6_off = Sysctl::DisableIpv6.write(&unit.to_string(), 1).is_ok();
        }
        if !held.is_ipv6_off {
            self.take_away_all(unit, index, leased.place, v6.iter());
        }
    }

    /// Makes the devices deaf of all that are about to leave, so that none answers while the addresses
    /// of the others are taken away.
    pub(super) fn deafen_all(&mut self, leavers: &BTreeSet<Unit>) {
        let mut changes = Vec::new();
        let mut units = Vec::new();
        for unit in leavers {
            if let Some(held) = self.held(*unit)
                && held.hears()
                && let Some(device) = &held.device
            {
                changes.extend([devices::mute(device.index), devices::deafen(device.index)]);
                units.push(*unit);
            }
        }
        let answers = self.netlink.change_all(changes).into_iter();
        for (unit, answer) in units.into_iter().zip(answers.skip(1).step_by(2)) {
            // A device that is not deaf now is made so when it leaves.
            if let (Ok(()), Some(leased)) = (answer, &mut self.held_mut(unit).leased) {
                leased.is_deaf = true;
            }
        }
    }

    /// Takes the IPv4 addresses of these leavers away together, if their devices are deaf.
    pub(super) fn strip_all(&mut self, leavers: &[Unit]) {
        let mut changes = Vec::new();
        let mut stripped = Vec::new();
        for unit in leavers {
            let Some(held) = self.interfaces.get_mut(unit) else {
                continue;
            };
            if !held.is_deaf_with_ipv4() {
                continue;
            }
            let (Some(device), Some(leased)) = (&held.device, &mut held.leased) else {
                continue;
            };
            let index = device.index;
            let (v4, v6) = by_family(core::mem::take(&mut leased.addresses));
            leased.addresses = v6;
            for address in v4 {
                let placed = self.placed(*unit, Place::Device, address);
                changes.push(addresses::take_away(index, placed));
                stripped.push((*unit, address));
            }
        }
        let answers = self.netlink.change_all(changes);
        for ((unit, address), answer) in stripped.into_iter().zip(answers) {
            report(unit, address, answer);
        }
    }

    /// Takes these addresses away, with the routes that the kernel would leave.
    pub(super) fn take_away_all<'a>(
        &self,
        unit: Unit,
        index: u32,
        place: Place,
        addresses: impl Iterator<Item = &'a VirtualAddress> + Clone,
    ) {
        let changes = addresses
            .clone()
            .map(|address| addresses::take_away(index, self.placed(unit, place, *address)))
            .collect();
        let answers = self.netlink.change_all(changes);
        for (address, answer) in addresses.clone().zip(answers) {
            report(unit, *address, answer);
        }
        self.remove_routes(unit, index, addresses);
    }
}

/// Splits addresses into IPv4 and IPv6, the last first: the kernel then has no secondary address to
/// promote.
fn by_family(addresses: Vec<VirtualAddress>) -> (Vec<VirtualAddress>, Vec<VirtualAddress>) {
    addresses.into_iter().rev().partition(is_v4)
}

fn report(unit: Unit, address: VirtualAddress, taken_away: Result<(), NetlinkError>) {
    if let Err(error) = addresses::is_away(taken_away) {
        warn!("{unit}: cannot take {} away: {error}", address.address);
    }
}
