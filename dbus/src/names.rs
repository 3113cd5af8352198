//! Names and paths that both sides of the bus must agree on.

/// The well-known name on the system bus.
pub const BUS_NAME: &str = "org.carpd1";

/// The object with the interfaces Manager, Sysctl and `org.freedesktop.DBus.ObjectManager`.
pub const ROOT_PATH: &str = "/org/carpd1";

/// Parent of the objects of carp interfaces, such as `/org/carpd1/interface/carp0`.
pub const INTERFACES_PATH: &str = "/org/carpd1/interface";

/// The interface of the daemon as a whole.
pub const MANAGER_INTERFACE: &str = "org.carpd1.Manager";

/// The interface of `net.inet.carp`.
pub const SYSCTL_INTERFACE: &str = "org.carpd1.Sysctl";

/// The interface of one carp interface.
pub const INTERFACE_INTERFACE: &str = "org.carpd1.Interface";

/// Socket for root's peer-to-peer connections.
pub const PRIVATE_SOCKET: &str = "/run/carpd/bus";

/// Environment variable with a D-Bus address, which excludes all others if it is set.
pub const ADDRESS_VARIABLE: &str = "CARPD_BUS_ADDRESS";

/// Prefix of the names of sysctls.
pub const SYSCTL_PREFIX: &str = "net.inet.carp.";

/// Prefix of the names of polkit's actions.
pub const ACTION_PREFIX: &str = "org.carpd1.";

/// Sums of the counters of all interfaces, as one value below [`SYSCTL_PREFIX`].
pub const STATS: &str = "net.inet.carp.stats";

/// Its description, for `sysctl -d`.
pub const STATS_DESCRIPTION: &str = "The counters, as netstat -s -p carp shows them";

/// Returns the object path of the carp interface `name`.
#[must_use]
pub fn interface_path(name: &str) -> String {
    format!("{INTERFACES_PATH}/{name}")
}

/// Returns the carp interface to which `path` belongs, if any.
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
    fn path_and_interface_name_convert_both_ways() {
        assert_eq!(interface_of(&interface_path("carp12")), Some("carp12"));
        assert_eq!(interface_of(ROOT_PATH), None);
        assert_eq!(interface_of("/org/carpd1/interface/"), None);
        assert_eq!(interface_of("/org/carpd1/interfaces/carp0"), None);
    }
}
