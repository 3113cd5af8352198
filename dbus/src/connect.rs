//! Connections to carpd: to a given address, the private socket, or the system bus.

use std::env;
use std::io::ErrorKind;

use tokio::time::timeout;
use zbus::Connection;
use zbus::connection::Builder;

use crate::client::REPLY_TIMEOUT;
use crate::names::{ADDRESS_VARIABLE, BUS_NAME, PRIVATE_SOCKET};
use crate::{Client, ConnectError, Error, plain};

impl Client {
    /// Connects to the peer-to-peer address in `CARPD_BUS_ADDRESS` if that is set; otherwise to the
    /// private socket, which is root's; otherwise through the system bus.
    ///
    /// # Errors
    ///
    /// [`ConnectError::NoDaemon`] if carpd does not run, [`ConnectError::Failed`] if it runs but
    /// the connection fails.
    pub async fn connect() -> Result<Self, ConnectError> {
        if let Some(address) = env::var(ADDRESS_VARIABLE)
            .ok()
            .filter(|address| !address.is_empty())
        {
            return Self::connect_to(&address).await;
        }
        let address = format!("unix:path={PRIVATE_SOCKET}");
        let private = match open(Builder::address(address.as_str()).p2p()).await {
            Ok(connection) => return Self::over(connection, PRIVATE_SOCKET).await,
            Err(trouble) => trouble,
        };
        match open(Builder::system()).await {
            Ok(connection) => Self::over_bus(connection, &private).await,
            Err(ConnectFailure::NotListening(_)) => Err(private.and("there is no system bus")),
            Err(ConnectFailure::Other(error)) => Err(failed("the system bus", error)),
        }
    }

    /// Connects to a peer-to-peer address such as `unix:path=/run/carpd/bus`.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`].
    pub async fn connect_to(address: &str) -> Result<Self, ConnectError> {
        match open(Builder::address(address).p2p()).await {
            Ok(connection) => Self::over(connection, address).await,
            Err(ConnectFailure::NotListening(why)) => Err(ConnectError::NoDaemon {
                tried: format!("{address}: {why}"),
            }),
            Err(ConnectFailure::Other(error)) => Err(failed(address, error)),
        }
    }

    async fn over(connection: Connection, address: &str) -> Result<Self, ConnectError> {
        let client = Self::new(connection).await;
        client.map_err(|error| failed(address, error.to_string()))
    }

    /// Connects through a bus, where carpd may be missing or be started by the first call.
    async fn over_bus(
        connection: Connection,
        private: &ConnectFailure,
    ) -> Result<Self, ConnectError> {
        let client = Self::over(connection, "the system bus").await?;
        match client.version().await {
            Ok(_) => Ok(client),
            Err(Error::Bus(zbus::Error::FDO(error)))
                if matches!(
                    *error,
                    zbus::fdo::Error::ServiceUnknown(_) | zbus::fdo::Error::NameHasNoOwner(_)
                ) =>
            {
                Err(private.and("org.carpd1 has no owner on the system bus"))
            }
            Err(error) => {
                let address = format!("{BUS_NAME} on the system bus");
                Err(failed(&address, error.to_string()))
            }
        }
    }
}

fn failed(address: &str, error: String) -> ConnectError {
    ConnectError::Failed {
        address: address.to_owned(),
        error,
    }
}

/// Reason for a failed connection.
enum ConnectFailure {
    /// No program listens there.
    NotListening(String),
    /// Any other error.
    Other(String),
}

impl ConnectFailure {
    /// Combines the errors of the private socket and of the system bus.
    fn and(&self, bus: &str) -> ConnectError {
        match self {
            Self::NotListening(why) => ConnectError::NoDaemon {
                tried: format!("{PRIVATE_SOCKET}: {why}; {bus}"),
            },
            Self::Other(why) => failed(PRIVATE_SOCKET, format!("{why}, and {bus}")),
        }
    }
}

async fn open(builder: Builder<'_>) -> Result<Connection, ConnectFailure> {
    match timeout(REPLY_TIMEOUT, builder.method_timeout(REPLY_TIMEOUT).build()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(zbus::Error::Connection(error, _) | zbus::Error::InputOutput(error))) => {
            let text = plain(&error).to_lowercase();
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) {
                Err(ConnectFailure::NotListening(text))
            } else {
                Err(ConnectFailure::Other(text))
            }
        }
        Ok(Err(error)) => Err(ConnectFailure::Other(error.to_string())),
        Err(_) => Err(ConnectFailure::Other(
            "no answer within five seconds".to_owned(),
        )),
    }
}
