//! What comes in and what goes out: messages, effects and orders.

use carp_dbus::ifconfig::Changes;
use carp_dbus::{Change, InterfaceInfo, SuppressionInfo};
use crossterm::event::{KeyEvent, MouseEvent};

use crate::model::Snapshot;

/// Why there is nothing to show where carpd was not started.
pub(crate) const NOT_RUNNING: &str = "carpd is not running";

/// What to do about that.
pub(crate) const START: &str = "start it with: systemctl start carpd";

/// Something that happened. Times are in microseconds since the epoch.
#[derive(Debug)]
pub enum Msg {
    /// It is this late now.
    Tick(u64),
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse was used.
    Mouse(MouseEvent),
    /// The terminal has this many columns and rows.
    Resize(u16, u16),
    /// Connected to carpd, and everything was read.
    Snapshot(Box<Snapshot>),
    /// There is no carpd, or it is gone: why.
    Disconnected(String),
    /// Every interface, as asked for with [`Order::List`].
    Listed {
        /// The interfaces.
        interfaces: Vec<InterfaceInfo>,
        /// How many microseconds that took.
        took: u64,
    },
    /// Some interfaces, as asked for with [`Order::Look`].
    Refreshed {
        /// The interfaces.
        interfaces: Vec<InterfaceInfo>,
        /// How many microseconds that took.
        took: u64,
    },
    /// What was asked for could not be read: why.
    ReadFailed(String),
    /// Something changed.
    Change(Box<Change>),
    /// Who suppresses preemption.
    Suppressions(Vec<SuppressionInfo>),
    /// What became of an order that changes something: in words.
    Done(Result<String, String>),
    /// A signal asks to end, or the terminal is gone.
    End,
}

/// What must be done about a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Something for carpd.
    Request(Request),
    /// Draw the whole screen anew.
    Redraw,
    /// Give the terminal back until we are continued.
    Suspend,
    /// End.
    Quit,
}

/// Something for carpd.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Read every interface.
    List,
    /// Read these interfaces.
    Refresh(Vec<String>),
    /// Read everything anew.
    ReadAll,
    /// Read who suppresses preemption.
    Suppressions,
    /// Create an interface with these settings.
    Create(String, Changes),
    /// Change these settings of an interface, all or nothing.
    Configure(String, Changes),
    /// Remove an interface.
    Destroy(String),
    /// Set a sysctl.
    Sysctl(String, u64),
}
