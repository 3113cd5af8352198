//! Connection to carpd for lists of everything, which are complete without it.

use carp_dbus::{Client, ConnectError};

use crate::exit::warn;

/// Connects to carpd; `None` if it does not run, because then there are no carp interfaces.
pub(super) async fn connect_if_running() -> Option<Client> {
    match Client::connect().await {
        Ok(client) => Some(client),
        Err(ConnectError::NoDaemon { .. }) => None,
        Err(error @ ConnectError::Failed { .. }) => {
            warn(&error.to_string());
            None
        }
    }
}
