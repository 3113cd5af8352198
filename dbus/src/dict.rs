//! The properties of `org.carpd1.Interface` as they travel: `a{sv}` from and to [`InterfaceInfo`].
//!
//! One table says everything of every property, so that what is read, what is written and what is
//! announced cannot disagree.

use std::collections::{BTreeMap, HashMap};

use zbus::{OwnedVariant, Variant};

use crate::proxy::EventRow;
use crate::types::{AddressInfo, EventInfo, InterfaceInfo, MasterInfo, TransitionInfo};

/// Properties as they are received.
pub type Properties = HashMap<String, OwnedVariant>;

/// Properties as they are sent.
pub type Dictionary = BTreeMap<&'static str, Variant<'static>>;

/// One property of `org.carpd1.Interface`.
struct Property {
    name: &'static str,
    get: fn(&InterfaceInfo) -> Variant<'static>,
    set: fn(&mut InterfaceInfo, OwnedVariant) -> zbus::Result<()>,
    /// Whether `PropertiesChanged` must tell the one after the other.
    differs: fn(&InterfaceInfo, &InterfaceInfo) -> bool,
}

/// A property that is one field, converted by `Into` and `TryInto`, and always announced.
macro_rules! plain {
    ($name:literal, $field:ident) => {
        Property {
            name: $name,
            get: |info| info.$field.clone().into(),
            set: |info, value| {
                info.$field = value.try_into()?;
                Ok(())
            },
            differs: |one, other| one.$field != other.$field,
        }
    };
}

const PROPERTIES: [Property; 22] = [
    plain!("Name", name),
    plain!("State", state),
    plain!("Up", up),
    plain!("Running", running),
    plain!("Reason", reason),
    plain!("Vhid", vhid),
    plain!("AdvBase", advbase),
    plain!("AdvSkew", advskew),
    plain!("EffectiveAdvSkew", effective_advskew),
    plain!("Demotion", demotion),
    plain!("Device", carpdev),
    plain!("LinkLayerAddress", lladdr),
    plain!("LinkLayer", link_layer),
    plain!("Mtu", mtu),
    plain!("Description", description),
    plain!("HasPassword", has_password),
    Property {
        name: "Addresses",
        get: |info| address_rows(info).into(),
        set: |info, value| {
            info.set_addresses(value.try_into()?);
            Ok(())
        },
        differs: |one, other| one.addresses != other.addresses,
    },
    Property {
        name: "Master",
        get: |info| master_row(info).into(),
        set: |info, value| {
            info.set_master(value.try_into()?);
            Ok(())
        },
        differs: |one, other| {
            let who = |info: &InterfaceInfo| {
                let (source, advbase, advskew, _) = master_row(info);
                (source, advbase, advskew)
            };
            who(one) != who(other)
        },
    },
    Property {
        name: "LastTransition",
        get: |info| transition_row(info).into(),
        set: |info, value| {
            info.set_last_transition(value.try_into()?);
            Ok(())
        },
        differs: |one, other| one.last_transition != other.last_transition,
    },
    plain!("MasterDownTime", master_down_time),
    Property {
        differs: |_, _| false,
        ..plain!("Advertised", advertised)
    },
    Property {
        differs: |_, _| false,
        ..plain!("Statistics", statistics)
    },
];

/// One of `Addresses`: address, prefix length, backing address, flags.
pub type AddressRow = (String, u8, String, String);

/// `Master`: source, advbase, advskew, when heard.
pub type MasterRow = (String, u8, u8, u64);

/// `LastTransition`: time, from, to, reason.
pub type TransitionRow = (u64, String, String, String);

impl From<AddressInfo> for AddressRow {
    fn from(address: AddressInfo) -> Self {
        let AddressInfo {
            address,
            prefixlen,
            backing,
            flags,
        } = address;
        (address, prefixlen, backing, flags)
    }
}

impl From<MasterInfo> for MasterRow {
    fn from(master: MasterInfo) -> Self {
        let MasterInfo {
            source,
            advbase,
            advskew,
            heard,
        } = master;
        (source, advbase, advskew, heard)
    }
}

