//! Becoming, being and ceasing to be MASTER, as far as the kernel has a part in it.

use core::net::IpAddr;
use core::time::Duration;

use carp_proto::{Family, IfIndex, Instant, Place, Unit, VirtualAddress};
use tracing::warn;

use super::devices::DISABLE_IPV6;
use super::netlink::Refused;
use super::sysctls::{ARP_IGNORE_ALL, ARP_IGNORE_OTHERS, Sysctl};
use super::worker::{Device, Held, Worker};
use super::{addresses, devices};
use crate::clock::Clock;

pub(super) const ARP_IGNORE: Sysctl = Sysctl::v4("arp_ignore");
const FORWARDING: [Sysctl; 2] = [Sysctl::v4("forwarding"), Sysctl::v6("forwarding")];

impl Worker {
    /// The addresses first, then the ears: ARP is answered once all is there. Nothing at all if
    /// their lease is over: whoever asked was stopped, or this thread was.
    pub(super) async fn take(
        &mut self,
        unit: Unit,
        place: Place,
        mut wanted: Vec<VirtualAddress>,
        until: Instant,
    ) {
        let lease = left(until, Clock.now().instant);
        if lease == 0 {
            return self.leave(unit).await;
        }
        self.give_up_others(unit, place, &wanted).await;
        let index = match place {
            Place::Parent(parent) => {
                self.keep_native(parent, &mut wanted).await;
                parent.0
            }
            Place::Device | Place::SilentDevice => match self.wake(unit).await {
                Some(device) => {
                    self.prepare(unit, &device, place, &mut wanted);
                    device.index
                }
                None => return,
            },
        };
        self.put_all(unit, index, &wanted, lease).await;
        if let Place::Device | Place::SilentDevice = place
            && let Err(error) = devices::hear(&self.netlink, index).await
        {
            self.refuse(unit, None, error.to_string());
        }
        self.units.entry(unit).or_default().held = Some(Held {
            place,
            addresses: wanted,
            until,
        });
    }

    /// Takes away what the unit holds and shall not hold any more.
    async fn give_up_others(&mut self, unit: Unit, place: Place, wanted: &[VirtualAddress]) {
        let Some(held) = self.state(unit).and_then(|state| state.held.clone()) else {
            return;
        };
        let (on, shall_be_on) = (self.index_of(unit, held.place), self.index_of(unit, place));
        if on != shall_be_on {
            self.leave(unit).await;
        } else if let Some(index) = on {
            let surplus = held
                .addresses
                .iter()
                .filter(|address| !wanted.contains(address));
            self.take_away_all(unit, index, surplus).await;
        }
    }

    /// An address that the physical interface has by itself is never leased nor taken away.
    async fn keep_native(&self, parent: IfIndex, wanted: &mut Vec<VirtualAddress>) {
        let native: Vec<IpAddr> = match self.netlink.addresses().await {
            Ok(messages) => messages
                .iter()
                .filter(|message| message.header.index == parent.0)
                .filter(|message| !addresses::is_virtual(message))
                .filter_map(|message| Some(addresses::own(message)?.address))
                .collect(),
            Err(error) => {
                warn!("cannot read the addresses of interface {parent}: {error}");
                Vec::new()
            }
        };
        wanted.retain(|address| !native.contains(&address.address));
    }

    /// The unit's device, up; made anew if somebody else has removed it.
    async fn wake(&mut self, unit: Unit) -> Option<Device> {
        let Some(device) = self.device(unit) else {
            self.refuse(unit, None, format!("there is no device {unit}"));
            return None;
        };
        match devices::set_up(&self.netlink, device.index).await {
            Ok(()) => Some(device),
            Err(Refused {
                errno: libc::ENODEV,
                ..
            }) => {
                warn!("{unit}: somebody has removed the device, making it anew");
                self.units.entry(unit).or_default().held = None;
                self.ensure(unit, device.parent, device.mac).await;
                self.device(unit)
            }
            Err(error) => {
                self.refuse(unit, None, error.to_string());
                None
            }
        }
    }

    /// Sysctls that depend on what the device is to do.
    fn prepare(
        &mut self,
        unit: Unit,
        device: &Device,
        place: Place,
        wanted: &mut Vec<VirtualAddress>,
    ) {
        let name = unit.to_string();
        devices::set(ARP_IGNORE, &name, arp_ignore(place));
        let has_v6 = wanted
            .iter()
            .any(|address| Family::of(address.address) == Family::V6);
        if has_v6 {
            if let Some(error) = ipv6_missing(&name, &device.parent_name) {
                for address in wanted
                    .iter()
                    .filter(|a| Family::of(a.address) == Family::V6)
                {
                    self.refuse(unit, Some(address.address), error.clone());
                }
                wanted.retain(|address| Family::of(address.address) == Family::V4);
            } else {
                devices::set(DISABLE_IPV6, &name, 0);
            }
        }
        follow_forwarding(&name, &device.parent_name);
    }

