//! Becoming and being MASTER: taking addresses, and renewing their lease.

use core::net::IpAddr;
use core::time::Duration;

use carp_proto::{IfIndex, Instant, Place, Unit, VirtualAddress};
use tracing::warn;

use super::device_report::DeviceReport;
use super::held::{Device, Leased, arp_ignore, is_v4, seconds_left};
use super::holdings::Holdings;
use super::netlink::Change;
use super::netlink_error::NetlinkError;
use super::news::News;
use super::sysctl::Sysctl;
use super::{addresses, devices};
use crate::clock::Clock;

impl Holdings {
    /// Adds the addresses, and lets the device hear after that: it answers ARP requests once all
    /// addresses are there. Does nothing if their lease is over, because the protocol loop or this
    /// thread was stopped. Returns true if the kernel was asked for the addresses.
    pub(super) fn take(
        &mut self,
        unit: Unit,
        place: Place,
        mut addresses: Vec<VirtualAddress>,
        until: Instant,
    ) -> bool {
        let lease = seconds_left(until, Clock.now().instant);
        if lease == 0 {
            self.leave(unit);
            return false;
        }
        let had_some = self.held(unit).is_some_and(|held| held.leased.is_some());
        self.give_up_others(unit, place, &addresses);
        let index = match place {
            Place::Parent(parent) => {
                self.keep_native(unit, parent, &mut addresses);
                parent.0
            }
            Place::Device | Place::SilentDevice => match self.prepare_device(unit, place) {
                Some(device) => {
                    self.prepare_ipv6(unit, &device, &mut addresses);
                    device.index
                }
                None => return false,
            },
        };
        let mut changes = self.puts(unit, index, place, &addresses, lease);
        if let Place::Device | Place::SilentDevice = place {
            changes.push(devices::hear(index));
        }
        let mut answers = self.netlink.change_all(changes).into_iter();
        self.report_answers(unit, &addresses, answers.by_ref().take(addresses.len()));
        if let Some(Err(error)) = answers.next() {
            self.refuse(unit, None, error.to_string());
        }
        self.held_mut(unit).leased = Some(Leased {
            place,
            addresses,
            until,
            is_deaf: false,
        });
        // The kernel does not change the route of an IPv4 address that was there before, and makes
        // none on a physical interface.
        if had_some || matches!(place, Place::Parent(_)) {
            self.settle_routes(unit);
        }
        true
    }

    /// Renews the leases of these carp interfaces, and restores what another program has removed.
    pub(super) fn renew(&mut self, due: &[(Unit, u32)], asked: Instant) {
        let now = Clock.now().instant;
        let mut changes = Vec::new();
        let mut renewed = Vec::new();
        for &(unit, lease) in due {
            let until = asked + Duration::from_secs(lease.into());
            let lease = seconds_left(until, now);
            let leased = self
                .interfaces
                .get_mut(&unit)
                .and_then(|held| held.leased.as_mut());
            let Some(leased) = leased.filter(|_| lease > 0) else {
                continue;
            };
            leased.until = until;
            let Some(held) = self.held(unit) else {
                continue;
            };
            let Some(leased) = &held.leased else {
                continue;
            };
            let Some(index) = held.index_at(leased.place) else {
                continue;
            };
            changes.extend(self.puts(unit, index, leased.place, &leased.addresses, lease));
            renewed.push((unit, leased.addresses.len()));
        }
        let mut answers = self.netlink.change_all(changes).into_iter();
        for (unit, count) in renewed {
            let answers: Vec<_> = answers.by_ref().take(count).collect();
            let Some(leased) = self.held(unit).and_then(|held| held.leased.clone()) else {
                continue;
            };
            let is_gone = |answer: &Result<(), NetlinkError>| {
                answer.as_ref().is_err_and(NetlinkError::is_no_device)
            };
            if answers.iter().any(is_gone) {
                self.take(unit, leased.place, leased.addresses, leased.until);
            } else {
                self.report_answers(unit, &leased.addresses, answers.into_iter());
            }
        }
    }

    /// Has the device forward packets exactly if its physical interface does.
    pub(super) fn follow_forwarding(&mut self, device: &DeviceReport, below: &DeviceReport) {
        for sysctl in [Sysctl::ForwardingV4, Sysctl::ForwardingV6] {
            if let (Some(wanted), Some(found)) = (below.sysctl(sysctl), device.sysctl(sysctl))
                && wanted != found
            {
                self.set(device.index, &device.name, sysctl, wanted);
            }
        }
    }

    fn puts(
        &self,
        unit: Unit,
        index: u32,
        place: Place,
        addresses: &[VirtualAddress],
        lease: u32,
    ) -> Vec<Change> {
        addresses
            .iter()
            .map(|address| addresses::put(index, self.placed(unit, place, *address), lease))
            .collect()
    }

