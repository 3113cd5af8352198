//! One connection: its objects, and the queue of signals that wait to be sent on it.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use carp_dbus::names::{ROOT_PATH, interface_path};
use carp_proto::Unit;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{sleep, timeout};
use tracing::debug;
use zbus::connection::Builder;
use zbus::message::Flags;
use zbus::{Connection, Message};

use super::callers::Callers;
use super::hub::Hub;
use super::interface::InterfaceObject;
use super::manager::Manager;
use super::objects::ObjectManager;
use super::sysctl::SysctlObject;

/// How many signals may wait for a client to read: thousands of interfaces may change their state
/// at once, each with several signals. Every connection queues the same messages, not copies.
const QUEUE: usize = 65_536;

/// How many of them are sent with one system call.
const BATCH: usize = 64;

/// How long a client may leave a message unread that does not fit into its socket's buffer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection as the emitter sees it.
#[derive(Debug)]
pub(super) struct Peer {
    connection: Connection,
    callers: Callers,
    queue: mpsc::Sender<Message>,
    /// The interfaces that have an object there.
    served: Mutex<BTreeSet<Unit>>,
}

/// What is left to do for a connection: sending.
#[derive(Debug)]
pub(super) struct Attendance {
    hub: Arc<Hub>,
    peer: Weak<Peer>,
    connection: Connection,
    queue: mpsc::Receiver<Message>,
    /// Sent when nothing else was for a while; on the bus it is the bus that watches its clients.
    knock: Option<Message>,
}

/// Builds a connection with all objects on it, and joins the hub.
///
/// # Errors
///
/// The other end is gone or does not speak D-Bus.
pub(super) async fn open(
    hub: &Arc<Hub>,
    builder: Builder<'_>,
    callers: Callers,
) -> zbus::Result<Attendance> {
    let mut served = BTreeSet::new();
    let mut builder = builder
        .method_timeout(PATIENCE)
        .serve_at(ROOT_PATH, Manager::new(Arc::clone(hub), callers.clone()))
        .serve_at(
            ROOT_PATH,
            SysctlObject::new(Arc::clone(hub), callers.clone()),
        )
        .serve_at(ROOT_PATH, ObjectManager::new(Arc::clone(hub)));
    let units: Vec<Unit> = hub.board().interfaces.keys().copied().collect();
    for unit in units {
        let object = InterfaceObject::new(Arc::clone(hub), callers.clone(), unit);
        builder = builder.serve_at(interface_path(&unit.to_string()), object);
        served.insert(unit);
    }
    let connection = builder.build().await?;

    let (sender, queue) = mpsc::channel(QUEUE);
    let known = served.clone();
    let knock = match callers {
        Callers::User(_) => Some(knock()?),
        Callers::Bus(_) => None,
    };
    let peer = Arc::new(Peer {
        connection: connection.clone(),
        callers,
        queue: sender,
        served: Mutex::new(served),
    });
    hub.join(Arc::clone(&peer));
    // Interfaces that came and went during the handshake.
    let there: BTreeSet<Unit> = hub.board().interfaces.keys().copied().collect();
    for unit in known.symmetric_difference(&there) {
        peer.serve(hub, *unit).await;
    }
    Ok(Attendance {
        hub: Arc::clone(hub),
        peer: Arc::downgrade(&peer),
        connection,
        queue,
        knock,
    })
}

/// What changes nothing, and wants no answer; a client that reads takes it as a sign of life. It
/// cannot be sent behind answers that a client does not read, and so there is an end to those.
fn knock() -> zbus::Result<Message> {
    Message::method_call("/", "Ping")
        .interface("org.freedesktop.DBus.Peer")
        .with_flags(Flags::NO_REPLY_EXPECTED)
        .build(&())
}

impl Peer {
    /// Makes the object of `unit` be there if and only if the interface is.
    pub(super) async fn serve(&self, hub: &Arc<Hub>, unit: Unit) {
        let mut served = self.served.lock().await;
        let exists = hub.board().interfaces.contains_key(&unit);
        let path = interface_path(&unit.to_string());
        let tree = self.connection.object_server();
        let done = if exists && served.insert(unit) {
            let object = InterfaceObject::new(Arc::clone(hub), self.callers.clone(), unit);
            tree.at(path, object).await.map(|_| ())
        } else if !exists && served.remove(&unit) {
            tree.remove::<InterfaceObject, _>(path).await.map(|_| ())
        } else {
            Ok(())
        };
        if let Err(error) = done {
            debug!("{unit}: cannot change the object: {error}");
        }
    }

    /// Queues a signal; `false` if the queue is full.
    pub(super) fn tell(&self, message: Message) -> bool {
        self.queue.try_send(message).is_ok()
    }
}

impl Attendance {
    /// The connection itself.
    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Sends what is queued until the other end is gone, does not read, or the hub is closed.
    pub(super) async fn attend(mut self) {
        let mut messages = Vec::with_capacity(BATCH);
        loop {
            let goes_on = tokio::select! {
                count = self.queue.recv_many(&mut messages, BATCH) => count > 0,
                () = self.connection.closed() => false,
                () = sleep(PATIENCE), if self.knock.is_some() => {
                    messages.extend(self.knock.clone());
                    true
                }
            };
            if !goes_on {
                break;
            }
            match timeout(PATIENCE, self.connection.send_all(&messages)).await {
                Ok(Ok(())) => messages.clear(),
                Ok(Err(error)) => {
                    debug!("a connection broke: {error}");
                    break;
                }
                Err(_) => {
                    debug!("a client does not read what it is told, and is let go");
                    break;
                }
            }
        }
    }
}

impl Drop for Attendance {
    /// Whatever became of the connection, nobody queues for it any more.
    fn drop(&mut self) {
        if let Some(peer) = self.peer.upgrade() {
            self.hub.leave(&peer);
        }
    }
}
