//! Settings of `Configure` and `CreateInterface`, one row each in the table below.

use zbus::{OwnedVariant, Type, Variant};

use crate::properties::Dictionary;

/// Makes [`Setting`], and a method of [`Settings`] for each row
/// `"Key" Setting(Type), method(argument) = value;`.
macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])*
        $key:literal $setting:ident($type:ty), $method:ident($value:ident: $from:ty) = $made:expr;
    )*) => {
        /// One setting of a carp interface, as on the bus.
        #[derive(Clone, PartialEq, Eq)]
        pub enum Setting {
            $($(#[doc = $doc])* $setting($type),)*
        }

        impl Setting {
            /// Every key, in the order in which settings are applied.
            pub const KEYS: &[&str] = &[$($key),*];

            /// Returns its key in a dictionary.
            #[must_use]
            pub const fn key(&self) -> &'static str {
                match self {
                    $(Self::$setting(_) => $key,)*
                }
            }

            /// Returns the setting with this key; `None` if there is none.
            ///
            /// # Errors
            /// If the value has another type.
            pub fn read(key: &str, value: OwnedVariant) -> Option<Result<Self, String>> {
                match key {
                    $($key => Some(typed(value).map(Self::$setting)),)*
                    _ => None,
                }
            }

            /// Returns every key with the type of its value.
            #[cfg(test)]
            const SIGNATURES: &[(&str, &zbus::Signature)] = &[$(($key, <$type>::SIGNATURE)),*];

            fn show(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(Self::$setting(value) => f.debug_tuple($key).field(value).finish(),)*
                }
            }

            fn into_variant(self) -> Variant<'static> {
                match self {
                    $(Self::$setting(value) => value.into(),)*
                }
            }
        }

        impl Settings {
            $(
                $(#[doc = $doc])*
                #[must_use]
                pub fn $method(self, $value: $from) -> Self {
                    self.with(Setting::$setting($made))
                }
            )*
        }
    };
}

settings! {
    /// The virtual host ID, 1 to 255.
    "Vhid" Vhid(u8), vhid(vhid: u8) = vhid;
    /// The base of the advertisement interval in seconds, 0 to 254.
    "AdvBase" AdvBase(u8), advbase(seconds: u8) = seconds;
    /// The skew of the advertisement interval in 1/256 seconds, 0 to 254.
    "AdvSkew" AdvSkew(u8), advskew(skew: u8) = skew;
    /// The password, at most 19 bytes.
    "Password" Password(Vec<u8>), password(password: &[u8]) = password.to_vec();
    /// A second password, accepted but never sent; an empty one removes it.
    "AcceptPassword" AcceptPassword(Vec<u8>), accept_password(password: &[u8]) = password.to_vec();
    /// The physical interface; empty chooses it by subnet.
    "Device" Device(String), device(name: &str) = name.to_owned();
    /// `virtual` or `parent`.
    "LinkLayer" LinkLayer(String), link_layer(whose: &str) = whose.to_owned();
    /// Free text; empty removes it.
    "Description" Description(String), description(text: &str) = text.to_owned();
    /// Addresses to remove.
    "RemoveAddresses" RemoveAddresses(Vec<String>), remove_addresses(all: Vec<String>) = all;
    /// Addresses to add, with their prefix lengths in bits.
    "AddAddresses" AddAddresses(Vec<(String, u8)>), addresses(all: Vec<(String, u8)>) = all;
    /// Up or down.
    "Up" Up(bool), up(up: bool) = up;
    /// `MASTER` or `BACKUP`, in any case.
    "State" State(String), state(state: &str) = state.to_owned();
}

impl std::fmt::Debug for Setting {
    /// Never shows a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if matches!(self, Self::Password(_) | Self::AcceptPassword(_)) {
            write!(f, "{}(…)", self.key())
        } else {
            self.show(f)
        }
    }
}

/// Returns the value if it has the type of the contract.
fn typed<T>(value: OwnedVariant) -> Result<T, String>
where
    T: TryFrom<OwnedVariant> + Type,
{
    let got = value.value_signature().to_string();
    T::try_from(value).map_err(|_| format!("its type is {}, not {got}", T::SIGNATURE))
}

