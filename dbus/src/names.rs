//! Names and places that both sides of the bus must agree on.

/// The well-known name on the system bus.
pub const BUS_NAME: &str = "org.carpd1";

/// The object with the interfaces Manager, Sysctl and `org.freedesktop.DBus.ObjectManager`.
pub const ROOT_PATH: &str = "/org/carpd1";

/// Every object below is a carp interface: `/org/carpd1/interface/carp0`.
pub const INTERFACES_PATH: &str = "/org/carpd1/interface";

/// The interface of the daemon as a whole.
pub const MANAGER_INTERFACE: &str = "org.carpd1.Manager";

/// The interface of `net.inet.carp`.
pub const SYSCTL_INTERFACE: &str = "org.carpd1.Sysctl";

/// The interface of one carp interface.
pub const INTERFACE_INTERFACE: &str = "org.carpd1.Interface";

/// Where carpd listens for peer-to-peer connections of root's.
pub const PRIVATE_SOCKET: &str = "/run/carpd/bus";

/// The environment variable with the D-Bus address that a client tries alone, if it is set.
pub const ADDRESS_VARIABLE: &str = "CARPD_BUS_ADDRESS";

/// What the names of all sysctls begin with.
pub const SYSCTL_PREFIX: &str = "net.inet.carp.";

/// What the names of polkit's actions begin with.
pub const ACTION_PREFIX: &str = "org.carpd1.";

/// The counters of all interfaces together, as one value below [`SYSCTL_PREFIX`].
pub const STATS: &str = "net.inet.carp.stats";

/// What they are, for `sysctl -d`.
pub const STATS_DESCRIPTION: &str = "The counters, as netstat -s -p carp shows them";

/// The object path of the carp interface `name`.
#[must_use]
pub fn interface_path(name: &str) -> String {
    format!("{INTERFACES_PATH}/{name}")
}

/// The carp interface that `path` belongs to, if it does to one.
#[must_use]
pub fn interface_of(path: &str) -> Option<&str> {
    path.strip_prefix(INTERFACES_PATH)?
        .strip_prefix('/')
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_interface_and_back() {
        assert_eq!(interface_of(&interface_path("carp12")), Some("carp12"));
        assert_eq!(interface_of(ROOT_PATH), None);
        assert_eq!(interface_of("/org/carpd1/interface/"), None);
        assert_eq!(interface_of("/org/carpd1/interfaces/carp0"), None);
    }
}
