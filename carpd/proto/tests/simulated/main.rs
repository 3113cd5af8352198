//! Engines on simulated wires with a clock of their own, and with recorded traffic.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot continue fails"
)]

mod capture;
mod clocks;
mod counters;
mod groups;
mod hostile;
mod invariants;
mod pcaps;
mod replays;
mod restarts;
#[expect(dead_code, reason = "the search uses the rest of it")]
mod segment;
mod stories;
mod warnings;
