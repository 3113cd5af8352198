//! What `Configure` and `CreateInterface` take: an `a{sv}` built key by key.

use zbus::Variant;

use crate::properties::Dictionary;

/// Changes to a carp interface, applied as one: all of them or none.
///
/// Values are checked by carpd alone, so that its message is the one that people see.
///
/// ```
/// let settings = carp_dbus::Settings::new().vhid(1).address("192.0.2.1", 24);
/// ```
#[derive(Debug, Default)]
pub struct Settings {
    entries: Dictionary,
    added: Vec<(String, u8)>,
    removed: Vec<String>,
}

impl Settings {
    /// No change.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The virtual host ID, 1 to 255.
    #[must_use]
    pub fn vhid(self, vhid: u8) -> Self {
        self.with("Vhid", vhid)
    }

    /// The base of the advertisement interval in seconds, 0 to 254.
    #[must_use]
    pub fn advbase(self, seconds: u8) -> Self {
        self.with("AdvBase", seconds)
    }

    /// The skew of the advertisement interval in 1/256 seconds, 0 to 254.
    #[must_use]
    pub fn advskew(self, skew: u8) -> Self {
        self.with("AdvSkew", skew)
    }

    /// The password, at most 19 bytes.
    #[must_use]
    pub fn password(self, password: &[u8]) -> Self {
        self.with("Password", password.to_vec())
    }

    /// A second password, accepted but never sent; an empty one takes it away.
    #[must_use]
    pub fn accept_password(self, password: &[u8]) -> Self {
        self.with("AcceptPassword", password.to_vec())
    }

    /// One more address to add. The prefix length is in bits.
    #[must_use]
    pub fn address(mut self, address: &str, prefixlen: u8) -> Self {
        self.added.push((address.to_owned(), prefixlen));
        self
    }

    /// One more address to remove.
    #[must_use]
    pub fn remove_address(mut self, address: &str) -> Self {
        self.removed.push(address.to_owned());
        self
    }

    /// The physical interface; empty chooses it by subnet.
    #[must_use]
    pub fn device(self, name: &str) -> Self {
        self.with("Device", name.to_owned())
    }

    /// Up or down.
    #[must_use]
    pub fn up(self, up: bool) -> Self {
        self.with("Up", up)
    }

    /// `MASTER` or `BACKUP`, in any case.
    #[must_use]
    pub fn state(self, state: &str) -> Self {
        self.with("State", state.to_owned())
    }

    /// Free text; empty takes it away.
    #[must_use]
    pub fn description(self, text: &str) -> Self {
        self.with("Description", text.to_owned())
    }

    /// `virtual` or `parent`.
    #[must_use]
    pub fn link_layer(self, whose: &str) -> Self {
        self.with("LinkLayer", whose.to_owned())
    }

    /// Whether nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.added.is_empty() && self.removed.is_empty()
    }

    /// The dictionary as it travels.
    #[must_use]
    pub fn into_dictionary(self) -> Dictionary {
        let Self {
            mut entries,
            added,
            removed,
        } = self;
        if !added.is_empty() {
            entries.insert("AddAddresses", added.into());
        }
        if !removed.is_empty() {
            entries.insert("RemoveAddresses", removed.into());
        }
        entries
    }

    fn with(mut self, key: &'static str, value: impl Into<Variant<'static>>) -> Self {
        self.entries.insert(key, value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_parameters_becomes_one_dictionary() {
        let settings = Settings::new()
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
    }
}
