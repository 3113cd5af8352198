//! Formats on the wire: one file for each.
//!
//! Each file has the same order: constants, value, `parse`, `emit`, tests with bytes. `parse` judges
//! form alone; the engine and the dialect decide whether a packet is accepted.
//!
//! **Invariant:** `parse` accepts any bytes and never panics.

pub mod arp;
pub mod carp;
pub mod checksum;
pub mod ethernet;
pub mod frames;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
mod malformed;
pub mod ndisc;

pub use malformed::Malformed;