    /// Makes the lease of everything the unit holds start anew, and mends what somebody else
    /// has removed or taken down.
    pub(super) async fn renew(&mut self, unit: Unit, until: Instant) {
        let lease = left(until, Clock.now().instant);
        let Some(held) = self
            .units
            .get_mut(&unit)
            .and_then(|state| state.held.as_mut())
        else {
            return;
        };
        if lease == 0 {
            return;
        }
        held.until = until;
        let held = held.clone();
        let Some(index) = self.index_of(unit, held.place) else {
            return;
        };
        // An address is no good on a device that somebody has taken down.
        let up = match held.place {
            Place::Parent(_) => true,
            Place::Device | Place::SilentDevice => {
                devices::set_up(&self.netlink, index).await.is_ok()
            }
        };
        if !up || !self.put_all(unit, index, &held.addresses, lease).await {
            self.take(unit, held.place, held.addresses, until).await;
        }
    }

    /// `false` if the interface is gone.
    async fn put_all(
        &mut self,
        unit: Unit,
        index: u32,
        wanted: &[VirtualAddress],
        lease: u32,
    ) -> bool {
        for address in wanted {
            match addresses::put(&self.netlink, index, *address, lease).await {
                Ok(()) => {
                    if let Some(state) = self.units.get_mut(&unit) {
                        state.refused.remove(&Some(address.address));
                    }
                }
                Err(Refused {
                    errno: libc::ENODEV,
                    ..
                }) => return false,
                Err(error) => self.refuse(unit, Some(address.address), error.to_string()),
            }
        }
        true
    }

    /// Deaf first, then without addresses; nothing slow, and nothing said.
    pub(super) async fn leave(&mut self, unit: Unit) {
        let Some(held) = self
            .units
            .get_mut(&unit)
            .and_then(|state| state.held.take())
        else {
            return;
        };
        let Some(index) = self.index_of(unit, held.place) else {
            return;
        };
        let mut silenced = false;
        if let Place::Device | Place::SilentDevice = held.place {
            if let Err(error) = devices::deafen(&self.netlink, index).await {
                warn!("{unit}: cannot make the device deaf: {error}");
            }
            // Takes all IPv6 addresses away at once. Deleted one by one they would be followed by
            // multicast listener reports with the virtual MAC, which is another host's by then.
            silenced = DISABLE_IPV6.write(&unit.to_string(), 1).is_ok();
        }
        let left = held
            .addresses
            .iter()
            // The last first: the kernel then has no secondary address to promote.
            .rev()
            .filter(|address| !(silenced && Family::of(address.address) == Family::V6));
        self.take_away_all(unit, index, left).await;
    }

    async fn take_away_all(
        &self,
        unit: Unit,
        index: u32,
        addresses: impl Iterator<Item = &VirtualAddress>,
    ) {
        for address in addresses {
            if let Err(error) = addresses::take_away(&self.netlink, index, *address).await {
                warn!("{unit}: cannot take {} away: {error}", address.address);
            }
        }
    }
}

/// Whole seconds until a lease ends; a busy machine may have worked on it for a moment.
pub(super) fn left(until: Instant, now: Instant) -> u32 {
    const MOMENT: Duration = Duration::from_millis(250);
    u32::try_from((until + MOMENT).since(now).as_secs()).unwrap_or(u32::MAX)
}

/// Who answers ARP requests for the addresses of a device: the kernel, or carpd.
pub(super) fn arp_ignore(place: Place) -> u8 {
    match place {
        Place::SilentDevice => ARP_IGNORE_ALL,
        Place::Device | Place::Parent(_) => ARP_IGNORE_OTHERS,
    }
}

/// What comes in on a device is forwarded exactly if it were on `parent`.
pub(super) fn follow_forwarding(name: &str, parent: &str) {
    for sysctl in FORWARDING {
        if let (Ok(theirs), Ok(ours)) = (sysctl.read(parent), sysctl.read(name))
            && theirs != ours
        {
            devices::set(sysctl, name, theirs);
        }
    }
}

/// Why a device on `parent` can have no IPv6 address.
fn ipv6_missing(name: &str, parent: &str) -> Option<String> {
    if DISABLE_IPV6.read(name).is_err() {
        Some(format!("{name} has no IPv6"))
    } else if DISABLE_IPV6
        .read(parent)
        .is_ok_and(|disabled| disabled != 0)
    {
        Some(format!("IPv6 is disabled on {parent}"))
    } else {
        None
    }
}
