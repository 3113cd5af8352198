//! Errors of connections to carpd, and refusals by carpd.

use core::fmt;

use zbus::DBusError;

/// A refusal with one of the names `org.carpd1.Error.*`, or a failed call.
///
/// [`Display`](fmt::Display) gives only the message: one line that names the interface, the value
/// and the accepted values.
#[derive(Clone, Debug, PartialEq, DBusError)]
#[zbus(prefix = "org.carpd1.Error", impl_display = false)]
pub enum Error {
    /// The call failed, or its answer was malformed.
    #[zbus(error)]
    Bus(zbus::Error),
    /// It exists already, or another interface uses it.
    Exists(String),
    /// There is no interface, address, sysctl or setting of that name.
    NotFound(String),
    /// The value is not allowed.
    InvalidArgument(String),
    /// The address cannot be used.
    AddressNotAvailable(String),
    /// The physical interface does not exist or cannot carry CARP.
    NoDevice(String),
    /// The caller is not authorised.
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

/// Reason for a failed connection.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConnectError {
    /// carpd does not run.
    #[error("carpd is not running ({tried})")]
    NoDaemon {
        /// The addresses that were tried, as text.
        tried: String,
    },
    /// A program answers, but refuses the connection or does not speak as expected.
    #[error("cannot connect to {address}: {error}")]
    Failed {
        /// The address.
        address: String,
        /// The error.
        error: String,
    },
}