    /// Takes addresses away that the carp interface has and is not to have any more.
    fn give_up_others(&mut self, unit: Unit, place: Place, wanted: &[VirtualAddress]) {
        let Some(held) = self.held(unit) else {
            return;
        };
        let Some(leased) = &held.leased else {
            return;
        };
        let index = held.index_at(leased.place);
        if index != held.index_at(place) {
            self.leave(unit);
        } else if let Some(index) = index {
            let surplus = leased
                .addresses
                .iter()
                .filter(|address| !wanted.contains(address));
            self.take_away_all(unit, index, leased.place, surplus);
        }
    }

    /// Leaves out the addresses that the physical interface has of its own: carpd neither leases nor
    /// removes them.
    fn keep_native(&mut self, unit: Unit, parent: IfIndex, wanted: &mut Vec<VirtualAddress>) {
        let native: Vec<IpAddr> = match self.netlink.addresses() {
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
        // `fib_inetaddr_event()`
        if wanted.iter().any(is_v4)
            && !native.iter().any(IpAddr::is_ipv4)
            && let Some(name) = self.netlink.name_of(parent)
        {
            let warning = format!(
                "{name} has no IPv4 address of its own: when this host becomes backup, the kernel \
                 removes every IPv4 route by way of {name}, see carp(4)"
            );
            self.log.warn(&unit.to_string(), "routes", &warning);
        }
    }

    /// Returns the device, up and with the IPv4 sysctls of a MASTER. Makes it anew if another program
    /// has removed it.
    fn prepare_device(&mut self, unit: Unit, place: Place) -> Option<Device> {
        let Some(device) = self.device(unit) else {
            let is_refused = self
                .held(unit)
                .is_some_and(|held| held.refused.contains_key(&None));
            // After a refusal the reason is known.
            if !is_refused {
                self.refuse(unit, None, format!("there is no device {unit}"));
            }
            return None;
        };
        match self.set_up_for_master(&device, place) {
            Ok(()) => Some(device),
            Err(error) if error.is_no_device() => {
                warn!("{unit}: another program has removed the device, making it anew");
                self.held_mut(unit).leased = None;
                self.ensure(unit, device.parent, device.mac);
                let device = self.device(unit)?;
                if let Err(error) = self.set_up_for_master(&device, place) {
                    self.refuse(unit, None, error.to_string());
                    return None;
                }
                Some(device)
            }
            Err(error) => {
                self.refuse(unit, None, error.to_string());
                None
            }
        }
    }

    fn set_up_for_master(&self, device: &Device, place: Place) -> Result<(), NetlinkError> {
        let mut sysctls = vec![(Sysctl::ArpIgnore, arp_ignore(place))];
        if let Ok(forwarding) = Sysctl::ForwardingV4.read(&device.parent_name) {
            sysctls.push((Sysctl::ForwardingV4, forwarding));
        }
        // It can send before it has addresses: the kernel reports them to switches at once.
        let changes = vec![
            devices::unmute(device.index),
            devices::configure(device.index, &sysctls),
            devices::up(device.index),
        ];
        // The kernel refuses the first if another program has given the device a queue.
        let answers = self.netlink.change_all(changes).into_iter().skip(1);
        answers.collect()
    }

    /// Enables IPv6 on the device if it is to have an IPv6 address. Where that is impossible, refuses
    /// the IPv6 addresses and leaves them out.
    fn prepare_ipv6(&mut self, unit: Unit, device: &Device, wanted: &mut Vec<VirtualAddress>) {
        if wanted.iter().all(is_v4) {
            return;
        }
        let name = unit.to_string();
        if let Some(error) = ipv6_missing(&name, &device.parent_name) {
            for address in wanted.iter().filter(|address| !is_v4(address)) {
                self.refuse(unit, Some(address.address), error.clone());
            }
            wanted.retain(is_v4);
            return;
        }
        self.held_mut(unit).is_ipv6_off = false;
        self.set(device.index, &name, Sysctl::DisableIpv6, 0);
        let forwarding = Sysctl::ForwardingV6;
        if let (Ok(wanted), Ok(found)) =
            (forwarding.read(&device.parent_name), forwarding.read(&name))
            && wanted != found
        {
            self.set(device.index, &name, forwarding, wanted);
        }
    }

    /// Reports which of `addresses` the kernel refused, and which it has that it refused before.
    fn report_answers(
        &mut self,
        unit: Unit,
        addresses: &[VirtualAddress],
        answers: impl Iterator<Item = Result<(), NetlinkError>>,
    ) {
        for (address, answer) in addresses.iter().zip(answers) {
            let address = Some(address.address);
            match answer {
                Ok(()) => {
                    if self.held_mut(unit).refused.remove(&address).is_some() {
                        self.tell(News::Granted { unit, address });
                    }
                }
                Err(error) => self.refuse(unit, address, error.to_string()),
            }
        }
    }
}

/// Returns why a device on `parent` can have no IPv6 address; `None` if it can.
fn ipv6_missing(name: &str, parent: &str) -> Option<String> {
    if Sysctl::DisableIpv6.read(name).is_err() {
        Some(format!("{name} has no IPv6"))
    } else if Sysctl::DisableIpv6
        .read(parent)
        .is_ok_and(|disabled| disabled != 0)
    {
        Some(format!("IPv6 is disabled on {parent}"))
    } else {
        None
    }
}
