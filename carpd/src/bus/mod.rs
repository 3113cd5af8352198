//! D-Bus: objects are views of the snapshot, methods are requests to the protocol loop, and signals are
//! its changes.
//!
//! The same objects are on every connection: each client of the private socket has one of its own, and
//! the bus is one more. Counters and times change with every advertisement and are not published each
//! time: when a client reads them, the loop is asked for those that have changed, once for all clients
//! and at most ten times a second.
//!
//! **Invariant:** no client can delay the protocol or another client. Every queue is bounded, and a
//! client that does not read is disconnected.

mod callers;
mod carpreq;
mod convert;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
mod holders;
mod interface;
mod manager;
mod object_manager;
mod objects;
mod polkit;
pub(crate) mod private;
pub(crate) mod server;
pub(crate) mod signals;
mod socket;
mod sysctl;
pub(crate) mod system;
#[cfg(test)]
mod tests;
