//! One interface's row of `ListInterfaces`, or the columns of `ListProperties`, written and read as what they are: a
//! dictionary of variants for each of thousands of interfaces takes many times as long, most of it for memory.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use zbus::{Signature, Type, as_variant};

use crate::dict::Dictionary;
use crate::types::InterfaceInfo;

/// A row to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
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
            reason,
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
        macro_rules! entries {
            ($($name:literal: $value:expr,)*) => {
                $(row.serialize_entry($name, &as_variant::Serialize(&$value))?;)*
            };
        }
        entries! {
            "Name": name.as_str(),
            "State": state.as_str(),
            "Up": *up,
            "Running": *running,
            "Reason": reason.as_str(),
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

/// What was received: the properties of one interface, or the columns of all. As with
/// [`InterfaceInfo::apply`], unknown properties, and values of another type than ours, are passed
/// over.
#[derive(Debug, Default)]
pub(crate) struct Received<S>(pub(crate) S);

impl<S> Type for Received<S> {
    const SIGNATURE: &'static Signature = Dictionary::SIGNATURE;
}

impl<'de, S: Sink> Deserialize<'de> for Received<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Properties(PhantomData))
    }
}

/// What the values of properties go into.
pub(crate) trait Sink: Default {
    /// Reads the value of a property that is a `T`, and has it `set`.
    fn take<'de, A, T>(
        &mut self,
        map: &mut A,
        set: impl Fn(&mut InterfaceInfo, T),
    ) -> Result<(), A::Error>
    where
        A: MapAccess<'de>,
        T: Type + Deserialize<'de>;
}

impl Sink for InterfaceInfo {
    fn take<'de, A, T>(
        &mut self,
        map: &mut A,
        set: impl Fn(&mut InterfaceInfo, T),
    ) -> Result<(), A::Error>
    where
        A: MapAccess<'de>,
        T: Type + Deserialize<'de>,
    {
        if let Known(Some(value)) = map.next_value()? {
            set(self, value);
        }
        Ok(())
    }
}

/// Each property is a column: an array with the values of all interfaces.
impl Sink for Vec<InterfaceInfo> {
    fn take<'de, A, T>(
        &mut self,
        map: &mut A,
        set: impl Fn(&mut InterfaceInfo, T),
    ) -> Result<(), A::Error>
    where
        A: MapAccess<'de>,
        T: Type + Deserialize<'de>,
    {
        if let Known(Some(values)) = map.next_value::<Known<Vec<T>>>()? {
            self.resize_with(self.len().max(values.len()), InterfaceInfo::default);
            for (info, value) in self.iter_mut().zip(values) {
                set(info, value);
            }
        }
        Ok(())
    }
}

struct Properties<S>(PhantomData<S>);

impl<'de, S: Sink> Visitor<'de> for Properties<S> {
    type Value = Received<S>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("properties of interfaces")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Received<S>, A::Error> {
        let mut sink = S::default();
        while let Some(name) = map.next_key::<&str>()? {
            let map = &mut map;
            match name {
                "Name" => sink.take(map, |info, value| info.name = value)?,
                "State" => sink.take(map, |info, value| info.state = value)?,
                "Up" => sink.take(map, |info, value| info.up = value)?,
                "Running" => sink.take(map, |info, value| info.running = value)?,
                "Reason" => sink.take(map, |info, value| info.reason = value)?,
                "Vhid" => sink.take(map, |info, value| info.vhid = value)?,
                "AdvBase" => sink.take(map, |info, value| info.advbase = value)?,
                "AdvSkew" => sink.take(map, |info, value| info.advskew = value)?,
                "EffectiveAdvSkew" => {
                    sink.take(map, |info, value| info.effective_advskew = value)?;
                }
                "Demotion" => sink.take(map, |info, value| info.demotion = value)?,
                "Device" => sink.take(map, |info, value| info.carpdev = value)?,
                "LinkLayerAddress" => sink.take(map, |info, value| info.lladdr = value)?,
                "LinkLayer" => sink.take(map, |info, value| info.link_layer = value)?,
                "Mtu" => sink.take(map, |info, value| info.mtu = value)?,
                "Description" => sink.take(map, |info, value| info.description = value)?,
                "HasPassword" => sink.take(map, |info, value| info.has_password = value)?,
                "Addresses" => sink.take(map, InterfaceInfo::set_addresses)?,
                "Master" => sink.take(map, InterfaceInfo::set_master)?,
                "LastTransition" => sink.take(map, InterfaceInfo::set_last_transition)?,
                "MasterDownTime" => sink.take(map, |info, value| info.master_down_time = value)?,
                "Advertised" => sink.take(map, |info, value| info.advertised = value)?,
                "Statistics" => sink.take(map, |info, value| info.statistics = value)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Received(sink))
    }
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
    use crate::dict::{Properties, address_rows, tests::everything};

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

            let Received::<InterfaceInfo>(received) = row.deserialize().unwrap().0;
            assert_eq!(received, expected);
        }
    }

    fn columns(of: &[InterfaceInfo]) -> BTreeMap<&'static str, Variant<'static>> {
        let names = of.iter().map(|info| info.name.clone());
        let numbers = of.iter().map(|info| info.vhid);
        let addresses = of.iter().map(address_rows);
        BTreeMap::from([
            ("Name", Variant::from(names.collect::<Vec<_>>())),
            ("Vhid", Variant::from(numbers.collect::<Vec<_>>())),
            ("Addresses", Variant::from(addresses.collect::<Vec<_>>())),
        ])
    }

    #[test]
    fn columns_are_interfaces_with_those_properties() {
        let context = Context::new(LE, 0);
        let some = |info: InterfaceInfo| InterfaceInfo {
            name: info.name,
            vhid: info.vhid,
            addresses: info.addresses,
            ..InterfaceInfo::default()
        };
        let all = [everything(), InterfaceInfo::default(), everything()].map(some);
        for count in 0..=all.len() {
            let bytes = to_bytes(context, &columns(&all[..count])).unwrap();
            let Received(received): Received<Vec<_>> = bytes.deserialize().unwrap().0;
            assert_eq!(received, &all[..count]);
        }
        let mut columns = columns(&all);
        columns.insert("Colour", Variant::from(vec!["green"]));
        columns.insert("Vhid", Variant::from(7_u8));
        columns.insert("State", Variant::from(vec!["MASTER"]));
        let bytes = to_bytes(context, &columns).unwrap();
        let Received(received): Received<Vec<_>> = bytes.deserialize().unwrap().0;
        let states = received.iter().map(|info| info.state.as_str());
        assert_eq!(states.collect::<Vec<_>>(), ["MASTER", "", ""]);
        assert!(received.iter().all(|info| info.vhid == 0));
    }

    #[test]
    fn unknown_properties_and_types_are_passed_over() {
        let context = Context::new(LE, 0);
        let mut properties = everything().properties();
        properties.insert("Colour", Variant::from(vec![("green", 7_u8)]));
        properties.insert("Vhid", Variant::from("seven"));
        properties.insert("Addresses", Variant::from(7_u64));
        let bytes = to_bytes(context, &properties).unwrap();
        let Received::<InterfaceInfo>(received) = bytes.deserialize().unwrap().0;
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
            assert!(
                cut.deserialize::<Received<InterfaceInfo>>().is_err(),
                "{length}"
            );
            assert!(cut.deserialize::<OwnedVariant>().is_err(), "{length}");
        }
    }
}
