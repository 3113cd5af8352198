//! The Common Address Redundancy Protocol without I/O: inputs and times in, actions out.
//!
//! [`Engine::handle`] takes one [`Input`] and the time, and returns an ordered list of [`Action`]s for
//! the caller to perform. [`Engine::deadline`] returns the time of the next [`Input::Deadline`]. The crate
//! reads no clock, opens no socket, and does not block, spawn or iterate in hash order, so the same inputs
//! always cause the same actions.
//!
//! The way of an advertisement: `wire` reads the formats, `engine/packets.rs` finds the virtual host,
//! `dialect/carp.rs` checks the packet and makes a claim of it, and `vhost.rs` decides.
//!
//! **Invariant:** bytes from the wire never cause a panic, and change a state only with a valid digest.

mod action;
mod announcement;
mod balance;
mod claim;
mod counters;
mod dialect;
mod election;
mod engine;
mod family;
mod fault;
mod input;
mod key;
mod lease;
mod link;
mod mac;
mod name;
mod numbers;
mod obstacle;
mod reason;
mod refusal;
mod saved;
mod sender;
mod settings;
mod status;
mod suppression;
mod sysctl;
mod time;
mod vhost;
mod warning;
pub mod wire;

pub use action::{Action, Answer, Notice, Place, Work};
pub use counters::{Counter, Counters};
pub use dialect::carp::digest::{Digests, Form};
pub use dialect::carp::mismatch::Mismatch;
pub use dialect::carp::replay::{Replay, ReplayRefusal};
pub use dialect::carp::seal::{Seal, Sealed};
pub use dialect::carp::spent::Spent;
pub use election::{Interval, Priority};
pub use engine::Engine;
pub use family::Family;
pub use input::{Input, Request, RequestId, SendFailure};
pub use key::{Key, KeyError};
pub use lease::{Lease, LeasedOn};
pub use link::{DeviceAddress, Gateway, IfIndex, Link};
pub use mac::Mac;
pub use name::{Unit, UnitError};
pub use numbers::{Advbase, Advskew, OutOfRange, Vhid};
pub use obstacle::Obstacle;
pub use reason::Reason;
pub use refusal::{Refusal, RefusalKind};
pub use saved::{AcceptedCounters, SavedInterface, SavedState, UnsavedState};
pub use settings::{Change, DeviceName, ForcedState, LinkLayer, Settings, VirtualAddress};
pub use status::{AddressStatus, Peer, StateName, Status, Transition};
pub use suppression::{Cause, HolderId, Suppression};
pub use sysctl::{Sysctl, Sysctls};
pub use time::{Instant, Now, UnixTime};
pub use warning::Warning;
