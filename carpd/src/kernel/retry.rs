//! What the kernel refused is tried again, with growing pauses, until it does not refuse it any
//! more: a port leaves its bridge, a name or a MAC becomes free.

use core::time::Duration;

use carp_proto::{IfIndex, Mac, Unit};
use netlink_packet_route::link::LinkAttribute;
use tracing::{debug, warn};

use super::devices::{self, Seen};
use super::netlink_error::NetlinkError;
use super::worker::{Chore, Worker};

/// The pause before the first retry; each one is twice as long as the one before,
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// but no longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Worker {
    /// The device of `unit` was refused.
    pub(super) fn try_again_later(&mut self, unit: Unit) {
        let chore = Chore::Retry(unit);
        let is_planned = self.chores.iter().any(|(_, planned)| *planned == chore);
        let state = self.state(unit);
        if !is_planned && state.is_some_and(|state| state.wanted.is_some()) {
            self.put_off(chore);
        }
    }

    /// How long the next retry waits.
    pub(super) fn pause_before_retry(&self, unit: Unit) -> Duration {
        let retries = self.state(unit).map_or(0, |state| state.retries);
        pause(retries)
    }

    /// Asks again for the device that `unit` shall have.
    pub(super) fn retry(&mut self, unit: Unit) {
        let Some(state) = self.units.get_mut(&unit) else {
            return;
        };
        let Some((parent, mac)) = state.wanted else {
            return;
        };
        state.retries = state.retries.saturating_add(1);
        self.ensure(unit, parent, mac);
    }

    /// Sets a new device up. Another one of ours that still has its MAC on the same physical
    /// interface was to be removed or changed, and goes first: no two carp interfaces have the
    /// same vhid there. If the kernel refuses this one all the same, it is removed.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(super) fn set_up_first(
        &mut self,
        unit: Unit,
        index: u32,
        parent: IfIndex,
        mac: Mac,
    ) -> Result<(), NetlinkError> {
        let mut result = self.first_up(unit, index);
        if let Err(NetlinkError {
            errno: libc::EADDRINUSE,
            ..
        }) = result
        {
            self.evict(index, parent, mac);
            result = self.first_up(unit, index);
        }
        if result.is_err()
            && let Err(error) = devices::delete(&self.netlink, index)
        {
            debug!("cannot remove the device of number {index}: {error}");
        }
        result
    }

    /// Why the kernel refused a device on `parent`. A bridge or a bond takes all that comes in on
    /// its ports (`netdev_rx_handler_register()`), and the kernel's own word for it is "busy".
    pub(super) fn reason(&self, refused: &NetlinkError, parent: &Seen) -> String {
        let master = parent.master.filter(|_| refused.errno == libc::EBUSY);
        let master = match master {
            Some(index) => self.netlink.name_of(IfIndex(index)),
            None => None,
        };
        master.map_or_else(
            || refused.to_string(),
            |master| format!("{} is a port of {master}: use {master}", parent.name),
        )
    }

    /// Removes every other device of ours with this MAC on `parent`.
    fn evict(&mut self, new: u32, parent: IfIndex, mac: Mac) {
        let mut others = Vec::new();
        let seen = self.netlink.each_link(|link| {
            let on_parent = link.attributes.contains(&LinkAttribute::Link(parent.0));
            let has_mac = link
                .attributes
                .contains(&LinkAttribute::Address(mac.0.to_vec()));
            if devices::is_ours(link) && on_parent && has_mac && link.header.index != new {
                others.push(link.header.index);
            }
        });
        if let Err(error) = seen {
            warn!("cannot see who has {mac}: {error}");
        }
        for index in others {
            let is_it = |unit: &Unit| self.device(*unit).is_some_and(|it| it.index == index);
            let owner = self.units.keys().copied().find(is_it);
            if let Some(owner) = owner {
                self.leave(owner);
                if let Some(state) = self.units.get_mut(&owner) {
                    state.device = None;
                }
            }
            if let Err(error) = devices::delete(&self.netlink, index) {
                warn!("cannot remove the device of number {index}, which has {mac}: {error}");
            }
        }
    }
}

/// The pause after so many retries.
fn pause(retries: u32) -> Duration {
    let doubled = FIRST_PAUSE.checked_mul(1_u32.checked_shl(retries).unwrap_or(u32::MAX));
    doubled.map_or(LONGEST_PAUSE, |pause| pause.min(LONGEST_PAUSE))
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
