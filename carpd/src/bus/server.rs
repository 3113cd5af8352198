//! Server of the D-Bus objects: opens connections with all objects on them, and sends their signals.

use std::sync::{Arc, Weak};
use std::time::Duration;

use carp_dbus::names::ROOT_PATH;
use tokio::net::UnixStream;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::debug;
use zbus::connection::Builder;
use zbus::message::Flags;
use zbus::{Connection, Message};

use super::callers::Callers;
use super::manager::Manager;
use super::object_manager::ObjectManager;
use super::objects::{Needed, Objects};
use super::signals::{Subscriber, Subscribers};
use super::socket::{self, Owner};
use super::sysctl::SysctlObject;
use crate::config::apply::Configurator;
use crate::requests::Requests;
use crate::snapshot::SharedSnapshot;

/// Maximum number of queued signals of a connection: thousands of interfaces can change their states at
/// the same time, each with several signals. All connections queue the same messages, not copies.
const QUEUE_LIMIT: usize = 65_536;

/// Maximum number of signals that one system call sends.
const BATCH: usize = 64;

/// Time limit for a message that does not fit into the client's socket buffer, and interval of pings.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Objects of interfaces are removed after this time without a call. By then, the last call is handled,
/// or its client is disconnected.
pub(super) const OBJECT_LIFETIME: Duration = Duration::from_secs(30);

/// Source of connections, which all have the same objects.
#[derive(Debug)]
pub(crate) struct Server {
    /// Published state, which properties and lists show.
    pub(crate) snapshot: SharedSnapshot,
    /// Requests to the loop, which methods send.
    pub(crate) requests: Arc<Requests>,
    /// Configuration files, for `Save` and `Reload`.
    pub(crate) configurator: Arc<Configurator>,
    /// Connections that receive signals.
    pub(crate) subscribers: Arc<Subscribers>,
}

/// Transport of a connection that is to be opened.
#[derive(Debug)]
pub(super) struct Transport {
    builder: Builder<'static>,
    /// Objects of the connection, for the socket's reader.
    owner: Option<Owner>,
}

/// Open connection, until [`serve`](Self::serve) returns.
#[derive(Debug)]
pub(super) struct ServedConnection {
    subscribers: Arc<Subscribers>,
    subscriber: Weak<Subscriber>,
    connection: Connection,
    queue: mpsc::Receiver<Message>,
    /// Sent when no signals are. On a bus, the bus itself disconnects clients that do not read.
    ping: Option<Message>,
}

impl Transport {
    /// Returns a transport over a UNIX socket; `configure` sets further options of the connection.
    pub(super) fn unix(
        stream: UnixStream,
        configure: impl FnOnce(Builder<'static>) -> Builder<'static>,
    ) -> Self {
        let (halves, owner) = socket::split(stream);
        Self {
            builder: configure(Builder::socket(halves)),
            owner: Some(owner),
        }
    }

    /// Returns any other transport of zbus.
    pub(super) const fn other(builder: Builder<'static>) -> Self {
        Self {
            builder,
            owner: None,
        }
    }
}

impl Server {
    /// Opens a connection with all objects on it.
    ///
    /// # Errors
    /// The client has disconnected, or does not speak D-Bus.
    pub(super) async fn open(
        &self,
        Transport { builder, owner }: Transport,
        callers: Callers,
    ) -> zbus::Result<ServedConnection> {
        let snapshot = || self.snapshot.clone();
        let requests = || Arc::clone(&self.requests);
        let manager = Manager {
            snapshot: snapshot(),
            requests: requests(),
            configurator: Arc::clone(&self.configurator),
            callers: callers.clone(),
        };
        let sysctl = SysctlObject {
            snapshot: snapshot(),
            requests: requests(),
            callers: callers.clone(),
        };
        let object_manager = ObjectManager {
            snapshot: snapshot(),
            requests: requests(),
        };
        let connection = builder
            .method_timeout(WRITE_TIMEOUT)
            .serve_at(ROOT_PATH, manager)
            .serve_at(ROOT_PATH, sysctl)
            .serve_at(ROOT_PATH, object_manager)
            .build()
            .await?;

        let (sender, queue) = mpsc::channel(QUEUE_LIMIT);
        let ping = match callers {
            Callers::User(_) => Some(ping()?),
            Callers::Bus(_) => None,
        };
        let objects = Arc::new(Objects {
            snapshot: snapshot(),
            requests: requests(),
            callers,
            connection: connection.clone(),
            on_demand: owner.is_some(),
            present: Mutex::default(),
        });
        let subscriber = Arc::new(Subscriber {
            objects: Arc::clone(&objects),
            queue: sender,
        });
        self.subscribers.join(Arc::clone(&subscriber));
        let served = ServedConnection {
            subscribers: Arc::clone(&self.subscribers),
            subscriber: Arc::downgrade(&subscriber),
            connection,
            queue,
            ping,
        };
        match owner {
            // It is set only here.
            Some(owner) => drop(owner.set(Arc::downgrade(&objects))),
            None => objects.provide(Needed::All).await,
        }
        Ok(served)
    }
}

/// Returns a call that changes nothing and wants no reply. It cannot be sent behind replies that a
/// client does not read, so that such a client is disconnected even when there are no signals.
fn ping() -> zbus::Result<Message> {
    Message::method_call("/", "Ping")
        .interface("org.freedesktop.DBus.Peer")
        .with_flags(Flags::NO_REPLY_EXPECTED)
        .build(&())
}

impl ServedConnection {
    /// Returns the connection itself.
    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Sends queued signals until the connection is closed, the client does not read, or the server has
    /// disconnected it.
    pub(super) async fn serve(mut self) {
        let mut messages = Vec::with_capacity(BATCH);
        let mut idle = interval(OBJECT_LIFETIME);
        idle.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_open = tokio::select! {
                count = self.queue.recv_many(&mut messages, BATCH) => count > 0,
                () = self.connection.closed() => false,
                _ = idle.tick() => {
                    if let Some(subscriber) = self.subscriber.upgrade() {
                        subscriber.objects.remove_idle(OBJECT_LIFETIME).await;
                    }
                    true
                }
                () = sleep(WRITE_TIMEOUT), if self.ping.is_some() => {
                    messages.extend(self.ping.clone());
                    true
                }
            };
            if !is_open {
                break;
            }
            if messages.is_empty() {
                continue;
            }
            match timeout(WRITE_TIMEOUT, self.connection.send_all(&messages)).await {
                Ok(Ok(())) => messages.clear(),
                Ok(Err(error)) => {
                    debug!("a connection failed: {error}");
                    break;
                }
                Err(_) => {
                    debug!("a client does not read its signals: disconnecting it");
                    break;
                }
            }
        }
    }
}

impl Drop for ServedConnection {
    fn drop(&mut self) {
        if let Some(subscriber) = self.subscriber.upgrade() {
            self.subscribers.leave(&subscriber);
        }
    }
}
