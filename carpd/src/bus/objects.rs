//! Objects of carp interfaces on one connection.
//!
//! zbus keeps a few kilobytes for every object on every connection: with thousands of interfaces that is
//! megabytes a client, and most clients call none of these objects. On a UNIX socket, an object
//! therefore exists only while clients call it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use carp_dbus::names::interface_path;
use carp_proto::Unit;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::debug;
use zbus::Connection;

use super::callers::Callers;
use super::interface::InterfaceObject;
use crate::requests::Requests;
use crate::snapshot::SharedSnapshot;

/// Objects that a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needed {
    /// That of one interface.
    One(Unit),
    /// Those of all interfaces.
    All,
}

/// Objects of carp interfaces on one connection.
#[derive(Debug)]
pub(super) struct Objects {
    pub(super) snapshot: SharedSnapshot,
    pub(super) requests: Arc<Requests>,
    pub(super) callers: Callers,
    pub(super) connection: Connection,
    /// Objects exist only while they are called.
    pub(super) on_demand: bool,
    pub(super) present: Mutex<Present>,
}

/// Objects that exist: none at first.
#[derive(Debug)]
pub(super) struct Present {
    /// Interfaces that have an object.
    units: BTreeSet<Unit>,
    /// Time of the last call of one of them.
    called: Instant,
}

impl Default for Present {
    fn default() -> Self {
        Self {
            units: BTreeSet::new(),
            called: Instant::now(),
        }
    }
}

impl Objects {
    /// Adds or removes the object of an interface that was created or destroyed.
    pub(super) async fn update(&self, unit: Unit) {
        let mut present = self.present.lock().await;
        if !self.on_demand || present.units.contains(&unit) {
            self.synchronize(&mut present, unit).await;
        }
    }

    /// Adds the objects that a call needs, for interfaces that exist.
    pub(super) async fn provide(&self, needed: Needed) {
        let mut present = self.present.lock().await;
        present.called = Instant::now();
        match needed {
            Needed::One(unit) => self.synchronize(&mut present, unit).await,
            Needed::All => {
                let units: Vec<Unit> = self.snapshot.lock().interfaces.keys().copied().collect();
                for unit in units {
                    self.synchronize(&mut present, unit).await;
                }
            }
        }
    }

    /// Removes all objects if none was called for this time.
    pub(super) async fn remove_idle(&self, after: Duration) {
        let mut present = self.present.lock().await;
        if self.on_demand && present.called.elapsed() >= after {
            for unit in std::mem::take(&mut present.units) {
                self.remove(unit).await;
            }
        }
    }

    /// Adds the object of `unit` if the interface exists, or else removes it.
    async fn synchronize(&self, present: &mut Present, unit: Unit) {
        let exists = self.snapshot.lock().interfaces.contains_key(&unit);
        if exists && present.units.insert(unit) {
            let object = InterfaceObject {
                snapshot: self.snapshot.clone(),
                requests: Arc::clone(&self.requests),
                callers: self.callers.clone(),
                unit,
            };
            let tree = self.connection.object_server();
            if let Err(error) = tree.at(interface_path(&unit.to_string()), object).await {
                debug!("{unit}: cannot add the object: {error}");
            }
        } else if !exists && present.units.remove(&unit) {
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

    /// Returns the interfaces that have an object.
    #[cfg(test)]
    pub(super) async fn present(&self) -> Vec<Unit> {
        self.present.lock().await.units.iter().copied().collect()
    }
}
