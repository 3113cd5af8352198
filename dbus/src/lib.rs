//! The D-Bus contract of carpd, `org.carpd1`, for Rust.
//!
//! The contract itself is in the introspection files of this package: `org.carpd1.Manager.xml`,
//! `org.carpd1.Sysctl.xml` and `org.carpd1.Interface.xml`. The package has the same names
//! ([`names`]), proxies ([`proxy`]), error names ([`Error`]), the dictionaries of type `a{sv}`
//! ([`properties`], [`row`], [`Settings`]), ifconfig's words that make them ([`ifconfig`]), and a
//! [`Client`] that carpctl and carptop share.
//!
//! It does not depend on carpd or on the protocol.

mod client;
mod connect;
mod error;
mod event;
pub mod ifconfig;
pub mod names;
mod number;
mod one_line;
pub mod properties;
pub mod proxy;
pub mod row;
mod settings;
mod types;
mod watch;

pub use client::Client;
pub use error::{ConnectError, Error};
pub use event::{EventInfo, EventRow};
pub use number::number;
pub use one_line::{one_line, plain};
pub use properties::InterfaceInfo;
pub use settings::{Setting, Settings};
pub use types::{AddressInfo, MasterInfo, SuppressionInfo, SysctlInfo, TransitionInfo};
pub use watch::{Change, Watch};
