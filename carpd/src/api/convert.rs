//! From the protocol's types to the bus's: every field and every variant, none passed over.

use carp_dbus::{AddressInfo, Error, InterfaceInfo, MasterInfo, TransitionInfo};
use carp_proto::{
    AddressStatus, Counters, DeviceName, IfIndex, LinkLayer, Peer, Refusal, RefusalKind, StateName,
    Status, Transition, UnixTime, Vhid,
};
use std::collections::BTreeMap;
use std::fmt;

/// A carp interface as the bus shows it.
pub(super) fn interface(status: &Status) -> InterfaceInfo {
    InterfaceInfo {
        statistics: statistics(&status.counters),
        ..told(status)
    }
}

/// The same without its counters, of which nobody is told, and which are the greater part of it.
pub(super) fn told(status: &Status) -> InterfaceInfo {
    let Status {
        unit,
        state,
        up,
        running,
        obstacle,
        vhid,
        advbase,
        advskew,
        effective_advskew,
        demotion,
        device,
        // The name that was asked for is shown only once there is such a device.
        carpdev: _,
        lladdr,
        mac,
        mtu,
        addresses,
        has_password,
        description,
        master,
        advertised,
        master_down_micros,
        last_transition,
        counters: _,
    } = status;
    InterfaceInfo {
        name: unit.to_string(),
        state: state.text().to_owned(),
        up: *up,
        running: *running,
        reason: text_of(obstacle.as_ref()),
        vhid: vhid_number(*vhid),
        advbase: *advbase,
        advskew: *advskew,
        effective_advskew: *effective_advskew,
        demotion: *demotion,
        carpdev: device_name(device.as_ref()).to_owned(),
        lladdr: text_of(*mac),
        link_layer: link_layer(*lladdr).to_owned(),
        mtu: *mtu,
        description: description.clone(),
        has_password: *has_password,
        addresses: addresses.iter().map(address).collect(),
        master: master.as_ref().map(master_info),
        advertised: micros(*advertised),
        master_down_time: *master_down_micros,
        last_transition: last_transition.as_ref().map(transition),
        statistics: BTreeMap::new(),
    }
}

/// A vhid; 0 while there is none.
pub(super) fn vhid_number(vhid: Option<Vhid>) -> u8 {
    vhid.map_or(0, Vhid::get)
}

/// The name of a physical interface; empty while there is none.
pub(super) fn device_name(device: Option<&(IfIndex, DeviceName)>) -> &str {
    device.map_or("", |(_, name)| name.as_str())
}

/// What is shown of something; empty while there is none.
pub(super) fn text_of(shown: Option<impl fmt::Display>) -> String {
    shown.map(|shown| shown.to_string()).unwrap_or_default()
}

/// Microseconds since 1970; 0 for never.
pub(super) fn micros(time: Option<UnixTime>) -> u64 {
    time.map_or(0, UnixTime::micros)
}

/// Counters by their names.
pub(super) fn statistics(counters: &Counters) -> BTreeMap<String, u64> {
    counters
        .iter()
        .map(|(counter, value)| (counter.name().to_owned(), value))
        .collect()
}

/// The same where only what is sent is wanted.
pub(super) fn counters(counters: &Counters) -> Vec<(&'static str, u64)> {
    counters
        .iter()
        .map(|(counter, value)| (counter.name(), value))
        .collect()
}

/// `virtual` or `parent`, as in `ifconfig carp0 lladdr …`.
pub(super) const fn link_layer(lladdr: LinkLayer) -> &'static str {
    match lladdr {
        LinkLayer::Virtual => "virtual",
        LinkLayer::Parent => "parent",
    }
}

/// The number of a state in `struct carpreq`, as `CARP_STATES` counts them.
pub(super) fn state_number(state: &str) -> i32 {
    [StateName::Init, StateName::Backup, StateName::Master]
        .iter()
        .zip(0..)
        .find_map(|(name, number)| (name.text() == state).then_some(number))
        .unwrap_or_default()
}

/// A refusal under its name on the bus.
pub(super) fn refusal(Refusal { kind, message }: Refusal) -> Error {
    match kind {
        RefusalKind::Exists => Error::Exists(message),
        RefusalKind::NotFound => Error::NotFound(message),
        RefusalKind::InvalidArgument => Error::InvalidArgument(message),
        RefusalKind::AddressNotAvailable => Error::AddressNotAvailable(message),
        RefusalKind::NoDevice => Error::NoDevice(message),
        RefusalKind::ReadOnly => Error::ReadOnly(message),
        RefusalKind::Busy => Error::Busy(message),
        RefusalKind::Kernel => Error::Failed(message),
    }
}

pub(super) fn address(status: &AddressStatus) -> AddressInfo {
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
        backing: text_of(*backing),
        flags: format!("{}{}", letter(*owner, "O"), letter(*active, "A")),
    }
}

pub(super) fn master_info(peer: &Peer) -> MasterInfo {
    // The demotion byte is told by the advertisement's effect alone.
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

pub(super) fn transition(transition: &Transition) -> TransitionInfo {
    // Whose advertisement it was is in the event, and where it was.
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
