//! Everything that this process holds in the kernel, and the means to change it.
//!
//! The files beside this one work on it: `ensure.rs` makes a device, `master.rs` takes and renews
//! addresses, `leave.rs` gives them up, `adopt.rs` finds what the previous instance left, `mend.rs` and
//! `inspection.rs` set back what other programs change.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use carp_proto::{IfIndex, Place, Unit, VirtualAddress};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, warn};

use super::addresses::Placed;
use super::attached::Attached;
use super::chores::{Chore, Chores};
use super::devices;
use super::held::{Device, Held};
use super::limited_log::LimitedLog;
use super::netlink::Netlink;
use super::news::News;
use super::own_addresses::OwnAddresses;
use super::sysctl::Sysctl;
use crate::net::Sender;

/// Holdings of all carp interfaces, on all physical interfaces.
#[derive(Debug)]
pub(super) struct Holdings {
    pub(super) netlink: Netlink,
    pub(super) sender: Sender,
    news: UnboundedSender<News>,
    pub(super) interfaces: BTreeMap<Unit, Held>,
    pub(super) attached: Attached,
    pub(super) own: OwnAddresses,
    pub(super) chores: Chores,
    pub(super) log: LimitedLog,
    /// Sysctls that cannot be set here, which the log has said.
    unsettable: BTreeSet<Sysctl>,
}

impl Holdings {
    /// Holds nothing but the physical interfaces that the previous instance has attached.
    pub(super) fn new(
        netlink: Netlink,
        sender: Sender,
        news: UnboundedSender<News>,
        attached: Attached,
    ) -> Self {
        Self {
            netlink,
            sender,
            news,
            interfaces: BTreeMap::new(),
            attached,
            own: OwnAddresses::default(),
            chores: Chores::default(),
            log: LimitedLog::default(),
            unsettable: BTreeSet::new(),
        }
    }

    /// Returns the holding of a carp interface; `None` if no work was done for it.
    pub(super) fn held(&self, unit: Unit) -> Option<&Held> {
        self.interfaces.get(&unit)
    }

    /// Returns the holding of a carp interface.
    pub(super) fn held_mut(&mut self, unit: Unit) -> &mut Held {
        self.interfaces.entry(unit).or_default()
    }

    /// Returns the device of a carp interface.
    pub(super) fn device(&self, unit: Unit) -> Option<Device> {
        self.held(unit).and_then(|held| held.device.clone())
    }

    /// Returns how the kernel is to have `address`.
    pub(super) fn placed(&self, unit: Unit, place: Place, address: VirtualAddress) -> Placed {
        let parent = self.held(unit).and_then(|held| held.parent_at(place));
        Placed::new(place, address, self.own.is_routed(parent, address))
    }

    /// Sends news to the protocol loop.
    pub(super) fn tell(&self, news: News) {
        // Fails while the protocol loop ends.
        let _ = self.news.send(news);
    }

    /// Reports that the kernel refused the device (`None`) or an address, once for each reason. A
    /// refused device is tried again.
    pub(super) fn refuse(&mut self, unit: Unit, address: Option<IpAddr>, error: String) {
        if address.is_none() {
            self.retry_later(unit);
        }
        let refused = &mut self.held_mut(unit).refused;
        if refused.get(&address) != Some(&error) {
            refused.insert(address, error.clone());
            self.tell(News::Refused {
                unit,
                address,
                error,
            });
        }
    }

    fn retry_later(&mut self, unit: Unit) {
        let chore = Chore::Retry(unit);
        if let Some(held) = self.interfaces.get(&unit)
            && held.wanted.is_some()
            && !self.chores.contains(chore)
        {
            self.chores.put_off_for(chore, held.pause_before_retry());
        }
    }

    /// Has a device removed that the carp interface does not use any more.
    pub(super) fn discard(&mut self, unit: Unit, index: u32) {
        if let Some(held) = self.interfaces.get_mut(&unit) {
            held.device = None;
        }
        self.chores.put_off(Chore::Discard(unit, index));
    }

    /// Sends frames on `device`.
    pub(super) fn send(&self, device: IfIndex, frames: &[Vec<u8>]) {
        let frames: Vec<(IfIndex, &[u8])> = frames
            .iter()
            .map(|frame| (device, frame.as_slice()))
            .collect();
        for result in self.sender.send_all(&frames) {
            if let Err(failure) = result {
                debug!(%device, "cannot announce: {failure:?}");
            }
        }
    }

    /// Returns true if an attempt to set this sysctl has failed.
    pub(super) fn is_unsettable(&self, sysctl: Sysctl) -> bool {
        self.unsettable.contains(&sysctl)
    }

    /// Sets a sysctl of a device of ours, by netlink if it has a number there, and otherwise by way of
    /// /proc/sys. Returns true if it is set. A failure is not fatal, and the log names it once for all
    /// devices: IPv6 may be missing, or /proc/sys read-only.
    pub(super) fn set(&mut self, index: u32, name: &str, sysctl: Sysctl, value: i32) -> bool {
        let result = if sysctl.number().is_some() {
            let change = devices::configure(index, &[(sysctl, value)]);
            let answer = self.netlink.change(change);
            answer.map_err(|error| error.to_string())
        } else {
            match sysctl.write(name, value) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    debug!("there is no {}", sysctl.name(name));
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
                    warn!(
                        "cannot set {} to {value}, nor that of other devices: {error}",
                        sysctl.name(name)
                    );
                }
                false
            }
        }
    }
}
