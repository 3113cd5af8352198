//! ifconfig(8)'s words for carp interfaces: a line is parsed as a whole and becomes one dictionary
//! of settings.
//!
//! carpctl parses command lines with it, and carpd its configuration.
//!
//! ```
//! use carp_dbus::ifconfig::{Action, Line};
//!
//! let words = ["vhid", "1", "192.0.2.1/24"].map(Into::into);
//! let Action::Configure(changes) = Line::parse(&words)?.action else {
//!     unreachable!("there is neither create nor destroy");
//! };
//! let settings = changes.settings()?;
//! # Ok::<(), String>(())
//! ```

mod address;
mod bad_value;
mod keywords;
mod line;
mod message;
mod secret;
mod words;

pub use address::{Family, mask_text};
pub use bad_value::BadValue;
pub use keywords::{Candidates, Change, KEYWORDS, Keyword, Parameter, find};
pub use line::{Action, Changes, Line};
pub use secret::Secret;
pub use words::split;
