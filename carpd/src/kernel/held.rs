//! Holding of one carp interface in the kernel: its device, and while this host is MASTER the addresses and
//! their lease. Routes and sysctls follow from these.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use carp_proto::{Family, IfIndex, Instant, Mac, Place, VirtualAddress};

use super::sysctl::{ARP_IGNORE_ALL, ARP_IGNORE_OTHERS, Sysctl};

/// Pause before the kernel is asked the first time again for a device that it refused. Each further pause
/// is twice as long as the one before, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Holding of one carp interface.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) device: Option<Device>,
    /// `None` while this host is not MASTER.
    pub(super) leased: Option<Leased>,
    /// Set if IPv6 is known to be disabled on the device.
    pub(super) is_ipv6_off: bool,
    /// Set while the device is one that the previous instance left, and no work has asked for it.
    pub(super) is_leftover: bool,
    /// Physical interface and MAC that the device is to have.
    pub(super) wanted: Option<(IfIndex, Mac)>,
    /// Number of attempts to make the device after the kernel refused it.
    pub(super) retries: u32,
    /// Last refusal reported of the device (`None`) and of each address: a renewal does not report it
    /// again.
    pub(super) refused: BTreeMap<Option<IpAddr>, String>,
}

/// Macvlan device of a carp interface.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) index: u32,
    pub(super) parent: IfIndex,
    pub(super) parent_name: String,
    pub(super) mac: Mac,
}

/// Addresses of a MASTER.
#[derive(Clone, Debug)]
pub(super) struct Leased {
    pub(super) place: Place,
    pub(super) addresses: Vec<VirtualAddress>,
    /// End of their lease.
    pub(super) until: Instant,
    /// Set if the device is already deaf, because the addresses are about to be taken away.
    pub(super) is_deaf: bool,
}

impl Held {
    /// Returns the number of the network device that has the addresses at `place`.
    pub(super) fn index_at(&self, place: Place) -> Option<u32> {
        match place {
            Place::Parent(parent) => Some(parent.0),
            Place::Device | Place::SilentDevice => self.device.as_ref().map(|device| device.index),
        }
    }

    /// Returns the physical interface below `place`.
    pub(super) fn parent_at(&self, place: Place) -> Option<IfIndex> {
        match place {
            Place::Parent(parent) => Some(parent),
            Place::Device | Place::SilentDevice => self.device.as_ref().map(|device| device.parent),
        }
    }

    /// Returns true if the device has addresses.
    pub(super) fn is_master_on_device(&self) -> bool {
        self.leased
            .as_ref()
            .is_some_and(|leased| is_on_device(leased.place))
    }

    /// Returns true if addresses are on the physical interface.
    pub(super) fn is_master_on_parent(&self) -> bool {
        self.leased.is_some() && !self.is_master_on_device()
    }

    /// Returns true if the device has addresses and is not deaf.
    pub(super) fn hears(&self) -> bool {
        self.leased
            .as_ref()
            .is_some_and(|leased| is_on_device(leased.place) && !leased.is_deaf)
    }

    /// Returns true if the device is deaf and still has IPv4 addresses.
    pub(super) fn is_deaf_with_ipv4(&self) -> bool {
        self.leased
            .as_ref()
            .is_some_and(|leased| leased.is_deaf && leased.addresses.iter().any(is_v4))
    }

    /// Returns the pause before the next attempt to make the device.
    pub(super) fn pause_before_retry(&self) -> Duration {
        pause(self.retries)
    }

    /// Returns the sysctls of the device, with their values in this state.
    pub(super) fn sysctls(&self) -> Vec<(Sysctl, i32)> {
        let mut sysctls: Vec<(Sysctl, i32)> = Sysctl::of_carp_device().collect();
        if let Some(leased) = &self.leased
            && is_on_device(leased.place)
        {
            for (sysctl, value) in &mut sysctls {
                if *sysctl == Sysctl::DisableIpv6 {
                    *value = i32::from(leased.addresses.iter().all(is_v4));
                } else if *sysctl == Sysctl::ArpIgnore {
                    *value = arp_ignore(leased.place);
                }
            }
        }
        sysctls
    }
}

/// Returns true if the addresses are on the carp interface's own device.
const fn is_on_device(place: Place) -> bool {
    match place {
        Place::Device | Place::SilentDevice => true,
        Place::Parent(_) => false,
    }
}

/// Returns `arp_ignore` of the device. On a silent one carpd answers ARP requests, not the kernel.
pub(super) const fn arp_ignore(place: Place) -> i32 {
    match place {
        Place::SilentDevice => ARP_IGNORE_ALL,
        Place::Device | Place::Parent(_) => ARP_IGNORE_OTHERS,
    }
}

pub(super) fn is_v4(address: &VirtualAddress) -> bool {
    Family::of(address.address) == Family::V4
}

/// Returns the whole seconds until a lease ends. On a busy machine a moment may have passed since the
/// request.
pub(super) fn seconds_left(until: Instant, now: Instant) -> u32 {
    const MOMENT: Duration = Duration::from_millis(250);
    u32::try_from((until + MOMENT).since(now).as_secs()).unwrap_or(u32::MAX)
}

/// Returns the pause after `retries` retries.
fn pause(retries: u32) -> Duration {
    let doubled = FIRST_PAUSE.checked_mul(1_u32.checked_shl(retries).unwrap_or(u32::MAX));
    doubled.map_or(MAX_PAUSE, |pause| pause.min(MAX_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let pauses = [0, 1, 2, 6, 7, 31, 32, u32::MAX].map(|retries| pause(retries).as_millis());
        assert_eq!(
            pauses,
            [100, 200, 400, 6400, 10_000, 10_000, 10_000, 10_000]
        );
    }
}
