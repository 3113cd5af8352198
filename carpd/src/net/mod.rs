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

pub(crate) use ports::{Batch, Order, Ports};
pub(crate) use socket::Sender;
