//! The properties of `org.carpd1.Interface`, one row each in the table below.
//!
//! Reading, writing, listing and announcing use the table, and so does [`InterfaceInfo`]. carpd
//! provides the values as a [`Source`].

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned, IgnoredAny, MapAccess};
use zbus::{OwnedVariant, Type, Variant};

use crate::types::{AddressInfo, MasterInfo, TransitionInfo};

/// Received properties.
pub type Properties = HashMap<String, OwnedVariant>;

/// Properties to be sent.
pub type Dictionary = BTreeMap<&'static str, Variant<'static>>;

/// Makes [`InterfaceInfo`], and functions over all properties, of rows
/// `"Name" field: Type, Announced;`.
macro_rules! properties {
    ($($(#[doc = $doc:literal])* $name:literal $field:ident: $type:ty, $announced:ident;)*) => {
        /// All properties of one carp interface: `org.carpd1.Interface`.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct InterfaceInfo {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        /// A carp interface with the value of each property.
        pub trait Source {
            $($(#[doc = $doc])* fn $field(&self) -> <$type as Field>::Shown<'_>;)*
        }

        impl Source for InterfaceInfo {
            $(fn $field(&self) -> <$type as Field>::Shown<'_> {
                self.$field.shown()
            })*
        }

        impl InterfaceInfo {
            /// Copies every property of `source`.
            #[must_use]
            pub fn of(source: &impl Source) -> Self {
                Self {
                    $($field: <$type as Field>::of(source.$field()),)*
                }
            }

            /// Takes over changed properties. Ignores unknown ones and values of another type.
            pub fn apply(&mut self, mut properties: Properties) {
                $(if let Some(value) = properties.remove($name)
                    && let Ok(value) = <$type as Field>::Wire::try_from(value)
                {
                    self.$field = Field::from_wire(value);
                })*
            }
        }

        /// Every property.
        pub const PROPERTIES: &[Property] = &[
            $(Property { name: $name, announced: Announced::$announced },)*
        ];

        /// Calls `visitor` for every property.
        pub(crate) fn each<S: Source, V: Visit<S>>(visitor: &mut V) -> Result<(), V::Error> {
            $({
                let property = Property { name: $name, announced: Announced::$announced };
                visitor.property::<$type>(property, S::$field)?;
            })*
            Ok(())
        }

        /// Reads the value of the property `name` into `sink`.
        pub(crate) fn read<'de, M: MapAccess<'de>>(
            name: &str,
            map: &mut M,
            sink: &mut impl Sink,
        ) -> Result<(), M::Error> {
            match name {
                $($name => sink.take(map, |info, value| info.$field = Field::from_wire(value)),)*
                _ => map.next_value::<IgnoredAny>().map(|_| ()),
            }
        }
    };
}

properties! {
    /// `carp0`
    "Name" name: String, Always;
    /// `INIT`, `BACKUP` or `MASTER`; treat anything else as unknown.
    "State" state: String, Always;
    /// Administratively up.
    "Up" up: bool, Always;
    /// Not INIT.
    "Running" running: bool, Always;
    /// Reason for INIT, as text; empty otherwise.
    "Reason" reason: String, Always;
    /// Settings that work but are probably a mistake, one line each.
    "Warnings" warnings: Vec<String>, Always;
    /// 1 to 255; 0 while unset.
    "Vhid" vhid: u8, Always;
    /// In seconds.
    "AdvBase" advbase: u8, Always;
    /// In 1/256 seconds.
    "AdvSkew" advskew: u8, Always;
    /// Advertised advskew: at least 240 while preemption is suppressed.
    "EffectiveAdvSkew" effective_advskew: u8, Always;
    /// Advertised demotion byte.
    "Demotion" demotion: u8, Always;
    /// The physical interface; empty while there is none.
    "Device" carpdev: String, Always;
    /// `00:00:5e:00:01:01`; empty while there is no vhid.
    "LinkLayerAddress" lladdr: String, Always;
    /// `virtual` or `parent`.
    "LinkLayer" link_layer: String, Always;
    /// In bytes.
    "Mtu" mtu: u32, Always;
    /// Free text; empty if unset.
    "Description" description: String, Always;
    /// True if a password is set.
    "HasPassword" has_password: bool, Always;
    /// In configured order.
    "Addresses" addresses: Vec<AddressInfo>, Always;
    /// The last heard master; `None` while this host is MASTER or before the first advertisement.
    "Master" master: Option<MasterInfo>, ExceptTimes;
    /// Time of this host's last advertisement, in microseconds since the epoch; 0 if not MASTER.
    "Advertised" advertised: u64, Never;
    /// Time without an advertisement after which a BACKUP takes over, in microseconds.
    "MasterDownTime" master_down_time: u64, Always;
    /// The last transition.
    "LastTransition" last_transition: Option<TransitionInfo>, Always;
    /// The counters by their names of `netstat -s -p carp`.
    "Statistics" statistics: BTreeMap<String, u64>, Never;
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property {
    /// Name on the bus.
    pub name: &'static str,
    /// Changes that are announced.
    pub announced: Announced,
}

/// Changes of a property that `PropertiesChanged` announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// All changes.
    Always,
    /// Changes of more than a time.
    ExceptTimes,
    /// None: the property changes with each packet.
    Never,
}

/// Type of a property.
pub trait Field: Sized {
    /// A value to be sent, borrowed from its source where possible.
    type Shown<'a>: Type + Serialize + PartialEq;

    /// A received value.
    type Wire: Type + DeserializeOwned + Into<Variant<'static>> + TryFrom<OwnedVariant>;

    /// Returns the value of a field to be sent.
    fn shown(&self) -> Self::Shown<'_>;

    /// Returns an owned value to be sent.
    fn into_wire(shown: Self::Shown<'_>) -> Self::Wire;

    /// Returns the value of a field from a received one.
    fn from_wire(value: Self::Wire) -> Self;

    /// Returns the value of a field from one to be sent.
    fn of(shown: Self::Shown<'_>) -> Self {
        Self::from_wire(Self::into_wire(shown))
    }

    /// Returns true if the difference between two values is announced.
    fn differs<'a>(one: &Self::Shown<'a>, other: &Self::Shown<'a>) -> bool {
        one != other
    }
}

macro_rules! as_they_are {
    ($($type:ty)*) => {
        $(impl Field for $type {
            type Shown<'a> = Self;
            type Wire = Self;

            fn shown(&self) -> Self {
                Clone::clone(self)
            }

            fn into_wire(shown: Self) -> Self {
                shown
            }

            fn from_wire(value: Self) -> Self {
                value
            }
        })*
    };
}

as_they_are! { bool u8 u32 u64 Vec<String> Vec<AddressInfo> }

impl Field for String {
    type Shown<'a> = Cow<'a, str>;
    type Wire = Self;

    fn shown(&self) -> Cow<'_, str> {
        self.into()
    }

    fn into_wire(shown: Cow<'_, str>) -> Self {
        shown.into_owned()
    }

    fn from_wire(value: Self) -> Self {
        value
    }
}

/// An empty source means `None`.
impl Field for Option<MasterInfo> {
    type Shown<'a> = MasterInfo;
    type Wire = MasterInfo;

    fn shown(&self) -> MasterInfo {
        self.clone().unwrap_or_default()
    }

    fn into_wire(shown: MasterInfo) -> MasterInfo {
        shown
    }

    fn from_wire(value: MasterInfo) -> Self {
        (!value.source.is_empty()).then_some(value)
    }

    fn differs<'a>(one: &Self::Shown<'a>, other: &Self::Shown<'a>) -> bool {
        let heard_with_the_other = MasterInfo {
            heard: other.heard,
            ..one.clone()
        };
        heard_with_the_other != *other
    }
}

/// An empty new state means `None`.
impl Field for Option<TransitionInfo> {
    type Shown<'a> = TransitionInfo;
    type Wire = TransitionInfo;

    fn shown(&self) -> TransitionInfo {
        self.clone().unwrap_or_default()
    }

    fn into_wire(shown: TransitionInfo) -> TransitionInfo {
        shown
    }

    fn from_wire(value: TransitionInfo) -> Self {
        (!value.to.is_empty()).then_some(value)
    }
}

impl Field for BTreeMap<String, u64> {
    type Shown<'a> = BTreeMap<&'a str, u64>;
    type Wire = Self;

    fn shown(&self) -> BTreeMap<&str, u64> {
        self.iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect()
    }

    fn into_wire(shown: BTreeMap<&str, u64>) -> Self {
        shown
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn from_wire(value: Self) -> Self {
        value
    }
}

/// Visitor of the properties of sources of one type.
pub(crate) trait Visit<S> {
    /// Reason to stop.
    type Error;

    /// Called with a property, and its value of a source.
    fn property<T: Field>(
        &mut self,
        property: Property,
        value: for<'s> fn(&'s S) -> T::Shown<'s>,
    ) -> Result<(), Self::Error>;
}

/// Destination of the values of properties.
pub(crate) trait Sink: Default {
    /// Reads the value of a property that is a `T`, and passes it to `set`.
    fn take<'de, A, T>(
        &mut self,
        map: &mut A,
        set: impl Fn(&mut InterfaceInfo, T),
    ) -> Result<(), A::Error>
    where
        A: MapAccess<'de>,
        T: Type + Deserialize<'de>;
}

