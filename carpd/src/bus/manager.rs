//! `org.carpd1.Manager`: the daemon as a whole.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use carp_dbus::names::interface_path;
use carp_dbus::properties::{Announced, PROPERTIES, Source as _};
use carp_dbus::row::{Columns, Row};
use carp_dbus::{Error, EventRow, one_line};
use carp_proto::{Answer, Request, Unit};
use serde::ser::{Error as _, Serialize, SerializeSeq as _, Serializer};
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{
    Connection, ObjectPath, OwnedFd, OwnedObjectPath, OwnedVariant, Signature, Type, Variant,
    interface,
};

use super::callers::Callers;
use super::convert::View;
use super::hub::{Hub, not_found, unexpected};
use super::polkit::{Action, Deed, Verdict};
use super::{configuration, convert, holders};
use crate::settings;

#[derive(Debug)]
pub(super) struct Manager {
    hub: Arc<Hub>,
    callers: Callers,
    version: &'static str,
}

impl Manager {
    pub(super) const fn new(hub: Arc<Hub>, callers: Callers) -> Self {
        Self {
            hub,
            callers,
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Lets pass who may `verb` `object`.
    async fn allow(
        &self,
        action: Action,
        verb: &'static str,
        object: &str,
        connection: &Connection,
        header: &Header<'_>,
    ) -> Result<(), Error> {
        let deed = Deed {
            action,
            verb,
            object,
        };
        self.callers.must_be_allowed(connection, header, deed).await
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
        self.allow(Action::Configure, "create", name, connection, &header)
            .await?;
        let changes = settings::changes(name, settings::read(name, settings)?)?;
        match self.hub.request(Request::Create { unit, changes }).await? {
            Answer::Created(unit) => {
                self.hub.settle(Some(unit)).await?;
                path(unit)
            }
            Answer::Done | Answer::Old(_) | Answer::Held(_) => Err(unexpected()),
        }
    }

    async fn destroy_interface(
        &self,
        name: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        let unit = unit(name).map_err(Error::NotFound)?;
        self.allow(Action::Configure, "destroy", name, connection, &header)
            .await?;
        self.hub.request(Request::Destroy(unit)).await?;
        self.hub.settle(Some(unit)).await
    }

    #[zbus(out_args("interface"))]
    fn get_interface(&self, name: &str) -> Result<OwnedObjectPath, Error> {
        let unit = unit(name).map_err(Error::NotFound)?;
        if self.hub.board().interfaces.contains_key(&unit) {
            path(unit)
        } else {
            Err(not_found(unit))
        }
    }

    #[zbus(out_args("interfaces"))]
    async fn list_interfaces(&self) -> (Rows,) {
        self.hub.refresh().await;
        (Rows(self.hub.board().all()),)
    }

    #[zbus(out_args("columns"))]
    async fn list_properties(&self, names: Vec<&str>) -> (Columns<View>,) {
        let may_have_moved_on = PROPERTIES
            .iter()
            .filter(|property| property.announced != Announced::Always)
            .any(|property| names.contains(&property.name));
        if may_have_moved_on {
            self.hub.refresh().await;
        }
        let interfaces = self.hub.board().all();
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
        self.allow(
            Action::Suppress,
            "suppress",
            "preemption",
            connection,
            &header,
        )
        .await?;
        holders::hold(&self.hub, who, why).await.map(OwnedFd::from)
    }

    #[zbus(out_args("suppressions"))]
    fn list_suppressions(&self) -> Vec<(String, String, u64)> {
        let board = self.hub.board();
        board
            .suppressions
            .iter()
            .map(|cause| (cause.who.clone(), cause.why.clone(), cause.since.micros()))
            .collect()
    }

    #[zbus(out_args("statistics"))]
    async fn get_statistics(&self) -> BTreeMap<String, u64> {
        self.hub.refresh().await;
        convert::statistics(&self.hub.board().totals)
    }

    async fn reset_statistics(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        self.allow(
            Action::ResetStatistics,
            "reset",
            "the statistics",
            connection,
            &header,
        )
        .await?;
        self.hub.request(Request::ResetStatistics).await.map(drop)
    }

    async fn save(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        self.allow(
            Action::Save,
            "save",
            "the configuration",
            connection,
            &header,
        )
        .await?;
        configuration::save(&self.hub).await
    }

    async fn reload(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        self.allow(
            Action::Reload,
            "reload",
            "the configuration",
            connection,
            &header,
        )
        .await?;
        configuration::reload(&self.hub).await
    }

    #[zbus(out_args("answer"))]
    async fn can_change(
        &self,
        action: &str,
        object: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<&'static str, Error> {
        let deed = Deed {
            action: Action::of(action)?,
            verb: "change",
            object,
        };
        let verdict = self.callers.can(connection, &header, deed).await?;
        Ok(match verdict {
            Verdict::Yes => "yes",
            Verdict::Challenge => "challenge",
            Verdict::No => "no",
        })
    }

    #[zbus(out_args("events"))]
    fn get_events(&self, after: u64, most: u32) -> Vec<EventRow> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let board = self.hub.board();
        let newer = board.events_after(after).take(most);
        newer.map(EventRow::from).collect()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &'static str {
        self.version
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

/// What `ListInterfaces` answers. Each row is made when it is written and gone afterwards: those of
/// thousands of interfaces would fill megabytes.
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
