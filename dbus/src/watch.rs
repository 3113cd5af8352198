//! Changes as they happen: the decoded signals of carpd.
//!
//! A task of its own drains the connection, whatever the reader does. zbus stops reading a
//! connection, including answers to method calls, once the queue of one stream is full.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};
use tokio::task::JoinHandle;
use zbus::fdo::DBusProxy;
use zbus::message::Type;
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedObjectPath};

use crate::names::{
    BUS_NAME, INTERFACE_INTERFACE, MANAGER_INTERFACE, ROOT_PATH, SYSCTL_INTERFACE, interface_of,
};
use crate::properties::Properties;
use crate::row::Received;
use crate::{Error, EventInfo, EventRow, InterfaceInfo, number};

/// Number of changes that wait for a reader before some are lost.
const MAX_UNREAD: usize = 4096;

/// Number of messages that zbus holds for the draining task.
const MAX_QUEUED: usize = 256;

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A new event.
    Event(EventInfo),
    /// A new interface, with all its properties.
    Added(Box<InterfaceInfo>),
    /// A removed interface.
    Removed(String),
    /// Changed properties of an interface; see [`InterfaceInfo::apply`].
    Properties {
        /// The interface.
        name: String,
        /// The new values.
        changed: Properties,
    },
    /// Changed properties of `org.carpd1.Sysctl`, by their property names.
    Sysctls(BTreeMap<String, u64>),
    /// The reader was too slow and changes are missing: read everything again.
    Lost,
}

/// A stream of [`Change`]s. It ends when carpd has ended.
#[derive(Debug)]
pub struct Watch {
    changes: Receiver<Change>,
    lost: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Watch {
    pub(crate) async fn new(connection: &Connection) -> Result<Self, Error> {
        let queued = NonZeroUsize::new(MAX_QUEUED);
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .path_namespace(ROOT_PATH);
        let (sender, changes) = mpsc::channel(MAX_UNREAD);
        let lost = Arc::new(AtomicBool::new(false));
        let task = if connection.is_bus() {
            let gone = MatchRule::builder()
                .msg_type(Type::Signal)
                .sender("org.freedesktop.DBus")
                .interface("org.freedesktop.DBus")
                .member("NameOwnerChanged")
                .add_arg(BUS_NAME)
                .build()?;
            let mut gone = MessageStream::for_match_rule(gone, connection, queued).await?;
            // Only the owner's signals count: any client can send signals of the same name.
            let owner = owner(connection).await?;
            let rule = rule.sender(owner.as_str()).build()?;
            let signals = MessageStream::for_match_rule(rule, connection, queued).await?;
            let until = async move {
                gone.next().await;
            };
            tokio::spawn(drain(
                signals.take_until(Box::pin(until)),
                sender,
                Arc::clone(&lost),
            ))
        } else {
            let signals = MessageStream::for_match_rule(rule.build()?, connection, queued).await?;
            tokio::spawn(drain(signals, sender, Arc::clone(&lost)))
        };
        Ok(Self {
            changes,
            lost,
            task,
        })
    }
}

impl Stream for Watch {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Change>> {
        let next = self.changes.poll_recv(context);
        // All messages in the queue have been read (`Pending` alone does not show that: tokio makes
        // busy tasks pause); lost ones are newer.
        let caught_up = !matches!(next, Poll::Ready(Some(_))) && self.changes.is_empty();
        if caught_up && self.lost.swap(false, Ordering::Relaxed) {
            return Poll::Ready(Some(Change::Lost));
        }
        next
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn drain(
    mut signals: impl Stream<Item = zbus::Result<Message>> + Unpin,
    sender: Sender<Change>,
    lost: Arc<AtomicBool>,
) {
    while let Some(Ok(message)) = signals.next().await {
        // Signals that cannot be decoded come from a newer carpd.
        for change in decode(&message).unwrap_or_default() {
            match sender.try_send(change) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => lost.store(true, Ordering::Relaxed),
                Err(TrySendError::Closed(_)) => return,
            }
        }
    }
}

fn decode(message: &Message) -> zbus::Result<Vec<Change>> {
    let header = message.header();
    let path = header.path().map_or("", |path| path.as_str());
    let interface = header.interface().map_or("", |name| name.as_str());
    let member = header.member().map_or("", |name| name.as_str());
    let body = message.body();
    Ok(match (interface, member) {
        (MANAGER_INTERFACE, "Event") => {
            let row: EventRow = body.deserialize()?;
            vec![Change::Event(row.into())]
        }
        ("org.freedesktop.DBus.ObjectManager", "InterfacesAdded") => {
            let (_, mut interfaces): (OwnedObjectPath, BTreeMap<String, Received<_>>) =
                body.deserialize()?;
            interfaces
                .remove(INTERFACE_INTERFACE)
                .map(|Received(info)| Change::Added(Box::new(info)))
                .into_iter()
                .collect()
        }
        ("org.freedesktop.DBus.ObjectManager", "InterfacesRemoved") => {
            let (path, interfaces): (OwnedObjectPath, Vec<String>) = body.deserialize()?;
            let name = interface_of(path.as_str())
                .filter(|_| interfaces.iter().any(|name| name == INTERFACE_INTERFACE));
            name.map(|name| Change::Removed(name.to_owned()))
                .into_iter()
                .collect()
        }
        ("org.freedesktop.DBus.Properties", "PropertiesChanged") => {
            let (of, changed, _): (String, Properties, Vec<String>) = body.deserialize()?;
            match (of.as_str(), interface_of(path)) {
                (INTERFACE_INTERFACE, Some(name)) => {
                    vec![Change::Properties {
                        name: name.to_owned(),
                        changed,
                    }]
                }
                (SYSCTL_INTERFACE, _) => {
                    let values = changed
                        .into_iter()
                        .filter_map(|(name, value)| Some((name, number(&value)?)))
                        .collect();
                    vec![Change::Sysctls(values)]
                }
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    })
}

/// Returns the unique name that owns `org.carpd1` on a bus.
async fn owner(connection: &Connection) -> Result<String, Error> {
    let bus = DBusProxy::builder(connection)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let name = BUS_NAME.try_into()?;
    let owner = bus.get_name_owner(name).await.map_err(zbus::Error::from)?;
    Ok(owner.to_string())
}
