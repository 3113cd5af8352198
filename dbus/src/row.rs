//! One interface's row of `ListInterfaces` or `ListProperties`, written and read as what it is: a dictionary of
//! variants for each of thousands of interfaces takes many times as long, most of it for memory.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use zbus::{Signature, Type, as_variant};

use crate::dict::{self, AddressRow, Dictionary, MasterRow, TransitionRow};
use crate::types::InterfaceInfo;

/// Which properties a row has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection(u32);

impl Selection {
    /// All of them.
    pub const ALL: Self = Self(u32::MAX);

    /// Those with these names; unknown ones are passed over.
    #[must_use]
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let bits = names.into_iter().filter_map(Self::bit);
        Self(bits.fold(0, |all, bit| all | bit))
    }

    /// Whether any of them may change without a signal.
    #[must_use]
    pub fn moves_on(self) -> bool {
        self.0 & Self::of(["Master", "Advertised", "Statistics"]).0 != 0
    }

    /// For each property of the table whether it is wanted.
    fn bits(self) -> impl Iterator<Item = bool> {
        (0..u32::BITS).map(move |place| self.0 >> place & 1 != 0)
    }

    fn bit(name: &str) -> Option<u32> {
        dict::position(name).map(|place| 1 << place)
    }
}

/// A row to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// What of it.
    pub only: Selection,
    /// The interface; its statistics are not looked at.
    pub info: &'a InterfaceInfo,
    /// Every counter by its name.
    pub statistics: &'a [(&'static str, u64)],
}

impl Type for Sent<'_> {
    const SIGNATURE: &'static Signature = Dictionary::SIGNATURE;
}

impl Serialize for Sent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let InterfaceInfo {
            name,
            state,
            up,
            running,
            vhid,
            advbase,
            advskew,
            effective_advskew,
            demotion,
            carpdev,
            lladdr,
            link_layer,
            mtu,
            description,
            has_password,
            addresses,
            master,
            advertised,
            master_down_time,
            last_transition,
            statistics: _,
        } = self.info;
        let addresses: Vec<(&str, u8, &str, &str)> = addresses
            .iter()
            .map(|row| {
                let (address, backing) = (row.address.as_str(), row.backing.as_str());
                (address, row.prefixlen, backing, row.flags.as_str())
            })
            .collect();
        let master = master.as_ref().map_or(("", 0, 0, 0), |row| {
            (row.source.as_str(), row.advbase, row.advskew, row.heard)
        });
        let last = last_transition.as_ref().map_or((0, "", "", ""), |row| {
            let (from, to) = (row.from.as_str(), row.to.as_str());
            (row.time, from, to, row.reason.as_str())
        });

        let mut row = serializer.serialize_map(None)?;
        let mut wanted = self.only.bits();
        // In the order of the table of properties.
        macro_rules! entries {
            ($($name:literal: $value:expr,)*) => {
                $(
                    if wanted.next() == Some(true) {
                        row.serialize_entry($name, &as_variant::Serialize(&$value))?;
                    }
                )*
            };
        }
        entries! {
            "Name": name.as_str(),
            "State": state.as_str(),
            "Up": *up,
            "Running": *running,
            "Vhid": *vhid,
            "AdvBase": *advbase,
            "AdvSkew": *advskew,
            "EffectiveAdvSkew": *effective_advskew,
            "Demotion": *demotion,
            "Device": carpdev.as_str(),
            "LinkLayerAddress": lladdr.as_str(),
            "LinkLayer": link_layer.as_str(),
            "Mtu": *mtu,
            "Description": description.as_str(),
            "HasPassword": *has_password,
            "Addresses": addresses,
            "Master": master,
            "LastTransition": last,
            "MasterDownTime": *master_down_time,
            "Advertised": *advertised,
            "Statistics": Counters(self.statistics),
        }
        row.end()
    }
}

/// `a{st}`
struct Counters<'a>(&'a [(&'static str, u64)]);

impl Type for Counters<'_> {
    const SIGNATURE: &'static Signature = <BTreeMap<&str, u64>>::SIGNATURE;
}

impl Serialize for Counters<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// A row that was received. As with [`InterfaceInfo::apply`], unknown properties, and values of
/// another type than ours, are passed over.
#[derive(Debug, Default)]
pub(crate) struct Received(pub(crate) InterfaceInfo);

impl Type for Received {
    const SIGNATURE: &'static Signature = Dictionary::SIGNATURE;
}

impl<'de> Deserialize<'de> for Received {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Properties)
    }
}

struct Properties;

