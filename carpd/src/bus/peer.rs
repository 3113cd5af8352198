//! One connection: its objects, and the queue of signals that wait to be sent on it.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use carp_dbus::names::{ROOT_PATH, interface_path};
use carp_proto::Unit;
use tokio::net::UnixStream;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tracing::debug;
use zbus::connection::Builder;
use zbus::message::Flags;
use zbus::{Connection, Message};

use super::callers::Callers;
use super::hub::Hub;
use super::interface::InterfaceObject;
use super::manager::Manager;
use super::object_manager::ObjectManager;
use super::socket::{self, Owner, Wanted};
use super::sysctl::SysctlObject;

/// How many signals may wait for a client to read: thousands of interfaces may change their state
/// at once, each with several signals. Every connection queues the same messages, not copies.
const QUEUE: usize = 65_536;

/// How many of them are sent with one system call.
const BATCH: usize = 64;

/// How long a client may leave a message unread that does not fit into its socket's buffer.
const PATIENCE: Duration = Duration::from_secs(5);

/// After so long without a call to any of them the objects of interfaces go: by then, the last
/// call has been handled, or its client has been let go.
pub(super) const REST: Duration = Duration::from_secs(30);

/// The way to the other end.
#[derive(Debug)]
pub(super) struct Way {
    builder: Builder<'static>,
    /// Where the reader waits for the connection.
    owner: Option<Owner>,
}

/// A connection as the emitter sees it.
#[derive(Debug)]
pub(super) struct Peer {
    hub: Weak<Hub>,
    connection: Connection,
    callers: Callers,
    queue: mpsc::Sender<Message>,
    /// Whether objects of interfaces are there only when they are called.
    on_demand: bool,
    served: Mutex<Served>,
}

/// The interfaces that have an object there.
#[derive(Debug)]
struct Served {
    units: BTreeSet<Unit>,
    /// When one of them was last called.
    called: Instant,
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

impl Way {
    /// Over a UNIX socket, with what `builder` is to have besides.
    pub(super) fn over(
        stream: UnixStream,
        builder: impl FnOnce(Builder<'static>) -> Builder<'static>,
    ) -> Self {
        let (halves, owner) = socket::split(stream);
        Self {
            builder: builder(Builder::socket(halves)),
            owner: Some(owner),
        }
    }

    /// Over whatever else zbus knows.
    pub(super) const fn other(builder: Builder<'static>) -> Self {
        Self {
            builder,
            owner: None,
        }
    }
}

/// Builds a connection with all objects on it, and joins the hub.
///
/// # Errors
///
/// The other end is gone or does not speak D-Bus.
pub(super) async fn open(
    hub: &Arc<Hub>,
    Way { builder, owner }: Way,
    callers: Callers,
) -> zbus::Result<Attendance> {
    let connection = builder
        .method_timeout(PATIENCE)
        .serve_at(ROOT_PATH, Manager::new(Arc::clone(hub), callers.clone()))
        .serve_at(
            ROOT_PATH,
            SysctlObject::new(Arc::clone(hub), callers.clone()),
        )
        .serve_at(ROOT_PATH, ObjectManager::new(Arc::clone(hub)))
        .build()
        .await?;

    let (sender, queue) = mpsc::channel(QUEUE);
    let knock = match callers {
        Callers::User(_) => Some(knock()?),
        Callers::Bus(_) => None,
    };
    let peer = Arc::new(Peer {
        hub: Arc::downgrade(hub),
        connection: connection.clone(),
        callers,
        queue: sender,
        on_demand: owner.is_some(),
        served: Mutex::new(Served {
            units: BTreeSet::new(),
            called: Instant::now(),
        }),
    });
    hub.join(Arc::clone(&peer));
    let attendance = Attendance {
        hub: Arc::clone(hub),
        peer: Arc::downgrade(&peer),
        connection,
        queue,
        knock,
    };
    match owner {
        // Nobody else has set it.
        Some(owner) => drop(owner.set(Arc::downgrade(&peer))),
        None => peer.fetch(Wanted::All).await,
    }
    Ok(attendance)
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
    /// An interface came or went.
    pub(super) async fn changed(&self, hub: &Arc<Hub>, unit: Unit) {
        let mut served = self.served.lock().await;
        if !self.on_demand || served.units.contains(&unit) {
            self.serve(hub, &mut served, unit).await;
        }
    }

    /// Makes the objects that a call is for be there, if their interfaces are.
    pub(super) async fn fetch(&self, wanted: Wanted) {
        let Some(hub) = self.hub.upgrade() else {
            return;
        };
        let mut served = self.served.lock().await;
        served.called = Instant::now();
        match wanted {
            Wanted::One(unit) => self.serve(&hub, &mut served, unit).await,
            Wanted::All => {
                let units: Vec<Unit> = hub.board().interfaces.keys().copied().collect();
                for unit in units {
                    self.serve(&hub, &mut served, unit).await;
                }
            }
        }
    }

    /// Removes objects if nobody has called any of them for so long.
    pub(super) async fn rest(&self, after: Duration) {
        let mut served = self.served.lock().await;
        if self.on_demand && served.called.elapsed() >= after {
            for unit in std::mem::take(&mut served.units) {
                self.remove(unit).await;
            }
        }
    }

    /// Makes the object of `unit` be there if and only if the interface is.
    async fn serve(&self, hub: &Arc<Hub>, served: &mut Served, unit: Unit) {
        let exists = hub.board().interfaces.contains_key(&unit);
        if exists && served.units.insert(unit) {
            let object = InterfaceObject::new(Arc::clone(hub), self.callers.clone(), unit);
            let tree = self.connection.object_server();
            if let Err(error) = tree.at(interface_path(&unit.to_string()), object).await {
                debug!("{unit}: cannot make the object: {error}");
            }
        } else if !exists && served.units.remove(&unit) {
            self.remove(unit).await;
        }
    }

    async fn remove(&self, unit: Unit) {
        let tree = self.connection.object_server();
        let path = interface_path(&unit.to_string());
        if let Err(error) = tree.remove::<InterfaceObject, _>(path).await {
            debug!("{unit}: cannot remove the object: {error}");
        }
    }

    /// The interfaces that have an object here.
    #[cfg(test)]
    pub(super) async fn objects(&self) -> Vec<Unit> {
        self.served.lock().await.units.iter().copied().collect()
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
        let mut rests = interval(REST);
        rests.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let goes_on = tokio::select! {
                count = self.queue.recv_many(&mut messages, BATCH) => count > 0,
                () = self.connection.closed() => false,
                _ = rests.tick() => {
                    if let Some(peer) = self.peer.upgrade() {
                        peer.rest(REST).await;
                    }
                    true
                }
                () = sleep(PATIENCE), if self.knock.is_some() => {
                    messages.extend(self.knock.clone());
                    true
                }
            };
            if !goes_on {
                break;
            }
            if messages.is_empty() {
                continue;
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
