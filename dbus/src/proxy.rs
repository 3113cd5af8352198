//! The interfaces of carpd as zbus proxies, with the members of the introspection files.
//!
//! Methods that change something let polkit ask for a password, which can take longer than the time
//! limit of the connection.
//!
//! Errors are [`zbus::Error`]; [`Error::from`](crate::Error) sorts them by their names.

use std::collections::{BTreeMap, HashMap};

use zbus::{OwnedFd, OwnedObjectPath, OwnedVariant, Variant, proxy};

use crate::event::EventRow;
use crate::properties::Properties;

/// The fields of `struct carpreq` for `SIOCSVH` and `SIOCGVH`: state, vhid, advskew, advbase, key.
pub type VhRow = (i32, i32, i32, i32, Vec<u8>);

/// The daemon as a whole.
#[proxy(
    interface = "org.carpd1.Manager",
    default_service = "org.carpd1",
    default_path = "/org/carpd1"
)]
pub trait Manager {
    /// Creates `name` (`carp` for the next free unit) with all of `settings` or not at all.
    #[zbus(allow_interactive_auth)]
    fn create_interface(
        &self,
        name: &str,
        settings: &BTreeMap<&'static str, Variant<'static>>,
    ) -> zbus::Result<OwnedObjectPath>;

    /// Removes `name`, after a bow-out.
    #[zbus(allow_interactive_auth)]
    fn destroy_interface(&self, name: &str) -> zbus::Result<()>;

    /// Returns the object of `name`.
    fn get_interface(&self, name: &str) -> zbus::Result<OwnedObjectPath>;

    /// Returns every interface with all its properties.
    fn list_interfaces(&self) -> zbus::Result<Vec<(OwnedObjectPath, Properties)>>;

    /// Returns, for each named property, an array with the values of all interfaces.
    fn list_properties(&self, names: &[&str]) -> zbus::Result<Properties>;

    /// Suppresses preemption until the returned descriptor and all its copies are closed.
    #[zbus(allow_interactive_auth)]
    fn suppress(&self, who: &str, why: &str) -> zbus::Result<OwnedFd>;

    /// Returns holder, reason, and begin in microseconds since the epoch of each suppression.
    fn list_suppressions(&self) -> zbus::Result<Vec<(String, String, u64)>>;

    /// Returns the sums of the counters of all interfaces, by name.
    fn get_statistics(&self) -> zbus::Result<BTreeMap<String, u64>>;

    /// Sets every counter to zero.
    #[zbus(allow_interactive_auth)]
    fn reset_statistics(&self) -> zbus::Result<()>;

    /// Writes the running configuration to the configuration files.
    #[zbus(allow_interactive_auth)]
    fn save(&self) -> zbus::Result<()>;

    /// Reads the configuration files again and applies the differences.
    #[zbus(allow_interactive_auth)]
    fn reload(&self) -> zbus::Result<()>;

    /// Returns whether the caller is authorised for `action` on `object`: `yes`, `challenge` (after
    /// typing a password) or `no`.
    fn can_change(&self, action: &str, object: &str) -> zbus::Result<String>;

    /// Returns the oldest `most` of the kept events with a number above `after`.
    fn get_events(&self, after: u64, most: u32) -> zbus::Result<Vec<EventRow>>;

    /// The version of carpd.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;

    /// Reports an event.
    #[zbus(signal)]
    fn event(
        &self,
        number: u64,
        time: u64,
        interface: String,
        kind: String,
        text: String,
        details: HashMap<String, OwnedVariant>,
    ) -> zbus::Result<()>;
}

/// The tree `net.inet.carp`.
#[proxy(
    interface = "org.carpd1.Sysctl",
    default_service = "org.carpd1",
    default_path = "/org/carpd1"
)]
pub trait Sysctl {
    /// Returns the value of `name`, such as `net.inet.carp.preempt`.
    fn get(&self, name: &str) -> zbus::Result<OwnedVariant>;

    /// Sets `name` and returns the old value.
    #[zbus(allow_interactive_auth)]
    fn set(&self, name: &str, value: &Variant<'_>) -> zbus::Result<OwnedVariant>;

    /// Returns name, value, description and whether it can be set, sorted by name.
    fn list(&self) -> zbus::Result<Vec<(String, OwnedVariant, String, bool)>>;
}

/// One carp interface. `ListInterfaces` of [`ManagerProxy`] returns its properties.
#[proxy(
    interface = "org.carpd1.Interface",
    default_service = "org.carpd1",
    assume_defaults = false
)]
pub trait Interface {
    /// Applies all of `settings` as one change, or nothing.
    #[zbus(allow_interactive_auth)]
    fn configure(&self, settings: &BTreeMap<&'static str, Variant<'static>>) -> zbus::Result<()>;

    /// Sets the virtual host ID, 1 to 255.
    #[zbus(allow_interactive_auth)]
    fn set_vhid(&self, vhid: u8) -> zbus::Result<()>;

    /// Sets advbase (seconds) and advskew (1/256 seconds), 0 to 254 each.
    #[zbus(allow_interactive_auth)]
    fn set_advertisement(&self, advbase: u8, advskew: u8) -> zbus::Result<()>;

    /// Sets the password, at most 19 bytes.
    #[zbus(allow_interactive_auth)]
    fn set_password(&self, password: &[u8]) -> zbus::Result<()>;

    /// Adds an address.
    #[zbus(allow_interactive_auth)]
    fn add_address(&self, address: &str, prefixlen: u8) -> zbus::Result<()>;

    /// Removes an address.
    #[zbus(allow_interactive_auth)]
    fn remove_address(&self, address: &str) -> zbus::Result<()>;

    /// Sets the physical interface; empty chooses one by subnet.
    #[zbus(allow_interactive_auth)]
    fn set_device(&self, device: &str) -> zbus::Result<()>;

    /// Marks the interface up.
    #[zbus(allow_interactive_auth)]
    fn up(&self) -> zbus::Result<()>;

    /// Marks the interface down, after a bow-out.
    #[zbus(allow_interactive_auth)]
    fn down(&self) -> zbus::Result<()>;

    /// Forces `BACKUP` or `MASTER`.
    #[zbus(allow_interactive_auth)]
    fn set_state(&self, state: &str) -> zbus::Result<()>;

    /// Does the same as `SIOCSVH`.
    #[zbus(name = "SetVH", allow_interactive_auth)]
    fn set_vh(&self, request: VhRow) -> zbus::Result<()>;

    /// Does the same as `SIOCGVH`; the key is empty unless the caller is root.
    #[zbus(name = "GetVH")]
    fn get_vh(&self) -> zbus::Result<(VhRow,)>;

    /// Reports a change of state.
    #[zbus(signal)]
    fn transitioned(&self, from: String, to: String, reason: String) -> zbus::Result<()>;
}
