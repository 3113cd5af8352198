//! What carpctl and carptop do on a connection to carpd.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use zbus::proxy::CacheProperties;
use zbus::{Connection, ObjectPath, Variant};

use crate::names::{BUS_NAME, INTERFACE_INTERFACE, interface_of, interface_path};
use crate::proxy::{InterfaceProxy, ManagerProxy, SysctlProxy};
use crate::row::Received;
use crate::{
    Error, EventInfo, InterfaceInfo, Settings, SuppressionInfo, SysctlInfo, Watch, number,
};

/// How long carpd may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How long it may take where somebody may be asked for a password first, which carpd gives up
/// after a minute and a half.
const ATTENTION: Duration = Duration::from_secs(95);

/// A connection to carpd. Clones share it.
///
/// Every method is one call, and fails with [`Error::Bus`] if carpd does not answer within five
/// seconds; but if on a bus somebody else than root wants to change something, within 95, in
/// which polkit may ask for a password.
#[derive(Clone, Debug)]
pub struct Client {
    connection: Connection,
    /// How long a change may take.
    attention: Duration,
    manager: ManagerProxy<'static>,
    sysctl: SysctlProxy<'static>,
}

impl Client {
    /// A client over a connection that is there already, either to carpd or to a bus that carpd
    /// is on.
    ///
    /// # Errors
    ///
    /// [`Error::Bus`] if the connection is closed.
    pub async fn new(connection: Connection) -> Result<Self, Error> {
        let manager = ManagerProxy::builder(&connection)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        let sysctl = SysctlProxy::builder(&connection)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        let attention = if connection.is_bus() && !rustix::process::geteuid().is_root() {
            ATTENTION
        } else {
            PATIENCE
        };
        Ok(Self {
            connection,
            attention,
            manager,
            sysctl,
        })
    }

    /// Every carp interface, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// [`Error::Bus`] alone.
    pub async fn interfaces(&self) -> Result<Vec<InterfaceInfo>, Error> {
        let manager = self.manager.inner();
        let answer = manager.call_method("ListInterfaces", &()).await?;
        let body = answer.body();
        let rows: Vec<(ObjectPath<'_>, Received<_>)> = body.deserialize()?;
        Ok(rows.into_iter().map(|(_, Received(info))| info).collect())
    }

    /// The same with those properties alone that have one of these names, and whatever else is
    /// in an [`InterfaceInfo`] empty: of thousands of interfaces, all properties are megabytes.
    ///
    /// # Errors
    ///
    /// [`Error::Bus`] alone.
    pub async fn properties(&self, names: &[&str]) -> Result<Vec<InterfaceInfo>, Error> {
        let manager = self.manager.inner();
        let answer = manager.call_method("ListProperties", &(names,)).await?;
        let Received(interfaces) = answer.body().deserialize()?;
        Ok(interfaces)
    }

    /// One carp interface.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such interface.
    pub async fn interface(&self, name: &str) -> Result<InterfaceInfo, Error> {
        let gone = || Error::NotFound(format!("interface {name} does not exist"));
        let path = ObjectPath::try_from(interface_path(name)).map_err(|_| gone())?;
        let properties = "org.freedesktop.DBus.Properties";
        let answer = self
            .connection
            .call_method(
                Some(BUS_NAME),
                path,
                Some(properties),
                "GetAll",
                &INTERFACE_INTERFACE,
            )
            .await
            .map_err(|error| no_object(error, name))?;
        let Received::<InterfaceInfo>(info) = answer.body().deserialize()?;
        // An interface that is just being removed may have an object, but no properties.
        if info.name.is_empty() {
            Err(gone())
        } else {
            Ok(info)
        }
    }

    /// Creates `name`, or with `carp` the next free unit, with all `settings` at once. The answer
    /// is its name.
    ///
    /// # Errors
    ///
    /// Whatever carpd refuses; then nothing was created.
    pub async fn create(&self, name: &str, settings: Settings) -> Result<String, Error> {
        let settings = settings.into_dictionary();
        let path = self
            .limited(self.manager.create_interface(name, &settings))
            .await?;
        interface_of(path.as_str())
            .map(str::to_owned)
            .ok_or_else(|| {
                Error::Failed(format!(
                    "carpd answered with {path}, which is not an interface"
                ))
            })
    }

    /// Applies all of `settings` to `name` as one change.
    ///
    /// # Errors
    ///
    /// Whatever carpd refuses; then nothing changed.
    pub async fn configure(&self, name: &str, settings: Settings) -> Result<(), Error> {
        let interface = self.proxy(name).await?;
        let settings = settings.into_dictionary();
        let answer = self.limited(interface.configure(&settings)).await;
        answer.map_err(|error| no_object(error, name))
    }

    /// Bows out and removes `name`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotPermitted`].
    pub async fn destroy(&self, name: &str) -> Result<(), Error> {
        Ok(self.limited(self.manager.destroy_interface(name)).await?)
    }

    /// The password of `name`; empty if none is set, or if the caller is not root.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    pub async fn password(&self, name: &str) -> Result<Vec<u8>, Error> {
        let interface = self.proxy(name).await?;
        let ((_, _, _, _, key),) = interface
            .get_vh()
            .await
            .map_err(|error| no_object(error, name))?;
        Ok(key)
    }

