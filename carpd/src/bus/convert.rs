//! Conversion of the protocol's types to those of the bus. Each struct is taken apart whole and each match
//! is exhaustive, so that no new field or variant is forgotten.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use carp_dbus::properties::Source;
use carp_dbus::{AddressInfo, EventInfo, MasterInfo, TransitionInfo};
use carp_proto::{AddressStatus, Counters, Peer, StateName, Status, Transition, UnixTime, Vhid};

use crate::events::Description;
use crate::snapshot::Snapshot;

/// Carp interface as the bus shows it.
#[derive(Clone, Debug)]
pub(super) struct View(pub(super) Arc<Status>);

impl View {
    /// Returns all carp interfaces in the order of their numbers.
    pub(super) fn all(snapshot: &Snapshot) -> Vec<Self> {
        snapshot.interfaces.values().cloned().map(Self).collect()
    }
}

impl Source for View {
    fn name(&self) -> Cow<'_, str> {
        self.0.unit.to_string().into()
    }

    fn state(&self) -> Cow<'_, str> {
        self.0.state.text().into()
    }

    fn up(&self) -> bool {
        self.0.up
    }

    fn running(&self) -> bool {
        self.0.running
    }

    fn reason(&self) -> Cow<'_, str> {
        text(self.0.obstacle.as_ref()).into()
    }

    fn warnings(&self) -> Vec<String> {
        let warnings = self.0.warnings.iter();
        warnings.map(ToString::to_string).collect()
    }

    fn vhid(&self) -> u8 {
        self.0.vhid.map_or(0, Vhid::get)
    }

    fn advbase(&self) -> u8 {
        self.0.advbase
    }

    fn advskew(&self) -> u8 {
        self.0.advskew
    }

    fn effective_advskew(&self) -> u8 {
        self.0.effective_advskew
    }

    fn demotion(&self) -> u8 {
        self.0.demotion
    }

    /// A configured `carpdev` is shown only while the device exists.
    fn carpdev(&self) -> Cow<'_, str> {
        let device = self.0.device.as_ref();
        device.map_or("", |(_, name)| name.as_str()).into()
    }

    fn lladdr(&self) -> Cow<'_, str> {
        text(self.0.mac).into()
    }

    fn link_layer(&self) -> Cow<'_, str> {
        self.0.lladdr.word().into()
    }

    fn mtu(&self) -> u32 {
        self.0.mtu
    }

    fn description(&self) -> Cow<'_, str> {
        self.0.description.as_str().into()
    }

    fn has_password(&self) -> bool {
        self.0.has_password
    }

    fn addresses(&self) -> Vec<AddressInfo> {
        self.0.addresses.iter().map(address).collect()
    }

    fn master(&self) -> MasterInfo {
        self.0.master.as_ref().map(master).unwrap_or_default()
    }

    fn advertised(&self) -> u64 {
        self.0.advertised.map_or(0, UnixTime::micros)
    }

    fn master_down_time(&self) -> u64 {
        self.0.master_down_micros
    }

    fn last_transition(&self) -> TransitionInfo {
        let last = self.0.last_transition.as_ref();
        last.map(transition).unwrap_or_default()
    }

    fn statistics(&self) -> BTreeMap<&str, u64> {
        let counters = self.0.counters.iter();
        counters
            .map(|(counter, value)| (counter.name(), value))
            .collect()
    }
}

/// Returns a value as text, or the empty string.
fn text(value: Option<impl fmt::Display>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Returns the counters by their names.
pub(super) fn statistics(counters: &Counters) -> BTreeMap<String, u64> {
    counters
        .iter()
        .map(|(counter, value)| (counter.name().to_owned(), value))
        .collect()
}

/// Returns the number of a state in `struct carpreq`: its place in `CARP_STATES`.
pub(super) fn state_number(state: &str) -> i32 {
    [StateName::Init, StateName::Backup, StateName::Master]
        .iter()
        .zip(0..)
        .find_map(|(name, number)| (name.text() == state).then_some(number))
        .unwrap_or_default()
}

/// Converts an event.
pub(super) fn event(number: u64, description: Description) -> EventInfo {
    let Description {
        at,
        unit,
        kind,
        text,
        details,
        level: _,
    } = description;
    let details = details.into_iter();
    EventInfo {
        number,
        time: at.micros(),
        interface: unit.map(|unit| unit.to_string()).unwrap_or_default(),
        kind: kind.to_owned(),
        text,
        details: details
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

fn address(status: &AddressStatus) -> AddressInfo {
    let AddressStatus {
        address,
        backing,
        owner,
        active,
    } = status;
    let letter = |set: bool, letter: &'static str| if set { letter } else { "" };
    AddressInfo {
        address: address.address.to_string(),
        prefixlen: address.prefix,
        backing: text(*backing),
        flags: format!("{}{}", letter(*owner, "O"), letter(*active, "A")),
    }
}

fn master(peer: &Peer) -> MasterInfo {
    // Clients see the effect of the demotion byte.
    let Peer {
        source,
        advbase,
        advskew,
        demotion: _,
        heard,
    } = peer;
    MasterInfo {
        source: source.to_string(),
        advbase: *advbase,
        advskew: *advskew,
        heard: heard.micros(),
    }
}

fn transition(transition: &Transition) -> TransitionInfo {
    // The event contains the peer and the device.
    let Transition {
        unit: _,
        vhid: _,
        device: _,
        at,
        from,
        to,
        reason,
        peer: _,
    } = transition;
    TransitionInfo {
        time: at.micros(),
        from: from.text().to_owned(),
        to: to.text().to_owned(),
        reason: reason.word().to_owned(),
    }
}
