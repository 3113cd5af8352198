//! Sockets: advertisements and ARP requests in, frames out.
//!
//! Packet sockets see frames before netfilter, reverse-path filtering and macvlan devices can take
//! them, so receiving is complete whatever the host's firewall does.

mod filter;
mod memberships;
mod ports;
mod socket;
#[cfg(test)]
mod tests;

pub(crate) use ports::{Batch, Ports};
pub(crate) use socket::Sender;
