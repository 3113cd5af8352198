//! Making the device of a carp interface: deaf, up, silent, and without addresses.

use carp_proto::{IfIndex, Mac, Unit};
use tracing::{debug, warn};

use super::chores::Chore;
use super::device_report::DeviceReport;
use super::devices::{self, Found};
use super::held::Device;
use super::holdings::Holdings;
use super::netlink_error::NetlinkError;
use super::news::News;
use super::sysctl::Sysctl;

impl Holdings {
    /// Makes the device of a carp interface unless it is there, and takes its addresses away.
    pub(super) fn ensure(&mut self, unit: Unit, parent: IfIndex, mac: Mac) {
        self.leave(unit);
        match self.make(unit, parent, mac) {
            Ok((device, is_ipv6_off)) => {
                let held = self.held_mut(unit);
                held.device = Some(device);
                held.is_ipv6_off = is_ipv6_off;
                held.refused.remove(&None);
                self.chores.cancel(Chore::Retry(unit));
                self.tell(News::Granted {
                    unit,
                    address: None,
                });
            }
            Err(error) => {
                self.held_mut(unit).device = None;
                self.refuse(unit, None, error);
            }
        }
    }

    /// Tries again to make a device that the kernel refused: since then a port may have left its bridge,
    /// and a name or a MAC may have become free.
    pub(super) fn retry(&mut self, unit: Unit) {
        let Some(held) = self.interfaces.get_mut(&unit) else {
            return;
        };
        if let Some((parent, mac)) = held.wanted {
            held.retries = held.retries.saturating_add(1);
            self.ensure(unit, parent, mac);
        }
    }

    /// Sets the sysctls again that a silent device has, after this host was MASTER.
    pub(super) fn silence(&mut self, unit: Unit) {
        let Some(device) = self.device(unit) else {
            return;
        };
        let name = unit.to_string();
        for (sysctl, value) in Sysctl::of_carp_device() {
            self.set(device.index, &name, sysctl, value);
        }
    }

    /// Returns the device, and whether it is known to be without IPv6.
    fn make(&mut self, unit: Unit, parent: IfIndex, mac: Mac) -> Result<(Device, bool), String> {
        let words = |error: NetlinkError| error.to_string();
        let gone = || format!("interface {parent} is gone");
        let link = self.netlink.link_numbered(parent.0).ok().flatten();
        let below = DeviceReport::of(&link.ok_or_else(gone)?);
        if below.is_macvlan {
            return Err(format!(
                "{} is itself a macvlan, on which a backup is deaf: \
                 use the interface below it, or lladdr parent",
                below.name
            ));
        }
        let name = unit.to_string();
        let reusable = match devices::find(&self.netlink, &name).map_err(words)? {
            Found::Nothing => None,
            Found::Ours(found) if found.parent == Some(parent) && found.mac == Some(mac) => {
                Some(found)
            }
            Found::Ours(found) => {
                devices::delete(&self.netlink, found.index).map_err(words)?;
                None
            }
            Found::Foreign => {
                return Err(format!(
                    "there is an interface {unit} that carpd has not made"
                ));
            }
        };
        let is_new = reusable.is_none();
        let index = if let Some(found) = reusable {
            found.index
        } else {
            let change = devices::create(unit, parent, mac);
            if let Err(error) = self.netlink.change(change) {
                return Err(self.reason(&error, &below));
            }
            match devices::find(&self.netlink, &name).map_err(words)? {
                Found::Ours(found) => found.index,
                Found::Nothing | Found::Foreign => {
                    return Err(format!("another program has removed {unit}"));
                }
            }
        };
        let is_ipv6_off = is_new && self.silence_new(unit, index);
        self.set_up(unit, index, parent, mac).map_err(words)?;
        let device = Device {
            index,
            parent,
            parent_name: below.name,
            mac,
        };
        Ok((device, is_ipv6_off))
    }

    /// Sets the sysctls of a new device that have no number. Returns true if IPv6 is disabled on it.
    fn silence_new(&mut self, unit: Unit, index: u32) -> bool {
        let name = unit.to_string();
        let mut is_ipv6_off = false;
        for (sysctl, value) in Sysctl::of_carp_device() {
            if sysctl.number().is_none() {
                let is_set = self.set(index, &name, sysctl, value);
                is_ipv6_off |= sysctl == Sysctl::DisableIpv6 && is_set;
            }
        }
        is_ipv6_off
    }

    /// Sets a new device up. If another device of ours still has its MAC on the same physical interface,
    /// that one was to be removed or changed and is removed first: no two carp interfaces have one vhid
    /// there. A device that the kernel refuses nevertheless is removed.
    fn set_up(
        &mut self,
        unit: Unit,
        index: u32,
        parent: IfIndex,
        mac: Mac,
    ) -> Result<(), NetlinkError> {
        let mut result = self.set_up_silently(unit, index);
        if let Err(error) = &result
            && error.errno == libc::EADDRINUSE
        {
            self.evict(index, parent, mac);
            result = self.set_up_silently(unit, index);
        }
        if result.is_err()
            && let Err(error) = devices::delete(&self.netlink, index)
        {
            debug!("cannot remove the device with number {index}: {error}");
        }
        result
    }

    /// Sets a device up that has all its sysctls and sends nothing, before that.
    fn set_up_silently(&self, unit: Unit, index: u32) -> Result<(), NetlinkError> {
        let sysctls: Vec<_> = Sysctl::of_carp_device().collect();
        let changes = vec![
            devices::generate_no_address(index),
            devices::mute(index),
            devices::configure(index, &sysctls),
        ];
        let mut answers = self.netlink.change_all(changes).into_iter();
        // The kernel refuses the first where it has no IPv6.
        answers.next();
        if let Some(Err(error)) = answers.next() {
            warn!("{unit}: cannot keep other programs from sending from the device: {error}");
        }
        answers.collect::<Result<(), _>>()?;
        self.netlink.change(devices::up(index))
    }

    /// Returns why the kernel refused a device. A bridge or a bond takes all packets of its ports
    /// (`netdev_rx_handler_register()`), and the kernel's own word for that is "busy".
    fn reason(&self, refused: &NetlinkError, below: &DeviceReport) -> String {
        let master = below.master.filter(|_| refused.errno == libc::EBUSY);
        let master = master.and_then(|index| self.netlink.name_of(IfIndex(index)));
        master.map_or_else(
            || refused.to_string(),
            |master| format!("{} is a port of {master}: use {master}", below.name),
        )
    }

    /// Removes every other device of ours with this MAC on `parent`.
    fn evict(&mut self, new: u32, parent: IfIndex, mac: Mac) {
        let mut others = Vec::new();
        let read = self.netlink.each_link(|link| {
            let report = DeviceReport::of(link);
            let has_mac = report.parent == Some(parent) && report.mac == Some(mac);
            if report.is_ours && has_mac && report.index != new {
                others.push(report.index);
            }
        });
        if let Err(error) = read {
            warn!("cannot read which device has {mac}: {error}");
        }
        for index in others {
            let owner = self.interfaces.iter().find_map(|(unit, held)| {
                let device = held.device.as_ref()?;
                (device.index == index).then_some(*unit)
            });
            if let Some(owner) = owner {
                self.leave(owner);
                self.held_mut(owner).device = None;
            }
            if let Err(error) = devices::delete(&self.netlink, index) {
                warn!("cannot remove the device with number {index}, which has {mac}: {error}");
            }
        }
    }
}