/// Changes to a carp interface, applied as one: all of them or none.
///
/// Only carpd checks values, so that all clients show its messages.
///
/// ```
/// let settings = carp_dbus::Settings::new().vhid(1).address("192.0.2.1", 24);
/// ```
#[derive(Debug, Default)]
pub struct Settings {
    /// Each at most once.
    settings: Vec<Setting>,
}

impl Settings {
    /// Returns settings without a change.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `setting`, in the place of one with the same key.
    #[must_use]
    pub fn with(mut self, setting: Setting) -> Self {
        self.settings.retain(|other| other.key() != setting.key());
        self.settings.push(setting);
        self
    }

    /// Adds an address to add. The prefix length is in bits.
    #[must_use]
    pub fn address(mut self, address: &str, prefixlen: u8) -> Self {
        let added = (address.to_owned(), prefixlen);
        for setting in &mut self.settings {
            if let Setting::AddAddresses(all) = setting {
                all.push(added);
                return self;
            }
        }
        self.addresses(vec![added])
    }

    /// Adds an address to remove.
    #[must_use]
    pub fn remove_address(mut self, address: &str) -> Self {
        for setting in &mut self.settings {
            if let Setting::RemoveAddresses(all) = setting {
                all.push(address.to_owned());
                return self;
            }
        }
        self.remove_addresses(vec![address.to_owned()])
    }

    /// Returns true if nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty()
    }

    /// Returns the dictionary for the bus.
    #[must_use]
    pub fn into_dictionary(self) -> Dictionary {
        let settings = self.settings.into_iter();
        settings
            .map(|setting| (setting.key(), setting.into_variant()))
            .collect()
    }
}

impl IntoIterator for Settings {
    type Item = Setting;
    type IntoIter = std::vec::IntoIter<Setting>;

    fn into_iter(self) -> Self::IntoIter {
        self.settings.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_parameters_becomes_one_dictionary() {
        let settings = Settings::new()
            .vhid(2)
            .vhid(1)
            .password(b"x")
            .address("::1", 64)
            .address("192.0.2.1", 24);
        assert!(!settings.is_empty());
        let dictionary = settings.into_dictionary();
        let signatures: Vec<String> = dictionary
            .iter()
            .map(|(key, value)| format!("{key} {}", value.value_signature()))
            .collect();
        assert_eq!(signatures, ["AddAddresses a(sy)", "Password ay", "Vhid y"]);
        assert_eq!(dictionary["Vhid"], Variant::from(1_u8));
    }

    #[test]
    fn setting_is_the_same_after_conversion_and_other_types_fail() {
        let all = Settings::new()
            .remove_address("192.0.2.9")
            .address("192.0.2.1", 24)
            .description("the gateway")
            .up(true);
        let expected: Vec<Setting> = Settings::new()
            .address("192.0.2.1", 24)
            .description("the gateway")
            .remove_address("192.0.2.9")
            .up(true)
            .into_iter()
            .collect();
        let read: Vec<Setting> = all
            .into_dictionary()
            .into_iter()
            .map(|(key, value)| {
                let value = value.try_into_owned().unwrap();
                Setting::read(key, value).unwrap().unwrap()
            })
            .collect();
        assert_eq!(read, expected);
        assert_eq!(
            Setting::read("Vhid", true.into()),
            Some(Err("its type is y, not b".to_owned()))
        );
        assert_eq!(Setting::read("Colour", true.into()), None);
    }

    #[test]
    fn introspection_file_describes_every_key_and_no_other() {
        let xml = include_str!("../org.carpd1.Interface.xml");
        let (_, rest) = xml.split_once("@settings:").unwrap();
        let (_, keys) = rest.split_once('\n').unwrap();
        let described = keys.lines().map_while(|line| line.split_once(": "));
        let described: std::collections::BTreeSet<String> =
            described.map(|(key, _)| key.trim().to_owned()).collect();
        let expected = Setting::SIGNATURES.iter();
        let expected = expected.map(|(key, signature)| format!("{key} ({signature})"));
        assert_eq!(described, expected.collect());
    }

    #[test]
    fn debug_shows_no_password() {
        let settings = Settings::new().password(b"secret").vhid(7);
        let shown = format!("{settings:?}");
        assert_eq!(shown, "Settings { settings: [Password(…), Vhid(7)] }");
    }
}
