//! The bus: one connection with the name `org.carpd1`, made again whenever it is lost.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use carp_dbus::names::BUS_NAME;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};
use zbus::address::transport::{Transport, UnixSocket};
use zbus::connection::Builder;
use zbus::fdo::RequestNameFlags;
use zbus::{Address, Connection};

use super::Bus;
use super::callers::Callers;
use super::hub::Hub;
use super::peer::{self, Attendance, Way};

/// How long the bus may take to let us in.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between attempts: the first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What is wrong with a connection that carpd had.
const LOST: &str = "the connection was lost";

/// Whether carpd is on the bus.
#[derive(Clone, Debug, Default)]
pub(super) enum Presence {
    /// It tries for the first time.
    #[default]
    Trying,
    /// It is, by this connection.
    There(Connection),
    /// It is not; it may try again.
    Absent,
}

/// Is on `bus` until the hub is closed.
pub(super) async fn keep(hub: &Arc<Hub>, bus: Bus) {
    tokio::select! {
        () = hub.closed() => {}
        () = stay(hub, &bus) => {}
    }
    hub.presence().send_replace(Presence::Absent);
}

/// Waits until carpd is on the bus, or would be if the bus were there.
pub(super) async fn tried(hub: &Hub) {
    let mut presence = hub.presence().subscribe();
    // The sender is in `hub`, so that waiting cannot fail.
    let _ = presence
        .wait_for(|presence| !matches!(presence, Presence::Trying))
        .await;
}

/// Ends only if there is no bus to be on.
async fn stay(hub: &Arc<Hub>, bus: &Bus) {
    let (first, longest) = PAUSES;
    let mut pause = first;
    let mut told = String::new();
    while let Some((name, address)) = target(bus) {
        let since = Instant::now();
        let problem = match timeout(PATIENCE, enter(hub, address)).await {
            Ok(Ok(attendance)) => {
                info!("{BUS_NAME} is on {name}");
                let connection = attendance.connection().clone();
                hub.presence().send_replace(Presence::There(connection));
                attendance.attend().await;
                LOST.to_owned()
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it does not answer".to_owned(),
        };
        hub.presence().send_replace(Presence::Absent);
        if since.elapsed() > longest {
            pause = first;
        }
        // A host that stops ends its bus and carpd at the same time: what ends within the pause was
        // told to, and has lost nothing.
        if problem == LOST {
            tokio::time::sleep(pause).await;
        }
        // The private socket works without: say it once, not every half a minute.
        if told == problem {
            debug!("{name}: {problem}");
        } else {
            warn!("{name}: {problem}; trying again");
        }
        if problem != LOST {
            tokio::time::sleep(pause).await;
        }
        told = problem;
        pause = (pause * 2).min(longest);
    }
}

/// The bus's name for people, and its address.
fn target(bus: &Bus) -> Option<(&str, zbus::Result<Address>)> {
    match bus {
        Bus::System => Some(("the system bus", Address::system())),
        Bus::At(address) => Some((address, Address::from_str(address))),
        Bus::None => None,
    }
}

/// Connects, with all objects there before the name is.
async fn enter(hub: &Arc<Hub>, address: zbus::Result<Address>) -> zbus::Result<Attendance> {
    let address = address?;
    let way = match path(&address) {
        Some(path) => {
            let stream = UnixStream::connect(path)
                .await
                .map_err(|error| zbus::Error::Connection(Arc::new(error), Box::new(address)))?;
            Way::over(stream, |builder| builder)
        }
        None => Way::other(Builder::address(address)),
    };
    let attendance = peer::open(hub, way, Callers::Bus(Arc::default())).await?;
    attendance
        .connection()
        .request_name_with_flags(BUS_NAME, RequestNameFlags::DO_NOT_QUEUE)
        .await?;
    Ok(attendance)
}

/// Where the UNIX socket is; behind a zero byte the name of one that is in no file system.
fn path(address: &Address) -> Option<PathBuf> {
    let Transport::Unix(unix) = address.transport() else {
        return None;
    };
    match unix.path() {
        UnixSocket::File(path) => Some(path.clone()),
        UnixSocket::Abstract(name) => {
            let mut path = OsString::from("\0");
            path.push(name);
            Some(path.into())
        }
        // Places for servers to listen at.
        UnixSocket::Dir(_) | UnixSocket::TmpDir(_) | _ => None,
    }
}