impl From<TransitionInfo> for TransitionRow {
    fn from(transition: TransitionInfo) -> Self {
        let TransitionInfo {
            time,
            from,
            to,
            reason,
        } = transition;
        (time, from, to, reason)
    }
}

/// The value of the property `Addresses`.
#[must_use]
pub fn address_rows(info: &InterfaceInfo) -> Vec<AddressRow> {
    info.addresses.iter().cloned().map(Into::into).collect()
}

/// The value of the property `Master`; an empty source while there is none.
#[must_use]
pub fn master_row(info: &InterfaceInfo) -> MasterRow {
    info.master.clone().unwrap_or_default().into()
}

/// The value of the property `LastTransition`; empty states before the first.
#[must_use]
pub fn transition_row(info: &InterfaceInfo) -> TransitionRow {
    info.last_transition.clone().unwrap_or_default().into()
}

impl InterfaceInfo {
    /// Every property with its value.
    #[must_use]
    pub fn properties(&self) -> Dictionary {
        PROPERTIES
            .iter()
            .map(|property| (property.name, (property.get)(self)))
            .collect()
    }

    /// The properties that `PropertiesChanged` must tell to somebody who knows `before`.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> Dictionary {
        PROPERTIES
            .iter()
            .filter(|property| (property.differs)(self, before))
            .map(|property| (property.name, (property.get)(self)))
            .collect()
    }

    /// An interface with these properties. Unknown ones are passed over and missing ones empty,
    /// so that either side may be newer.
    #[must_use]
    pub fn from_properties(properties: Properties) -> Self {
        let mut info = Self::default();
        info.apply(properties);
        info
    }

    /// Takes over changed properties; unknown ones, and values of another type than ours, are
    /// passed over.
    pub fn apply(&mut self, mut properties: Properties) {
        for property in &PROPERTIES {
            if let Some(value) = properties.remove(property.name) {
                // A value of a type that we do not know leaves the field as it was.
                let _unreadable = (property.set)(self, value).is_err();
            }
        }
    }

    pub(crate) fn set_addresses(&mut self, rows: Vec<AddressRow>) {
        let row = |(address, prefixlen, backing, flags)| AddressInfo {
            address,
            prefixlen,
            backing,
            flags,
        };
        self.addresses = rows.into_iter().map(row).collect();
    }

    pub(crate) fn set_master(&mut self, (source, advbase, advskew, heard): MasterRow) {
        self.master = (!source.is_empty()).then_some(MasterInfo {
            source,
            advbase,
            advskew,
            heard,
        });
    }

    pub(crate) fn set_last_transition(&mut self, (time, from, to, reason): TransitionRow) {
        self.last_transition = (!to.is_empty()).then_some(TransitionInfo {
            time,
            from,
            to,
            reason,
        });
    }
}

impl From<EventRow> for EventInfo {
    fn from((number, time, interface, kind, text, details): EventRow) -> Self {
        let details = details
            .into_iter()
            .map(|(name, value)| {
                let text = String::try_from(value.clone()).unwrap_or_else(|_| value.to_string());
                (name, text)
            })
            .collect();
        Self {
            number,
            time,
            interface,
            kind,
            text,
            details,
        }
    }
}

/// An event as it travels: `(ttsssa{sv})`.
pub type EventTuple = (
    u64,
    u64,
    String,
    String,
    String,
    BTreeMap<String, Variant<'static>>,
);

impl From<&EventInfo> for EventTuple {
    fn from(event: &EventInfo) -> Self {
        let details = event
            .details
            .iter()
            .map(|(name, value)| (name.clone(), Variant::from(value.clone())))
            .collect();
        let EventInfo {
            number,
            time,
            interface,
            kind,
            text,
            details: _,
        } = event.clone();
        (number, time, interface, kind, text, details)
    }
}

