//! Messages, effects and requests.

use carp_dbus::ifconfig::Changes;
use carp_dbus::{Change, InterfaceInfo, SuppressionInfo};
use crossterm::event::{KeyEvent, MouseEvent};

use crate::model::Snapshot;

/// Reason of a failed connection if carpd does not run.
pub(crate) const NOT_RUNNING: &str = "carpd is not running";

/// Advice for [`NOT_RUNNING`].
pub(crate) const START: &str = "start it with: systemctl start carpd";

/// Message to the program. Times are in microseconds since the epoch.
#[derive(Debug)]
pub enum Msg {
    /// Current time.
    Tick(u64),
    /// Key.
    Key(KeyEvent),
    /// Mouse event.
    Mouse(MouseEvent),
    /// New size of the terminal: columns and rows.
    Resize(u16, u16),
    /// Snapshot after connecting to carpd or after [`Request::ReadAll`].
    Snapshot(Box<Snapshot>),
    /// Reason why there is no connection to carpd.
    Disconnected(String),
    /// Answer to [`Request::List`].
    Listed {
        /// Interfaces.
        interfaces: Vec<InterfaceInfo>,
        /// Microseconds until the answer arrived.
        took: u64,
    },
    /// Answer to [`Request::Refresh`].
    Refreshed {
        /// Interfaces.
        interfaces: Vec<InterfaceInfo>,
        /// Microseconds until the answer arrived.
        took: u64,
    },
    /// Failure of a request that reads.
    ReadFailed(String),
    /// Change that carpd announced.
    Change(Box<Change>),
    /// Answer to [`Request::Suppressions`].
    Suppressions(Vec<SuppressionInfo>),
    /// Result of a request that changes something, as text.
    Done(Result<String, String>),
    /// End of the program: a signal, or the loss of the terminal.
    End,
}

/// Effect of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a request to carpd.
    Request(Request),
    /// Draw the whole screen again.
    Redraw,
    /// Restore the terminal and stop until continued.
    Suspend,
    /// End the program.
    Quit,
}

/// Request to carpd.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Read all interfaces.
    List,
    /// Read these interfaces.
    Refresh(Vec<String>),
    /// Read everything.
    ReadAll,
    /// Read the causes of suppression.
    Suppressions,
    /// Create an interface with these settings.
    Create(String, Changes),
    /// Change settings of an interface, all or none.
    Configure(String, Changes),
    /// Destroy an interface.
    Destroy(String),
    /// Set a sysctl.
    Sysctl(String, u64),
}
