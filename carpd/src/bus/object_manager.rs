//! `org.freedesktop.DBus.ObjectManager` of `/org/carpd1`.
//!
//! Not zbus's own: that one lists the path between as an object, and sends its signals while it
//! holds the tree of objects, where a client that does not read would hold up everybody.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use carp_dbus::names::{INTERFACE_INTERFACE, interface_path};
use carp_dbus::properties::{Dictionary, Source as _, all};
use zbus::object_server::SignalEmitter;
use zbus::{OwnedObjectPath, fdo, interface};

use super::hub::Hub;

/// What an object has: for each of its interfaces the properties.
type Interfaces = BTreeMap<&'static str, Dictionary>;

#[derive(Debug)]
pub(super) struct ObjectManager {
    hub: Arc<Hub>,
}

impl ObjectManager {
    pub(super) const fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }
}

#[interface(
    name = "org.freedesktop.DBus.ObjectManager",
    introspection_docs = false
)]
impl ObjectManager {
    #[zbus(out_args("objects"))]
    async fn get_managed_objects(&self) -> fdo::Result<HashMap<OwnedObjectPath, Interfaces>> {
        self.hub.refresh().await;
        let interfaces = self.hub.board().all();
        interfaces
            .iter()
            .map(|interface| {
                let path = OwnedObjectPath::try_from(interface_path(&interface.name()))?;
                let properties = BTreeMap::from([(INTERFACE_INTERFACE, all(interface))]);
                Ok((path, properties))
            })
            .collect()
    }

    #[zbus(signal)]
    async fn interfaces_added(
        emitter: &SignalEmitter<'_>,
        object: OwnedObjectPath,
        interfaces: Interfaces,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn interfaces_removed(
        emitter: &SignalEmitter<'_>,
        object: OwnedObjectPath,
        interfaces: Vec<String>,
    ) -> zbus::Result<()>;
}
