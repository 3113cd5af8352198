//! From the protocol's types to the bus's: every field and every variant, none passed over.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use carp_dbus::properties::Source;
use carp_dbus::{AddressInfo, Error, MasterInfo, TransitionInfo};
use carp_proto::{
    AddressStatus, Counters, Peer, Refusal, RefusalKind, StateName, Status, Transition, UnixTime,
    Vhid,
};

/// A carp interface as the bus shows it.
#[derive(Clone, Debug)]
pub(super) struct View(pub(super) Arc<Status>);

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

    /// A `carpdev` that was named is shown only once there is such a device.
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

/// The text of a value; empty while there is none.
fn text(value: Option<impl fmt::Display>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Counters by their names.
pub(super) fn statistics(counters: &Counters) -> BTreeMap<String, u64> {
    counters
        .iter()
        .map(|(counter, value)| (counter.name().to_owned(), value))
        .collect()
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

fn transition(transition: &Transition) -> TransitionInfo {
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
