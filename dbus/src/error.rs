//! What can go wrong on the way to carpd, and what carpd refuses.

use core::fmt;

use zbus::DBusError;

/// A refusal with one of the names `org.carpd1.Error.*`, or trouble on the way there.
///
/// [`Display`](fmt::Display) gives the message alone: one line that names the interface, the
/// value and what would be right.
#[derive(Clone, Debug, PartialEq, DBusError)]
#[zbus(prefix = "org.carpd1.Error", impl_display = false)]
pub enum Error {
    /// The call did not get through, or its answer made no sense.
    #[zbus(error)]
    Bus(zbus::Error),
    /// It exists already, or is taken by another interface.
    Exists(String),
    /// There is no interface, address, sysctl or setting of that name.
    NotFound(String),
    /// The value cannot be.
    InvalidArgument(String),
    /// The address cannot be used.
    AddressNotAvailable(String),
    /// The physical interface does not exist or cannot carry CARP.
    NoDevice(String),
    /// The caller may not do that.
    NotPermitted(String),
    /// The sysctl cannot be set.
    ReadOnly(String),
    /// Not possible in the present state.
    Busy(String),
    /// Anything else.
    Failed(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bus(zbus::Error::MethodError(name, text, _)) => match text {
                Some(text) => f.write_str(text),
                None => name.fmt(f),
            },
            Self::Bus(zbus::Error::InputOutput(error))
                if error.kind() == std::io::ErrorKind::TimedOut =>
            {
                f.write_str("carpd does not answer")
            }
            Self::Bus(error) => error.fmt(f),
            Self::Exists(text)
            | Self::NotFound(text)
            | Self::InvalidArgument(text)
            | Self::AddressNotAvailable(text)
            | Self::NoDevice(text)
            | Self::NotPermitted(text)
            | Self::ReadOnly(text)
            | Self::Busy(text)
            | Self::Failed(text) => f.write_str(text),
        }
    }
}

/// Why a client could not connect.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConnectError {
    /// Nobody is there: carpd does not run.
    #[error("carpd is not running ({tried})")]
    NoDaemon {
        /// Where it was looked for, for people to read.
        tried: String,
    },
    /// Something is there, but it does not let us in or does not speak as expected.
    #[error("cannot connect to {address}: {error}")]
    Failed {
        /// Where.
        address: String,
        /// What went wrong.
        error: String,
    },
}
