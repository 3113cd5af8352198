//! Lab: hosts, switches and cables in network namespaces, and programs that run in them.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use carp_tests::{Carpd, Lab};
//!
//! let lab = Lab::new()?;
//! let a = lab.host("a", &[("lan", "192.168.1.2/24")])?;
//! let carpd = Carpd::start(&a)?;
//! carpd.carpctl("carp0 create")?;
//! carpd.carpctl("carp0 vhid 1 pass mekmitasdigoat 192.168.1.1/24")?;
//! # Ok(()) }
//! ```
//!
//! The lab changes nothing outside its namespaces. Their names contain the process ID of the test,
//! and the next test removes the namespaces of a test that was killed.
#![expect(
    clippy::missing_errors_doc,
    reason = "every error fails the story in which it occurs"
)]

mod bus;
mod capture;
mod carpd;
mod datagram;
mod flood;
mod forged;
mod frame;
mod hang;
mod health;
mod host;
mod lab;
mod manual;
mod pair;
mod peers;
mod ping;
mod polkit;
mod process;
mod programs;
mod quick_peer;
mod random;
mod root;
mod sweep;
mod terminal;
mod wait;
mod wall_clock;
mod wire;

pub use bus::Bus;
pub use capture::Capture;
pub use carpd::{Carpd, Interface, Outcome, Transition};
pub use datagram::receive;
pub use flood::{Flood, FloodResult};
pub use forged::{carp_frame, forged};
pub use frame::{Advertisement, Arp, Echo, Family, Frame, NeighbourMessage};
pub use health::{Footprint, GROWTH};
pub use host::Host;
pub use lab::Lab;
pub use manual::{Example, Shell, example, examples, executable, source, typed_and_printed};
pub use pair::{Pair, VIRTUAL_MAC};
pub use peers::{Keepalived, Ucarp};
pub use ping::{Ping, ping};
pub use polkit::Polkit;
pub use process::{Process, keep_quiet};
pub use programs::{build_directory, program};
pub use quick_peer::QuickPeer;
pub use random::Random;
pub use root::{Root, succeeds};
pub use sweep::sweep;
pub use terminal::Terminal;
pub use wait::{MARGIN, REACTION_TIMEOUT, check_interrupted, interrupt, master_down, wait_until};
pub use wall_clock::WallClock;
pub use wire::Wire;
