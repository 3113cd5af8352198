//! Sockets: advertisements and ARP requests in, frames out.
//!
//! Packet sockets see frames before netfilter, reverse-path filtering and macvlan devices can take
//! them, so receiving is complete whatever the host's firewall does. One on a physical interface is
//! passed by all that the host forwards: [`ears`] says when another one will do.

mod ears;
mod filter;
mod heard;
mod memberships;
mod port;
mod ports;
pub(crate) mod probe;
mod socket;
#[cfg(test)]
mod tests;

use std::io;

use carp_proto::IfIndex;
use tracing::{debug, warn};

pub(crate) use ports::{Batch, Order, Ports};
pub(crate) use socket::Sender;

/// Logs that `device` cannot be received on. Of one that is gone the protocol says so.
pub(crate) fn report(device: IfIndex, error: &io::Error) {
    if is_gone(error) {
        debug!(%device, "cannot receive: {error}");
    } else {
        warn!("cannot receive on interface {device}: {error}");
    }
}

/// Whether there is no such interface (any more).
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
}
