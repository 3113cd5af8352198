//! Sockets: advertisements and ARP requests in, frames out.
//!
//! Packet sockets see frames before netfilter, reverse-path filtering and macvlan devices can take
//! them, so receiving is complete whatever the host's firewall does. One on a physical interface is
//! passed by all that the host forwards: [`receive`] says when another one will do.

mod receive;
mod socket;

pub(crate) use receive::{Batch, Order, Ports, probe};
pub(crate) use socket::{Sender, report};