/// Returns every property of `source`.
#[must_use]
pub fn all<S: Source>(source: &S) -> Dictionary {
    let mut entries = Written {
        source,
        before: None,
        entries: Dictionary::new(),
    };
    let Ok(()) = each(&mut entries);
    entries.entries
}

/// Returns the properties of `source` that `PropertiesChanged` announces to a client that knows
/// `before`.
#[must_use]
pub fn changed<S: Source>(source: &S, before: &S) -> Dictionary {
    let mut entries = Written {
        source,
        before: Some(before),
        entries: Dictionary::new(),
    };
    let Ok(()) = each(&mut entries);
    entries.entries
}

struct Written<'a, S> {
    source: &'a S,
    before: Option<&'a S>,
    entries: Dictionary,
}

impl<S: Source> Visit<S> for Written<'_, S> {
    type Error = core::convert::Infallible;

    fn property<T: Field>(
        &mut self,
        Property { name, announced }: Property,
        value: for<'s> fn(&'s S) -> T::Shown<'s>,
    ) -> Result<(), Self::Error> {
        let now = value(self.source);
        let is_wanted = self
            .before
            .is_none_or(|before| announced != Announced::Never && T::differs(&now, &value(before)));
        if is_wanted {
            self.entries.insert(name, T::into_wire(now).into());
        }
        Ok(())
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
            warnings: vec!["192.0.2.1 is also an address of lo".to_owned()],
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

    pub(crate) fn received(sent: Dictionary) -> Properties {
        sent.into_iter()
            .map(|(name, value)| (name.to_owned(), value.try_into_owned().unwrap()))
            .collect()
    }

    fn read(properties: Properties) -> InterfaceInfo {
        let mut info = InterfaceInfo::default();
        info.apply(properties);
        info
    }

    #[test]
    fn interface_is_the_same_after_conversion_to_properties() {
        for info in [everything(), InterfaceInfo::default()] {
            let properties = received(all(&info));
            assert_eq!(properties.len(), PROPERTIES.len());
            assert_eq!(read(properties), info);
            assert_eq!(InterfaceInfo::of(&info), info);
        }
    }

    #[test]
    fn unknown_properties_and_types_are_ignored() {
        let mut properties = received(all(&everything()));
        properties.insert(
            "Colour".to_owned(),
            Variant::from("green").try_into_owned().unwrap(),
        );
        properties.insert(
            "Vhid".to_owned(),
            Variant::from("seven").try_into_owned().unwrap(),
        );
        assert_eq!(
            read(properties),
            InterfaceInfo {
                vhid: 0,
                ..everything()
            }
        );
    }

    #[test]
    fn announced_changes_leave_out_counters_and_times() {
        let before = everything();
        let mut after = everything();
        after.state = "MASTER".to_owned();
        after.advertised = 99;
        after.statistics.insert("ipackets".to_owned(), 4);
        if let Some(master) = &mut after.master {
            master.heard += 1;
        }
        let changes = changed(&after, &before);
        assert_eq!(changes.keys().copied().collect::<Vec<_>>(), ["State"]);

        after.master = None;
        let mut known = before.clone();
        known.apply(received(changed(&after, &before)));
        assert_eq!((known.state.as_str(), known.master), ("MASTER", None));
    }
}
