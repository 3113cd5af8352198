//! Helper devices as the kernel thread knows them: requests for them, and their MAC addresses.

use carp_proto::{IfIndex, Mac};

/// First bytes of the MAC address of every helper device: locally administered.
pub(super) const PREFIX: [u8; 4] = [0x02, 0x63, 0x61, 0x72];

/// Request to the kernel thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HelperRequest {
    /// Sets the helper devices of a physical interface up, or down.
    SetUp {
        /// Number of the physical interface.
        interface: IfIndex,
        /// False if the devices are not needed now.
        up: bool,
    },
    /// Sends a probe from the device of a carp interface to itself.
    Probe {
        /// Number of the physical interface.
        interface: IfIndex,
        /// Number of the probe.
        number: u64,
        /// Ethernet frames without their destination.
        frames: Vec<Vec<u8>>,
    },
}

/// Returns the virtual MAC addresses of CARP and of VRRP: the first helper device receives copies of
/// the frames that have one of them as source.
pub(crate) fn virtual_macs() -> impl Iterator<Item = Mac> {
    [1, 2]
        .into_iter()
        .flat_map(|group| (0..=u8::MAX).map(move |vhid| Mac([0x00, 0x00, 0x5e, 0x00, group, vhid])))
}

/// Returns the MAC address of the first helper device on a physical interface.
pub(crate) fn helper_mac(interface: IfIndex) -> Mac {
    let [a, b, c, d] = PREFIX;
    let [.., high, low] = interface.0.to_be_bytes();
    Mac([a, b, c, d, high, low])
}
