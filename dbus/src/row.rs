//! Typed writing and reading of the properties in `ListInterfaces` and `ListProperties`.
//! Dictionaries of variants for thousands of interfaces would take many times as long, mostly for
//! memory.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use zbus::{Signature, Type, as_variant};

use crate::properties::{self, Dictionary, Field, InterfaceInfo, Property, Sink, Source, Visit};

/// Every property of one interface, to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a, S>(pub &'a S);

impl<S> Type for Row<'_, S> {
    const SIGNATURE: &'static Signature = Dictionary::SIGNATURE;
}

impl<S: Source> Serialize for Row<'_, S> {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        let mut row = Cells {
            source: self.0,
            map: serializer.serialize_map(None)?,
        };
        properties::each(&mut row)?;
        row.map.end()
    }
}

struct Cells<'a, S, M> {
    source: &'a S,
    map: M,
}

impl<S: Source, M: SerializeMap> Visit<S> for Cells<'_, S, M> {
    type Error = M::Error;

    fn property<T: Field>(
        &mut self,
        property: Property,
        value: for<'s> fn(&'s S) -> T::Shown<'s>,
    ) -> Result<(), M::Error> {
        let value = value(self.source);
        self.map
            .serialize_entry(property.name, &as_variant::Serialize(&value))
    }
}

/// Properties of all interfaces, to be sent: an array of values for each wanted property.
#[derive(Debug)]
pub struct Columns<S> {
    /// Every interface.
    pub interfaces: Vec<S>,
    /// Names of properties; unknown ones are ignored.
    pub wanted: Vec<String>,
}

impl<S> Type for Columns<S> {
    const SIGNATURE: &'static Signature = Dictionary::SIGNATURE;
}

impl<S: Source> Serialize for Columns<S> {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        let mut columns = Wanted {
            columns: self,
            map: serializer.serialize_map(None)?,
        };
        properties::each(&mut columns)?;
        columns.map.end()
    }
}

struct Wanted<'a, S, M> {
    columns: &'a Columns<S>,
    map: M,
}

impl<S: Source, M: SerializeMap> Visit<S> for Wanted<'_, S, M> {
    type Error = M::Error;

    fn property<T: Field>(
        &mut self,
        property: Property,
        value: for<'s> fn(&'s S) -> T::Shown<'s>,
    ) -> Result<(), M::Error> {
        let Columns { interfaces, wanted } = self.columns;
        if !wanted.iter().any(|name| name == property.name) {
            return Ok(());
        }
        let column: Vec<T::Shown<'_>> = interfaces.iter().map(value).collect();
        self.map
            .serialize_entry(property.name, &as_variant::Serialize(&column))
    }
}

/// Received properties of one interface, or columns of all. As in [`InterfaceInfo::apply`], unknown
/// properties and values of another type are ignored.
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

/// Reads each property as a column: an array with the values of all interfaces.
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
            properties::read(name, &mut map, &mut sink)?;
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
    use crate::properties::PROPERTIES;
    use crate::properties::tests::{everything, received};

    #[test]
    fn row_equals_the_dictionary_of_the_same_interface() {
        let context = Context::new(LE, 0);
        for info in [everything(), InterfaceInfo::default()] {
            let row = to_bytes(context, &Row(&info)).unwrap();
            let read: properties::Properties = row.deserialize().unwrap().0;
            assert_eq!(read, received(properties::all(&info)));

            let Received::<InterfaceInfo>(read) = row.deserialize().unwrap().0;
            assert_eq!(read, info);
        }
    }

    #[test]
    fn columns_are_interfaces_with_those_properties() {
        let context = Context::new(LE, 0);
        let all = [everything(), InterfaceInfo::default(), everything()];
        for count in 0..=all.len() {
            let every = Columns {
                interfaces: all[..count].to_vec(),
                wanted: PROPERTIES.iter().map(|row| row.name.to_owned()).collect(),
            };
            let bytes = to_bytes(context, &every).unwrap();
            let Received(received): Received<Vec<_>> = bytes.deserialize().unwrap().0;
            assert_eq!(received, &all[..count]);
        }
        let some = Columns {
            interfaces: all.to_vec(),
            wanted: ["Name", "Colour", "Addresses"].map(str::to_owned).to_vec(),
        };
        let bytes = to_bytes(context, &some).unwrap();
        let Received(received): Received<Vec<_>> = bytes.deserialize().unwrap().0;
        let expected = all.map(|info| InterfaceInfo {
            name: info.name,
            addresses: info.addresses,
            ..InterfaceInfo::default()
        });
        assert_eq!(received, expected);
    }

    #[test]
    fn columns_of_unknown_names_types_and_lengths_are_ignored() {
        let columns = Dictionary::from([
            ("Colour", Variant::from(vec!["green"])),
            ("Vhid", Variant::from(7_u8)),
            ("Name", Variant::from(vec!["carp0", "carp1"])),
            ("State", Variant::from(vec!["MASTER"])),
        ]);
        let bytes = to_bytes(Context::new(LE, 0), &columns).unwrap();
        let Received(received): Received<Vec<InterfaceInfo>> = bytes.deserialize().unwrap().0;
        let states = received
            .iter()
            .map(|info| (info.name.as_str(), info.state.as_str()));
        assert_eq!(
            states.collect::<Vec<_>>(),
            [("carp0", "MASTER"), ("carp1", "")]
        );
        assert!(received.iter().all(|info| info.vhid == 0));
    }

    #[test]
    fn unknown_properties_and_types_are_ignored() {
        let context = Context::new(LE, 0);
        let mut properties = properties::all(&everything());
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
    fn message_that_is_cut_short_is_an_error() {
        let bytes = to_bytes(Context::new(LE, 0), &Row(&everything())).unwrap();
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
