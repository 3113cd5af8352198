//! Sightings: changes of devices and addresses that may concern this process, whichever program has
//! made them.

use core::net::IpAddr;
use std::collections::BTreeSet;

use carp_proto::{DeviceAddress, IfIndex};

use super::held::{Device, Held};

/// One change that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sighting {
    /// The device with this number has lost an address.
    AddressGone(u32, IpAddr),
    /// The device with this number has changed or is gone.
    Device(u32),
    /// A physical interface has another name or MTU.
    Parent(IfIndex),
    /// A physical interface has these own addresses that are usable.
    Own(IfIndex, Vec<DeviceAddress>),
    /// Another program's macvlan with this number is on this physical interface and has this name;
    /// `None` if it is gone.
    Guest(u32, Option<(IfIndex, String)>),
    /// Changes were lost, so that everything may have changed.
    Anything,
}

/// Sightings that are not looked at yet: looking at thousands together takes one walk.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    gone: BTreeSet<(u32, IpAddr)>,
    devices: BTreeSet<u32>,
    parents: BTreeSet<IfIndex>,
    anything: bool,
}

/// Checks that a carp interface needs.
#[derive(Debug, Default)]
pub(super) struct Suspect {
    pub(super) device: bool,
    pub(super) all_addresses: bool,
    pub(super) addresses: BTreeSet<IpAddr>,
}

impl Sightings {
    /// Adds a sighting. [`Sighting::Own`] and [`Sighting::Guest`] make no carp interface suspect.
    pub(super) fn add(&mut self, sighting: &Sighting) {
        match *sighting {
            Sighting::AddressGone(index, address) => {
                self.gone.insert((index, address));
            }
            Sighting::Device(index) => {
                self.devices.insert(index);
            }
            Sighting::Parent(index) => {
                self.parents.insert(index);
            }
            Sighting::Own(..) | Sighting::Guest(..) => {}
            Sighting::Anything => self.anything = true,
        }
    }

    /// Returns what is to be checked of a carp interface; `None` if nothing.
    pub(super) fn suspect(&self, held: &Held) -> Option<Suspect> {
        let seen = |device: &Device| {
            self.devices.contains(&device.index) || self.parents.contains(&device.parent)
        };
        let addresses = held.leased.as_ref().and_then(|leased| {
            let on = held.index_at(leased.place)?;
            let addresses = leased.addresses.iter().map(|each| each.address);
            Some(addresses.filter(move |each| self.gone.contains(&(on, *each))))
        });
        let suspect = Suspect {
            device: self.anything || held.device.as_ref().is_some_and(seen),
            all_addresses: self.anything,
            addresses: addresses.into_iter().flatten().collect(),
        };
        (suspect.device || !suspect.addresses.is_empty()).then_some(suspect)
    }
}
