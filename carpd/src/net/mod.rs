//! Packet sockets of the protocol loop: advertisements and ARP requests in, frames out.

mod receive;
mod socket;

pub(crate) use receive::{Batch, HelperRequest, Receivers, helper_mac, virtual_macs};
pub(crate) use socket::{Sender, report};
