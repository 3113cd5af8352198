//! `org.freedesktop.DBus.ObjectManager` of `/org/carpd1`.
//!
//! zbus's own object manager lists the intermediate path as an object. It also sends its signals while
//! it locks the tree of objects, so that a client that does not read would delay all others.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use carp_dbus::names::{INTERFACE_INTERFACE, interface_path};
use carp_dbus::properties::{Dictionary, Source as _, all};
use zbus::object_server::SignalEmitter;
use zbus::{OwnedObjectPath, fdo, interface};

use super::convert::View;
use crate::requests::Requests;
use crate::snapshot::SharedSnapshot;

/// Properties of an object, by interface.
type Interfaces = BTreeMap<&'static str, Dictionary>;

#[derive(Debug)]
pub(super) struct ObjectManager {
    pub(super) snapshot: SharedSnapshot,
    pub(super) requests: Arc<Requests>,
}

#[interface(
    name = "org.freedesktop.DBus.ObjectManager",
    introspection_docs = false
)]
impl ObjectManager {
    #[zbus(out_args("objects"))]
    async fn get_managed_objects(&self) -> fdo::Result<HashMap<OwnedObjectPath, Interfaces>> {
        self.requests.refresh().await;
        let interfaces = View::all(&self.snapshot.lock());
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