/// A number out of any of D-Bus's integer types or a boolean.
#[must_use]
pub fn number(value: &Variant<'_>) -> Option<u64> {
    match value {
        Variant::U8(number) => Some(u64::from(*number)),
        Variant::Bool(yes) => Some(u64::from(*yes)),
        Variant::I16(number) => u64::try_from(*number).ok(),
        Variant::U16(number) => Some(u64::from(*number)),
        Variant::I32(number) => u64::try_from(*number).ok(),
        Variant::U32(number) => Some(u64::from(*number)),
        Variant::I64(number) => u64::try_from(*number).ok(),
        Variant::U64(number) => Some(*number),
        Variant::Variant(inner) => number(inner),
        Variant::F64(_)
        | Variant::Str(_)
        | Variant::Signature(_)
        | Variant::ObjectPath(_)
        | Variant::Array(_)
        | Variant::Dict(_)
        | Variant::Structure(_)
        | Variant::Fd(_) => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn everything() -> InterfaceInfo {
        InterfaceInfo {
            name: "carp0".to_owned(),
            state: "BACKUP".to_owned(),
            up: true,
            running: true,
            reason: "eth0 has no carrier".to_owned(),
            vhid: 7,
            advbase: 1,
            advskew: 100,
            effective_advskew: 240,
            demotion: 1,
            carpdev: "eth0".to_owned(),
            lladdr: "00:00:5e:00:01:07".to_owned(),
            link_layer: "virtual".to_owned(),
            mtu: 1500,
            description: "the gateway".to_owned(),
            has_password: true,
            addresses: vec![AddressInfo {
                address: "192.0.2.1".to_owned(),
                prefixlen: 24,
                backing: "192.0.2.10".to_owned(),
                flags: "A".to_owned(),
            }],
            master: Some(MasterInfo {
                source: "192.0.2.11".to_owned(),
                advbase: 1,
                advskew: 0,
                heard: 1_700_000_000_000_000,
            }),
            advertised: 5,
            master_down_time: 3_390_625,
            last_transition: Some(TransitionInfo {
                time: 9,
                from: "INIT".to_owned(),
                to: "BACKUP".to_owned(),
                reason: "became-runnable".to_owned(),
            }),
            statistics: BTreeMap::from([("ipackets".to_owned(), 3)]),
        }
    }

    fn received(sent: Dictionary) -> Properties {
        sent.into_iter()
            .map(|(name, value)| (name.to_owned(), value.try_into_owned().unwrap()))
            .collect()
    }

    #[test]
    fn an_interface_survives_the_journey_as_properties() {
        let info = everything();
        let properties = received(info.properties());
        assert_eq!(properties.len(), PROPERTIES.len());
        assert_eq!(InterfaceInfo::from_properties(properties), info);
    }

    #[test]
    fn unknown_properties_and_types_are_passed_over() {
        let mut properties = received(everything().properties());
        properties.insert(
            "Colour".to_owned(),
            Variant::from("green").try_into_owned().unwrap(),
        );
        properties.insert(
            "Vhid".to_owned(),
            Variant::from("seven").try_into_owned().unwrap(),
        );
        let read = InterfaceInfo::from_properties(properties);
        assert_eq!(
            read,
            InterfaceInfo {
                vhid: 0,
                ..everything()
            }
        );
    }

    #[test]
    fn only_what_changed_is_told_and_counters_never_are() {
        let before = everything();
        let mut after = everything();
        after.state = "MASTER".to_owned();
        after.advertised = 99;
        after.statistics.insert("ipackets".to_owned(), 4);
        if let Some(master) = &mut after.master {
            master.heard += 1;
        }
        let changes = after.changed_since(&before);
        assert_eq!(changes.keys().copied().collect::<Vec<_>>(), ["State"]);

        after.master = None;
        let mut known = before.clone();
        known.apply(received(after.changed_since(&before)));
        assert_eq!((known.state.as_str(), known.master), ("MASTER", None));
    }

    #[test]
    fn a_number_may_come_in_any_integer_type() {
        assert_eq!(number(&Variant::from(1u8)), Some(1));
        assert_eq!(number(&Variant::from(true)), Some(1));
        assert_eq!(number(&Variant::from(7i32)), Some(7));
        assert_eq!(number(&Variant::from(-7i64)), None);
        assert_eq!(number(&Variant::from("7")), None);
    }
}
