//! Bytes on the wire and the values they mean: one file for each format.
//!
//! Every file has the same order: what the format is, its constants, its value, `parse`, `emit`,
//! tests with bytes. `parse` judges form alone; whether a packet is welcome is decided elsewhere.
//!
//! **Invariant:** `parse` takes any bytes whatever and never panics.

pub mod arp;
pub mod carp;
pub mod checksum;
pub mod ethernet;
pub mod frames;
pub mod ipv4;
pub mod ipv6;
pub mod ndisc;

/// The bytes contradict themselves, or are not what this parser reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed packet")]
pub struct Malformed;
