//! systemd: notifications, watchdog pings, the status line, and a target for each interface that is
//! MASTER.
//!
//! **Invariant:** no thread waits for systemd.

pub(crate) mod notify;
mod socket;
pub(crate) mod status;
pub(crate) mod targets;
pub(crate) mod watchdog;