    /// Every sysctl, sorted by name.
    ///
    /// # Errors
    ///
    /// [`Error::Bus`] alone.
    pub async fn sysctls(&self) -> Result<Vec<SysctlInfo>, Error> {
        let listed = self.sysctl.list().await?;
        listed
            .into_iter()
            .map(|(name, value, description, writable)| {
                let value = numeric(&name, &value)?;
                Ok(SysctlInfo {
                    name,
                    value,
                    description,
                    writable,
                })
            })
            .collect()
    }

    /// The value of `name`, such as `net.inet.carp.preempt`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    pub async fn sysctl_get(&self, name: &str) -> Result<u64, Error> {
        let value = self.sysctl.get(name).await?;
        numeric(name, &value)
    }

    /// Sets `name` and gives the old value.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::ReadOnly`], [`Error::InvalidArgument`] with the range,
    /// [`Error::NotPermitted`].
    pub async fn sysctl_set(&self, name: &str, value: u64) -> Result<u64, Error> {
        let value = Variant::from(value);
        let old = self.limited(self.sysctl.set(name, &value)).await?;
        numeric(name, &old)
    }

    /// The counters of all interfaces together, by name.
    ///
    /// # Errors
    ///
    /// [`Error::Bus`] alone.
    pub async fn statistics(&self) -> Result<BTreeMap<String, u64>, Error> {
        Ok(self.manager.get_statistics().await?)
    }

    /// Sets every counter to zero.
    ///
    /// # Errors
    ///
    /// [`Error::NotPermitted`].
    pub async fn reset_statistics(&self) -> Result<(), Error> {
        Ok(self.limited(self.manager.reset_statistics()).await?)
    }

    /// Writes what is running into the configuration files.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] if that cannot be: the files are as they were. [`Error::NotPermitted`].
    pub async fn save(&self) -> Result<(), Error> {
        Ok(self.limited(self.manager.save()).await?)
    }

    /// Reads the configuration files again and changes what differs.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if something is wrong in them: nothing was changed.
    /// [`Error::Failed`] if some of it cannot be: the rest was changed. [`Error::NotPermitted`].
    pub async fn reload(&self) -> Result<(), Error> {
        Ok(self.limited(self.manager.reload()).await?)
    }

    /// Who suppresses preemption.
    ///
    /// # Errors
    ///
    /// [`Error::Bus`] alone.
    pub async fn suppressions(&self) -> Result<Vec<SuppressionInfo>, Error> {
        let listed = self.manager.list_suppressions().await?;
        Ok(listed
            .into_iter()
            .map(|(who, why, since)| SuppressionInfo { who, why, since })
            .collect())
    }

    /// Suppresses preemption until the descriptor, and every copy of it, is closed.
    ///
    /// # Errors
    ///
    /// [`Error::NotPermitted`].
    pub async fn suppress(&self, who: &str, why: &str) -> Result<OwnedFd, Error> {
        let hold = self.limited(self.manager.suppress(who, why)).await?;
        Ok(hold.into())
    }

    /// Whether we may do something of the kind that polkit calls `action`, such as `state`, be it
    /// after typing a password.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if there is no such action.
    pub async fn can_change(&self, action: &str) -> Result<bool, Error> {
        Ok(self.manager.can_change(action, "").await? != "no")
    }

    /// The oldest `most` of the kept events with a number above `after`.
    ///
    /// # Errors
    ///
    /// [`Error::Bus`] alone.
    pub async fn events(&self, after: u64, most: u32) -> Result<Vec<EventInfo>, Error> {
        let listed = self.manager.get_events(after, most).await?;
        Ok(listed.into_iter().map(EventInfo::from).collect())
    }

    /// The version of carpd.
    ///
    /// # Errors
    ///
    /// [`Error::Bus`] alone.
    pub async fn version(&self) -> Result<String, Error> {
        Ok(self.manager.version().await?)
    }

    /// Whatever changes from now on. Read the present state *after* this call, and nothing can
    /// be missed.
    ///
    /// # Errors
    ///
    /// [`Error::Bus`] alone.
    pub async fn watch(&self) -> Result<Watch, Error> {
        Watch::new(&self.connection).await
    }

    /// A change, which has no time limit of its own.
    async fn limited<T>(
        &self,
        change: impl Future<Output = zbus::Result<T>>,
    ) -> Result<T, zbus::Error> {
        let late = || zbus::Error::InputOutput(Arc::new(ErrorKind::TimedOut.into()));
        let outcome = timeout(self.attention, change).await;
        outcome.unwrap_or_else(|_| Err(late()))
    }

    async fn proxy(&self, name: &str) -> Result<InterfaceProxy<'static>, Error> {
        let proxy = InterfaceProxy::builder(&self.connection)
            .path(interface_path(name))
            .cache_properties(CacheProperties::No)
            .build()
            .await;
        // A name that makes no object path cannot be one of carpd's.
        proxy.map_err(|_| Error::NotFound(format!("interface {name} does not exist")))
    }
}

fn numeric(name: &str, value: &Variant<'_>) -> Result<u64, Error> {
    number(value)
        .ok_or_else(|| Error::Failed(format!("{name} has the value {value}, not a number")))
}

/// An object that is not there is an interface that does not exist.
fn no_object(error: zbus::Error, name: &str) -> Error {
    if let zbus::Error::FDO(inner) = &error
        && let zbus::fdo::Error::UnknownObject(_) | zbus::fdo::Error::UnknownInterface(_) = **inner
    {
        return Error::NotFound(format!("interface {name} does not exist"));
    }
    error.into()
}
