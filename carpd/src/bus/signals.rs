//! Signals: the one place that emits them, to every connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use carp_dbus::EventRow;
use carp_dbus::names::{
    INTERFACE_INTERFACE, MANAGER_INTERFACE, ROOT_PATH, SYSCTL_INTERFACE, interface_path,
};
use carp_dbus::properties::{self, Dictionary};
use carp_proto::{Sysctl, Unit};
use tokio::sync::mpsc;
use tracing::{debug, warn};
use zbus::{Message, ObjectPath};

use super::convert::{self, View};
use super::objects::Objects;
use super::sysctl;
use crate::lock::lock;
use crate::snapshot::Change;

const OBJECT_MANAGER: &str = "org.freedesktop.DBus.ObjectManager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Connections that receive signals.
#[derive(Debug, Default)]
pub(crate) struct Subscribers(Mutex<Vec<Arc<Subscriber>>>);

/// Connection that receives signals.
#[derive(Debug)]
pub(super) struct Subscriber {
    /// Its objects of carp interfaces.
    pub(super) objects: Arc<Objects>,
    /// Queue of the signals that wait to be sent.
    pub(super) queue: mpsc::Sender<Message>,
}

impl Subscribers {
    /// Emits the signals of a change, after objects have been added or removed.
    pub(crate) async fn emit(&self, change: Change) {
        let subscribers = self.list();
        if subscribers.is_empty() {
            return;
        }
        let unit = match &change {
            Change::Added(status) => Some(status.unit),
            Change::Removed(unit) => Some(*unit),
            Change::Changed { .. }
            | Change::Transitioned(_)
            | Change::Sysctls { .. }
            | Change::Event(..) => None,
        };
        if let Some(unit) = unit {
            for subscriber in &subscribers {
                subscriber.objects.update(unit).await;
            }
        }
        match message(change) {
            Ok(Some(message)) => {
                for subscriber in &subscribers {
                    if subscriber.queue.try_send(message.clone()).is_err() {
                        debug!("a client does not read its signals: disconnecting it");
                        self.leave(subscriber);
                    }
                }
            }
            Ok(None) => {}
            Err(error) => warn!("cannot make a signal: {error}"),
        }
    }

    /// Adds a connection.
    pub(super) fn join(&self, subscriber: Arc<Subscriber>) {
        lock(&self.0).push(subscriber);
    }

    /// Removes a connection. It is closed once its queued signals are sent.
    pub(super) fn leave(&self, subscriber: &Arc<Subscriber>) {
        lock(&self.0).retain(|other| !Arc::ptr_eq(other, subscriber));
    }

    /// Removes all connections.
    pub(crate) fn disconnect(&self) {
        lock(&self.0).clear();
    }

    /// Returns the connections.
    pub(super) fn list(&self) -> Vec<Arc<Subscriber>> {
        lock(&self.0).clone()
    }
}

/// Returns the signal of a change; `None` if clients see no difference.
fn message(change: Change) -> zbus::Result<Option<Message>> {
    let message = match change {
        Change::Added(status) => {
            let path = path(status.unit)?;
            let properties = properties::all(&View(status));
            let interfaces = HashMap::from([(INTERFACE_INTERFACE, properties)]);
            Message::signal(ROOT_PATH, OBJECT_MANAGER, "InterfacesAdded").build(&(path, interfaces))
        }
        Change::Removed(unit) => Message::signal(ROOT_PATH, OBJECT_MANAGER, "InterfacesRemoved")
            .build(&(path(unit)?, [INTERFACE_INTERFACE].as_slice())),
        Change::Changed { before, now } => {
            let path = path(now.unit)?;
            let changed = properties::changed(&View(now), &View(before));
            return properties_changed(path, INTERFACE_INTERFACE, &changed);
        }
        Change::Transitioned(transition) => {
            let (from, to) = (transition.from.text(), transition.to.text());
            Message::signal(path(transition.unit)?, INTERFACE_INTERFACE, "Transitioned").build(&(
                from,
                to,
                transition.reason.word(),
            ))
        }
        Change::Sysctls { before, now } => {
            let differs =
                |sysctl: &Sysctl| sysctl::value(&before, *sysctl) != sysctl::value(&now, *sysctl);
            let changed: Dictionary = Sysctl::ALL
                .into_iter()
                .filter(differs)
                .map(|sysctl| (sysctl::property(sysctl), sysctl::value(&now, sysctl).into()))
                .collect();
            let path = ObjectPath::try_from(ROOT_PATH)?;
            return properties_changed(path, SYSCTL_INTERFACE, &changed);
        }
        Change::Event(number, description) => {
            let event = EventRow::from(convert::event(number, description));
            Message::signal(ROOT_PATH, MANAGER_INTERFACE, "Event").build(&event)
        }
    };
    message.map(Some)
}

fn properties_changed(
    path: ObjectPath<'_>,
    interface: &str,
    changed: &Dictionary,
) -> zbus::Result<Option<Message>> {
    if changed.is_empty() {
        return Ok(None);
    }
    let invalidated: &[&str] = &[];
    Message::signal(path, PROPERTIES, "PropertiesChanged")
        .build(&(interface, changed, invalidated))
        .map(Some)
}

fn path(unit: Unit) -> zbus::Result<ObjectPath<'static>> {
    ObjectPath::try_from(interface_path(&unit.to_string()))
}
