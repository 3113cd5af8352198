//! `org.carpd1.Manager`: the daemon as a whole.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use carp_dbus::names::interface_path;
use carp_dbus::properties::{Announced, PROPERTIES, Source as _};
use carp_dbus::row::{Columns, Row};
use carp_dbus::{Error, EventRow, one_line};
use carp_proto::{Request, Unit};
use serde::ser::{Error as _, Serialize, SerializeSeq as _, Serializer};
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{
    Connection, ObjectPath, OwnedFd, OwnedObjectPath, OwnedVariant, Signature, Type, Variant,
    interface,
};

use super::callers::Callers;
use super::convert::{self, View};
use super::holders;
use super::polkit::{Action, Operation, Verdict};
use crate::config::apply::Configurator;
use crate::requests::{Requests, not_found};
use crate::settings;
use crate::snapshot::SharedSnapshot;

#[derive(Debug)]
pub(super) struct Manager {
    pub(super) snapshot: SharedSnapshot,
    pub(super) requests: Arc<Requests>,
    pub(super) configurator: Arc<Configurator>,
    pub(super) callers: Callers,
}

impl Manager {
    /// Returns if the caller may `verb` `object`.
    async fn authorise(
        &self,
        action: Action,
        verb: &'static str,
        object: &str,
        connection: &Connection,
        header: &Header<'_>,
    ) -> Result<(), Error> {
        let operation = Operation {
            action,
            verb,
            object,
        };
        self.callers.authorise(connection, header, operation).await
    }
}

#[interface(name = "org.carpd1.Manager", introspection_docs = false)]
impl Manager {
    #[zbus(out_args("interface"))]
    async fn create_interface(
        &self,
        name: &str,
        settings: HashMap<String, OwnedVariant>,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        let unit = match name {
            "carp" => None,
            name => Some(unit(name).map_err(Error::InvalidArgument)?),
        };
        self.authorise(Action::Configure, "create", name, connection, &header)
            .await?;
        let changes = settings::changes(name, settings::read(name, settings)?)?;
        let unit = self.requests.create(unit, changes).await?;
        self.requests.settle(Some(unit)).await?;
        path(unit)
    }

    async fn destroy_interface(
        &self,
        name: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        let unit = unit(name).map_err(Error::NotFound)?;
        self.authorise(Action::Configure, "destroy", name, connection, &header)
            .await?;
        self.requests.request(Request::Destroy(unit)).await?;
        self.requests.settle(Some(unit)).await
    }

    #[zbus(out_args("interface"))]
    fn get_interface(&self, name: &str) -> Result<OwnedObjectPath, Error> {
        let unit = unit(name).map_err(Error::NotFound)?;
        if self.snapshot.lock().interfaces.contains_key(&unit) {
            path(unit)
        } else {
            Err(not_found(unit))
        }
    }

    #[zbus(out_args("interfaces"))]
    async fn list_interfaces(&self) -> (Rows,) {
        self.requests.refresh().await;
        (Rows(View::all(&self.snapshot.lock())),)
    }

    #[zbus(out_args("columns"))]
    async fn list_properties(&self, names: Vec<&str>) -> (Columns<View>,) {
        let needs_refresh = PROPERTIES
            .iter()
            .filter(|property| property.announced != Announced::Always)
            .any(|property| names.contains(&property.name));
        if needs_refresh {
            self.requests.refresh().await;
        }
        let interfaces = View::all(&self.snapshot.lock());
        let wanted = names.into_iter().map(str::to_owned).collect();
        (Columns { interfaces, wanted },)
    }

    #[zbus(out_args("hold"))]
    async fn suppress(
        &self,
        who: String,
        why: String,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedFd, Error> {
        self.authorise(
            Action::Suppress,
            "suppress",
            "preemption",
            connection,
            &header,
        )
        .await?;
        holders::hold(&self.requests, who, why)
            .await
            .map(OwnedFd::from)
    }

    #[zbus(out_args("suppressions"))]
    fn list_suppressions(&self) -> Vec<(String, String, u64)> {
        let snapshot = self.snapshot.lock();
        snapshot
            .suppressions
            .iter()
            .map(|cause| (cause.who.clone(), cause.why.clone(), cause.since.micros()))
            .collect()
    }

    #[zbus(out_args("statistics"))]
    async fn get_statistics(&self) -> BTreeMap<String, u64> {
        self.requests.refresh().await;
        convert::statistics(&self.snapshot.lock().totals)
    }

    async fn reset_statistics(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        self.authorise(
            Action::ResetStatistics,
            "reset",
            "the statistics",
            connection,
            &header,
        )
        .await?;
        self.requests
            .request(Request::ResetStatistics)
            .await
            .map(drop)
    }

    async fn save(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        self.authorise(
            Action::Save,
            "save",
            "the configuration",
            connection,
            &header,
        )
        .await?;
        self.configurator.save().await
    }

    async fn reload(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        self.authorise(
            Action::Reload,
            "reload",
            "the configuration",
            connection,
            &header,
        )
        .await?;
        self.configurator.reload().await
    }

    #[zbus(out_args("answer"))]
    async fn can_change(
        &self,
        action: &str,
        object: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<&'static str, Error> {
        let operation = Operation {
            action: Action::of(action)?,
            verb: "change",
            object,
        };
        let verdict = self.callers.can(connection, &header, operation).await?;
        Ok(match verdict {
            Verdict::Yes => "yes",
            Verdict::Challenge => "challenge",
            Verdict::No => "no",
        })
    }

    #[zbus(out_args("events"))]
    fn get_events(&self, after: u64, most: u32) -> Vec<EventRow> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let snapshot = self.snapshot.lock();
        let newer = snapshot.events_after(after).take(most);
        newer
            .map(|(number, event)| EventRow::from(convert::event(number, event)))
            .collect()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    #[expect(clippy::unused_self, reason = "zbus passes the object")]
    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    #[zbus(signal)]
    async fn event(
        emitter: &SignalEmitter<'_>,
        number: u64,
        time: u64,
        interface: &str,
        kind: &str,
        text: &str,
        details: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<()>;
}

/// Reply of `ListInterfaces`. Each row exists only while it is written: those of thousands of interfaces
/// would fill megabytes.
#[derive(Debug)]
struct Rows(Vec<View>);

impl Type for Rows {
    const SIGNATURE: &'static Signature = <Vec<(ObjectPath<'_>, Row<'_, View>)>>::SIGNATURE;
}

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.0.len()))?;
        for interface in &self.0 {
            let path = ObjectPath::try_from(interface_path(&interface.name()));
            let path = path.map_err(S::Error::custom)?;
            rows.serialize_element(&(path, Row(interface)))?;
        }
        rows.end()
    }
}

fn unit(name: &str) -> Result<Unit, String> {
    Unit::from_str(name)
        .map_err(|error| one_line(format!("interface {name} does not exist: {error}")))
}

fn path(unit: Unit) -> Result<OwnedObjectPath, Error> {
    Ok(OwnedObjectPath::try_from(interface_path(
        &unit.to_string(),
    ))?)
}
