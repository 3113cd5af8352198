//! The ways to carpd: an address that was given, the private socket, the system bus.

use std::env;
use std::io::ErrorKind;

use tokio::time::timeout;
use zbus::Connection;
use zbus::connection::Builder;

use crate::client::PATIENCE;
use crate::names::{ADDRESS_VARIABLE, BUS_NAME, PRIVATE_SOCKET};
use crate::{Client, ConnectError, Error, plain};

impl Client {
    /// Connects to the peer-to-peer address in `CARPD_BUS_ADDRESS` if that is set; else to the
    /// private socket, which is root's; else by way of the system bus.
    ///
    /// # Errors
    ///
    /// [`ConnectError::NoDaemon`] if carpd is nowhere, [`ConnectError::Failed`] if it is there
    /// but cannot be spoken to.
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
            Err(Trouble::Nobody(_)) => Err(private.and("there is no system bus")),
            Err(Trouble::Other(error)) => Err(failed("the system bus", error)),
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
            Err(Trouble::Nobody(why)) => Err(ConnectError::NoDaemon {
                tried: format!("{address}: {why}"),
            }),
            Err(Trouble::Other(error)) => Err(failed(address, error)),
        }
    }

    async fn over(connection: Connection, address: &str) -> Result<Self, ConnectError> {
        let client = Self::new(connection).await;
        client.map_err(|error| failed(address, error.to_string()))
    }

    /// On a bus carpd may be missing, or be started by the first call.
    async fn over_bus(connection: Connection, private: &Trouble) -> Result<Self, ConnectError> {
        let client = Self::over(connection, "the system bus").await?;
        match client.version().await {
            Ok(_) => Ok(client),
            Err(Error::Bus(zbus::Error::FDO(error)))
                if matches!(
                    *error,
                    zbus::fdo::Error::ServiceUnknown(_) | zbus::fdo::Error::NameHasNoOwner(_)
                ) =>
            {
                Err(private.and("nobody owns org.carpd1 on the system bus"))
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

/// Why a connection could not be had.
enum Trouble {
    /// Nobody listens there.
    Nobody(String),
    /// Somebody does.
    Other(String),
}

impl Trouble {
    /// The private socket was no way, and neither was the system bus.
    fn and(&self, bus: &str) -> ConnectError {
        match self {
            Self::Nobody(why) => ConnectError::NoDaemon {
                tried: format!("{PRIVATE_SOCKET}: {why}; {bus}"),
            },
            Self::Other(why) => failed(PRIVATE_SOCKET, format!("{why}, and {bus}")),
        }
    }
}

async fn open(builder: Builder<'_>) -> Result<Connection, Trouble> {
    match timeout(PATIENCE, builder.method_timeout(PATIENCE).build()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(zbus::Error::Connection(error, _) | zbus::Error::InputOutput(error))) => {
            let text = plain(&error).to_lowercase();
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) {
                Err(Trouble::Nobody(text))
            } else {
                Err(Trouble::Other(text))
            }
        }
        Ok(Err(error)) => Err(Trouble::Other(error.to_string())),
        Err(_) => Err(Trouble::Other("no answer within five seconds".to_owned())),
    }
}
