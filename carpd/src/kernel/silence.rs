//! The silence of a carp device: before it is first set up, and while this host is BACKUP, nothing
//! leaves from it. Its sysctls are set by netlink where they have a number, and by way of /proc
//! where not.

use carp_proto::Unit;
use tracing::{debug, warn};

use super::devices::{self, DISABLE_IPV6};
use super::netlink_error::NetlinkError;
use super::sysctls::Sysctl;
use super::worker::Worker;

impl Worker {
    /// Sets the sysctls of a new device that have no number. Gives whether IPv6 is known to be
    /// disabled on it.
    pub(super) fn silence(&mut self, unit: Unit, index: u32) -> bool {
        let name = unit.to_string();
        let mut ipv6_off = false;
        for &(sysctl, value) in devices::all_settings() {
            if sysctl.number().is_none() {
                let is_set = self.set(index, &name, sysctl, value);
                ipv6_off |= sysctl == DISABLE_IPV6 && is_set;
            }
        }
        ipv6_off
    }

    /// Sets a device up that nothing leaves and that has all its sysctls before.
    pub(super) fn first_up(&self, unit: Unit, index: u32) -> Result<(), NetlinkError> {
        let changes = vec![
            devices::generate_no_address(index),
            devices::mute(index),
            devices::configure(index, devices::all_settings()),
        ];
        let mut answers = self.netlink.change_all(changes).into_iter();
        // NetlinkError where there is no IPv6.
        answers.next();
        if let Some(Err(error)) = answers.next() {
            warn!("{unit}: cannot keep others from sending from the device: {error}");
        }
        answers.collect::<Result<(), _>>()?;
        self.netlink.change(devices::up(index))
    }

    /// Sets what a device that was found has while it is deaf.
    pub(super) fn quieten(&mut self, unit: Unit) {
        let Some(device) = self.device(unit) else {
            return;
        };
        let name = unit.to_string();
        for &(sysctl, value) in devices::all_settings() {
            self.set(device.index, &name, sysctl, value);
        }
    }

    /// Sets a sysctl of a device of ours; `true` if it is set. One that cannot be set is not fatal,
    /// and is named once for all devices: IPv6 may be missing, or /proc/sys may be read-only.
    pub(super) fn set(&mut self, index: u32, name: &str, sysctl: Sysctl, value: i32) -> bool {
        let result = if sysctl.number().is_some() {
            let answer = self
                .netlink
                .change(devices::configure(index, &[(sysctl, value)]));
            answer.map_err(|error| error.to_string())
        } else {
            match sysctl.write(name, value) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    debug!("{name} has no {}.{}", sysctl.family, sysctl.key);
                    return false;
                }
                result => result.map_err(|error| error.to_string()),
            }
        };
        match result {
            Ok(()) => {
                self.unsettable.remove(&sysctl);
                true
            }
            Err(error) => {
                if self.unsettable.insert(sysctl) {
                    let Sysctl { family, key } = sysctl;
                    warn!(
                        "cannot set net.{family}.conf.{name}.{key} to {value}, nor that of other \
                         devices: {error}"
                    );
                }
                false
            }
        }
    }
}
