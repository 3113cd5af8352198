//! The interfaces of carpd as zbus proxies, member for member as in the introspection files.
//!
//! Methods that change something let polkit ask somebody for a password, which may take its time:
//! the time limit of the connection is not theirs.
//!
//! Errors arrive as [`zbus::Error`]; [`Error::from`](crate::Error) sorts them by their names.

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

    /// Bows out and removes `name`.
    #[zbus(allow_interactive_auth)]
    fn destroy_interface(&self, name: &str) -> zbus::Result<()>;

    /// The object of `name`.
    fn get_interface(&self, name: &str) -> zbus::Result<OwnedObjectPath>;

    /// Every interface with all its properties.
    fn list_interfaces(&self) -> zbus::Result<Vec<(OwnedObjectPath, Properties)>>;

    /// Of each property that is named, an array of the values of all interfaces.
    fn list_properties(&self, names: &[&str]) -> zbus::Result<Properties>;

    /// Holds preemption suppressed until the returned descriptor is closed everywhere.
    #[zbus(allow_interactive_auth)]
    fn suppress(&self, who: &str, why: &str) -> zbus::Result<OwnedFd>;

    /// Who suppresses preemption, why, and since when in microseconds since the epoch.
    fn list_suppressions(&self) -> zbus::Result<Vec<(String, String, u64)>>;

    /// The counters of all interfaces together, by name.
    fn get_statistics(&self) -> zbus::Result<BTreeMap<String, u64>>;

    /// Sets every counter to zero.
    #[zbus(allow_interactive_auth)]
    fn reset_statistics(&self) -> zbus::Result<()>;

    /// Writes what is running into the configuration files.
    #[zbus(allow_interactive_auth)]
    fn save(&self) -> zbus::Result<()>;

    /// Reads the configuration files again and changes what differs.
    #[zbus(allow_interactive_auth)]
    fn reload(&self) -> zbus::Result<()>;

    /// Whether the caller may do something of the kind `action` to `object`: `yes`, `challenge`
    /// (after typing a password) or `no`.
    fn can_change(&self, action: &str, object: &str) -> zbus::Result<String>;

    /// The oldest `most` of the kept events with a number above `after`.
    fn get_events(&self, after: u64, most: u32) -> zbus::Result<Vec<EventRow>>;

    /// The version of carpd.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;

    /// Something happened.
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
    /// The value of `name`, such as `net.inet.carp.preempt`.
    fn get(&self, name: &str) -> zbus::Result<OwnedVariant>;

    /// Sets `name` and gives the old value.
    #[zbus(allow_interactive_auth)]
    fn set(&self, name: &str, value: &Variant<'_>) -> zbus::Result<OwnedVariant>;

    /// Name, value, description and whether it can be set, sorted by name.
    fn list(&self) -> zbus::Result<Vec<(String, OwnedVariant, String, bool)>>;
}

/// One carp interface. Its properties are read all at once: `ListInterfaces` of [`ManagerProxy`].
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

    /// Names the physical interface; empty chooses it by subnet.
    #[zbus(allow_interactive_auth)]
    fn set_device(&self, device: &str) -> zbus::Result<()>;

    /// Marks the interface up.
    #[zbus(allow_interactive_auth)]
    fn up(&self) -> zbus::Result<()>;

    /// Bows out and marks the interface down.
    #[zbus(allow_interactive_auth)]
    fn down(&self) -> zbus::Result<()>;

    /// Forces `BACKUP` or `MASTER`.
    #[zbus(allow_interactive_auth)]
    fn set_state(&self, state: &str) -> zbus::Result<()>;

    /// What `SIOCSVH` does.
    #[zbus(name = "SetVH", allow_interactive_auth)]
    fn set_vh(&self, request: VhRow) -> zbus::Result<()>;

    /// What `SIOCGVH` gives; the key is empty unless the caller is root.
    #[zbus(name = "GetVH")]
    fn get_vh(&self) -> zbus::Result<(VhRow,)>;

    /// The state changed.
    #[zbus(signal)]
    fn transitioned(&self, from: String, to: String, reason: String) -> zbus::Result<()>;
}
