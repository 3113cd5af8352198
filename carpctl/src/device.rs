//! Names of network devices: carp interfaces, helper devices and physical interfaces.

/// Highest unit of an interface, from BSD's `if_unit`.
const LAST_UNIT: u16 = 32767;

/// Prefixes of carpd's helper devices; the index of the physical interface follows (carp(4)).
const HELPER_PREFIXES: [&[u8]; 2] = [b"carpear", b"carpany"];

/// Returns whether `name` names a carp interface: `carp` and a unit without leading zeros.
pub(crate) fn is_carp_interface(name: &str) -> bool {
    name.strip_prefix("carp").is_some_and(|unit| {
        let is_plain = unit.bytes().all(|byte| byte.is_ascii_digit())
            && (unit == "0" || !unit.starts_with('0'));
        is_plain && unit.parse::<u16>().is_ok_and(|unit| unit <= LAST_UNIT)
    })
}

/// Returns whether `name` names a helper device.
pub(crate) fn is_helper(name: &[u8]) -> bool {
    HELPER_PREFIXES.iter().any(|prefix| {
        name.strip_prefix(*prefix)
            .is_some_and(|index| !index.is_empty() && index.iter().all(u8::is_ascii_digit))
    })
}

/// Returns whether `name` can name a physical interface: carpd did not make the device, and it is
/// not the loopback.
pub(crate) fn is_physical(name: &str) -> bool {
    !is_carp_interface(name) && !is_helper(name.as_bytes()) && name != "lo"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carp_interface_is_carp_and_a_plain_number() {
        for good in ["carp0", "carp7", "carp10", "carp32767"] {
            assert!(is_carp_interface(good), "{good}");
        }
        for bad in [
            "carp",
            "carp00",
            "carp01",
            "carp-1",
            "carp+1",
            "carp32768",
            "eth0",
            "xcarp0",
        ] {
            assert!(!is_carp_interface(bad), "{bad}");
        }
    }

    #[test]
    fn devices_of_carpd_are_not_physical_interfaces() {
        for ours in ["carp0", "carpear2", "carpany17", "lo"] {
            assert!(!is_physical(ours), "{ours}");
        }
        for theirs in ["eth0", "carpear", "carpet0", "bond0.7"] {
            assert!(is_physical(theirs), "{theirs}");
        }
    }
}
