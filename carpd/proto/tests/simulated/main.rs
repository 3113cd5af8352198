//! The engine among others: hosts on simulated wires with a clock of their own, and what was
//! recorded on real ones.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
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