impl<'de> Visitor<'de> for Properties {
    type Value = Received;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the properties of an interface")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Received, A::Error> {
        let mut info = InterfaceInfo::default();
        while let Some(name) = map.next_key::<&str>()? {
            match name {
                "Name" => take(&mut map, &mut info.name)?,
                "State" => take(&mut map, &mut info.state)?,
                "Up" => take(&mut map, &mut info.up)?,
                "Running" => take(&mut map, &mut info.running)?,
                "Vhid" => take(&mut map, &mut info.vhid)?,
                "AdvBase" => take(&mut map, &mut info.advbase)?,
                "AdvSkew" => take(&mut map, &mut info.advskew)?,
                "EffectiveAdvSkew" => take(&mut map, &mut info.effective_advskew)?,
                "Demotion" => take(&mut map, &mut info.demotion)?,
                "Device" => take(&mut map, &mut info.carpdev)?,
                "LinkLayerAddress" => take(&mut map, &mut info.lladdr)?,
                "LinkLayer" => take(&mut map, &mut info.link_layer)?,
                "Mtu" => take(&mut map, &mut info.mtu)?,
                "Description" => take(&mut map, &mut info.description)?,
                "HasPassword" => take(&mut map, &mut info.has_password)?,
                "Addresses" => {
                    if let Known(Some(rows)) = map.next_value::<Known<Vec<AddressRow>>>()? {
                        info.set_addresses(rows);
                    }
                }
                "Master" => {
                    if let Known(Some(row)) = map.next_value::<Known<MasterRow>>()? {
                        info.set_master(row);
                    }
                }
                "LastTransition" => {
                    if let Known(Some(row)) = map.next_value::<Known<TransitionRow>>()? {
                        info.set_last_transition(row);
                    }
                }
                "MasterDownTime" => take(&mut map, &mut info.master_down_time)?,
                "Advertised" => take(&mut map, &mut info.advertised)?,
                "Statistics" => take(&mut map, &mut info.statistics)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Received(info))
    }
}

/// The next value into `field`, if it is of its type.
fn take<'de, A, T>(map: &mut A, field: &mut T) -> Result<(), A::Error>
where
    A: MapAccess<'de>,
    T: Type + Deserialize<'de>,
{
    if let Known(Some(value)) = map.next_value()? {
        *field = value;
    }
    Ok(())
}

/// A variant, if it holds a `T`.
struct Known<T>(Option<T>);

impl<'de, T: Type + Deserialize<'de>> Deserialize<'de> for Known<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct("Variant", &["signature", "value"], OfType(PhantomData))
    }
}

struct OfType<T>(PhantomData<T>);

impl<'de, T: Type + Deserialize<'de>> Visitor<'de> for OfType<T> {
    type Value = Known<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a variant")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Known<T>, A::Error> {
        let signature: &str = seq
            .next_element()?
            .ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let missing = || A::Error::invalid_length(1, &self);
        if *T::SIGNATURE == signature {
            let value = seq.next_element()?;
            Ok(Known(Some(value.ok_or_else(missing)?)))
        } else {
            seq.next_element::<IgnoredAny>()?.ok_or_else(missing)?;
            Ok(Known(None))
        }
    }
}

#[cfg(test)]
mod tests {
    use zbus::wire::serialized::Context;
    use zbus::wire::{LE, to_bytes};
    use zbus::{OwnedVariant, Variant};

    use super::*;
    use crate::dict::{Properties, tests::everything};

    const STATISTICS: [(&str, u64); 2] = [("ipackets", 3), ("badif", 4)];

    fn statistics() -> BTreeMap<String, u64> {
        STATISTICS
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }

    #[test]
    fn a_row_has_what_the_dictionary_of_the_same_interface_has() {
        let context = Context::new(LE, 0);
        for info in [everything(), InterfaceInfo::default()] {
            let sent = Sent {
                only: Selection::ALL,
                info: &info,
                statistics: &STATISTICS,
            };
            let row = to_bytes(context, &sent).unwrap();
            let read: Properties = row.deserialize().unwrap().0;
            let expected = InterfaceInfo {
                statistics: statistics(),
                ..info.clone()
            };
            let properties: Properties = expected
                .properties()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.try_into_owned().unwrap()))
                .collect();
            assert_eq!(read, properties);

            let Received(received) = row.deserialize().unwrap().0;
            assert_eq!(received, expected);
        }
    }

    #[test]
    fn a_row_has_the_properties_that_are_wanted() {
        let info = everything();
        for name in info.properties().into_keys() {
            let sent = Sent {
                only: Selection::of([name, "Colour"]),
                info: &info,
                statistics: &STATISTICS,
            };
            let row = to_bytes(Context::new(LE, 0), &sent).unwrap();
            let read: Properties = row.deserialize().unwrap().0;
            assert_eq!(read.into_keys().collect::<Vec<_>>(), [name]);
        }
        assert!(Selection::ALL.moves_on());
        assert!(Selection::of(["Name", "Statistics"]).moves_on());
        assert!(!Selection::of(["Name", "State"]).moves_on());
    }

    #[test]
    fn unknown_properties_and_types_are_passed_over() {
        let context = Context::new(LE, 0);
        let mut properties = everything().properties();
        properties.insert("Colour", Variant::from(vec![("green", 7_u8)]));
        properties.insert("Vhid", Variant::from("seven"));
        properties.insert("Addresses", Variant::from(7_u64));
        let bytes = to_bytes(context, &properties).unwrap();
        let Received(received) = bytes.deserialize().unwrap().0;
        let expected = InterfaceInfo {
            vhid: 0,
            addresses: Vec::new(),
            ..everything()
        };
        assert_eq!(received, expected);
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        let bytes = to_bytes(Context::new(LE, 0), &everything().properties()).unwrap();
        for length in 0..bytes.len() {
            let (cut, context) = (&bytes[..length], Context::new(LE, 0));
            let cut = zbus::wire::serialized::Data::new(cut, context);
            assert!(cut.deserialize::<Received>().is_err(), "{length}");
            assert!(cut.deserialize::<OwnedVariant>().is_err(), "{length}");
        }
    }
}
