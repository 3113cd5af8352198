//! Connection to the bus, with the name `org.carpd1`. carpd connects again whenever it is lost.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use carp_dbus::names::BUS_NAME;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};
use zbus::address::transport::{Transport as ZbusTransport, UnixSocket};
use zbus::connection::Builder;
use zbus::fdo::RequestNameFlags;
use zbus::{Address, Connection};

use super::callers::Callers;
use super::server::{ServedConnection, Server, Transport};

/// Time limit for connecting and for the name.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// First and longest pause between attempts.
const RETRY_INTERVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Problem of a connection that was established.
const LOST: &str = "the connection was lost";

/// Bus to connect to: the argument of `--bus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bus {
    /// The system bus, at the address in `DBUS_SYSTEM_BUS_ADDRESS` if that is set.
    System,
    /// The bus at a D-Bus address.
    At(String),
    /// None.
    None,
}

impl FromStr for Bus {
    type Err = zbus::Error;

    fn from_str(text: &str) -> Result<Self, zbus::Error> {
        match text {
            "system" => Ok(Self::System),
            "none" => Ok(Self::None),
            address => Address::from_str(address).map(|_| Self::At(address.to_owned())),
        }
    }
}

/// Stays connected to `bus`, and publishes the connection after each attempt. Ends if there is no bus.
pub(crate) async fn stay_connected(
    server: &Server,
    bus: &Bus,
    connection: &watch::Sender<Option<Connection>>,
) {
    let (first, longest) = RETRY_INTERVALS;
    let mut pause = first;
    let mut logged = String::new();
    while let Some((name, address)) = target(bus) {
        let since = Instant::now();
        let problem = match timeout(CONNECT_TIMEOUT, enter(server, address)).await {
            Ok(Ok(entered)) => {
                info!("{BUS_NAME} is on {name}");
                connection.send_replace(Some(entered.connection().clone()));
                entered.serve().await;
                LOST.to_owned()
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it does not answer".to_owned(),
        };
        connection.send_replace(None);
        if since.elapsed() > longest {
            pause = first;
        }
        // A host that shuts down stops its bus and carpd at the same time. If carpd ends within the
        // pause, it has lost nothing.
        if problem == LOST {
            tokio::time::sleep(pause).await;
        }
        // The private socket still works, so that a lasting problem is logged once.
        if logged == problem {
            debug!("{name}: {problem}");
        } else {
            warn!("{name}: {problem}; trying again");
        }
        if problem != LOST {
            tokio::time::sleep(pause).await;
        }
        logged = problem;
        pause = (pause * 2).min(longest);
    }
    connection.send_replace(None);
}

/// Returns the bus as log lines name it, and its address.
fn target(bus: &Bus) -> Option<(&str, zbus::Result<Address>)> {
    match bus {
        Bus::System => Some(("the system bus", Address::system())),
        Bus::At(address) => Some((address, Address::from_str(address))),
        Bus::None => None,
    }
}

/// Connects, and requests the name once all objects exist.
async fn enter(server: &Server, address: zbus::Result<Address>) -> zbus::Result<ServedConnection> {
    let address = address?;
    let transport = match path(&address) {
        Some(path) => {
            let stream = UnixStream::connect(path)
                .await
                .map_err(|error| zbus::Error::Connection(Arc::new(error), Box::new(address)))?;
            Transport::unix(stream, |builder| builder)
        }
        None => Transport::other(Builder::address(address)),
    };
    let connection = server.open(transport, Callers::Bus(Arc::default())).await?;
    connection
        .connection()
        .request_name_with_flags(BUS_NAME, RequestNameFlags::DO_NOT_QUEUE)
        .await?;
    Ok(connection)
}

/// Returns the path of the UNIX socket, or an abstract name after a zero byte.
fn path(address: &Address) -> Option<PathBuf> {
    let ZbusTransport::Unix(unix) = address.transport() else {
        return None;
    };
    match unix.path() {
        UnixSocket::File(path) => Some(path.clone()),
        UnixSocket::Abstract(name) => {
            let mut path = OsString::from("\0");
            path.push(name);
            Some(path.into())
        }
        // Addresses of listening servers only.
        UnixSocket::Dir(_) | UnixSocket::TmpDir(_) | _ => None,
    }
}
