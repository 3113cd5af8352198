//! Requests of carpctl and carptop on a connection to carpd.

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

/// Time that carpd may take to answer.
pub(crate) const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// Time that carpd may take to answer if polkit may ask for a password, which carpd gives up after
/// a minute and a half.
const AUTHORISATION_TIMEOUT: Duration = Duration::from_secs(95);

/// A connection to carpd. Clones share it.
///
/// Every method is one call. It fails with [`Error::Bus`] if carpd does not answer within five
/// seconds, or, for changes by other users than root on a bus, within 95 seconds, in which
/// polkit may ask for a password.
#[derive(Clone, Debug)]
pub struct Client {
    connection: Connection,
    /// Time that a change may take.
    change_timeout: Duration,
    manager: ManagerProxy<'static>,
    sysctl: SysctlProxy<'static>,
}

impl Client {
    /// Makes a client of an existing connection, either to carpd or to a bus with carpd.
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
        let change_timeout = if connection.is_bus() && !rustix::process::geteuid().is_root() {
            AUTHORISATION_TIMEOUT
        } else {
            REPLY_TIMEOUT
        };
        Ok(Self {
            connection,
            change_timeout,
            manager,
            sysctl,
        })
    }

    /// Returns every carp interface, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// Only [`Error::Bus`].
    pub async fn interfaces(&self) -> Result<Vec<InterfaceInfo>, Error> {
        let manager = self.manager.inner();
        let answer = manager.call_method("ListInterfaces", &()).await?;
        let body = answer.body();
        let rows: Vec<(ObjectPath<'_>, Received<_>)> = body.deserialize()?;
        Ok(rows.into_iter().map(|(_, Received(info))| info).collect())
    }

    /// Returns the same with only the named properties; all others of an [`InterfaceInfo`] are
    /// empty. All properties of thousands of interfaces are megabytes.
    ///
    /// # Errors
    ///
    /// Only [`Error::Bus`].
    pub async fn properties(&self, names: &[&str]) -> Result<Vec<InterfaceInfo>, Error> {
        let manager = self.manager.inner();
        let answer = manager.call_method("ListProperties", &(names,)).await?;
        let Received(interfaces) = answer.body().deserialize()?;
        Ok(interfaces)
    }

    /// Returns one carp interface.
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
        // An interface that is being removed can have an object without properties.
        if info.name.is_empty() {
            Err(gone())
        } else {
            Ok(info)
        }
    }

    /// Creates `name`, or with `carp` the next free unit, with all `settings` at once, and returns
    /// its name.
    ///
    /// # Errors
    ///
    /// All refusals by carpd; then nothing was created.
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
    /// All refusals by carpd; then nothing changed.
    pub async fn configure(&self, name: &str, settings: Settings) -> Result<(), Error> {
        let interface = self.proxy(name).await?;
        let settings = settings.into_dictionary();
        let answer = self.limited(interface.configure(&settings)).await;
        answer.map_err(|error| no_object(error, name))
    }

    /// Removes `name`, after a bow-out.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotPermitted`].
    pub async fn destroy(&self, name: &str) -> Result<(), Error> {
        Ok(self.limited(self.manager.destroy_interface(name)).await?)
    }

    /// Returns the password of `name`; empty if none is set, or if the caller is not root.
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

    /// Returns every sysctl, sorted by name.
    ///
    /// # Errors
    ///
    /// Only [`Error::Bus`].
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

    /// Returns the value of `name`, such as `net.inet.carp.preempt`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    pub async fn sysctl_get(&self, name: &str) -> Result<u64, Error> {
        let value = self.sysctl.get(name).await?;
        numeric(name, &value)
    }

    /// Sets `name` and returns the old value.
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

    /// Returns the sums of the counters of all interfaces, by name.
    ///
    /// # Errors
    ///
    /// Only [`Error::Bus`].
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

    /// Writes the running configuration to the configuration files.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] if the files cannot be written; they stay as they were.
    /// [`Error::NotPermitted`].
    pub async fn save(&self) -> Result<(), Error> {
        Ok(self.limited(self.manager.save()).await?)
    }

    /// Reads the configuration files again and applies the differences.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if the files contain a fault; then nothing changed.
    /// [`Error::Failed`] if some settings cannot be applied; all others were.
    /// [`Error::NotPermitted`].
    pub async fn reload(&self) -> Result<(), Error> {
        Ok(self.limited(self.manager.reload()).await?)
    }

    /// Returns the causes that suppress preemption.
    ///
    /// # Errors
    ///
    /// Only [`Error::Bus`].
    pub async fn suppressions(&self) -> Result<Vec<SuppressionInfo>, Error> {
        let listed = self.manager.list_suppressions().await?;
        Ok(listed
            .into_iter()
            .map(|(who, why, since)| SuppressionInfo { who, why, since })
            .collect())
    }

    /// Suppresses preemption until the returned descriptor, and every copy of it, is closed.
    ///
    /// # Errors
    ///
    /// [`Error::NotPermitted`].
    pub async fn suppress(&self, who: &str, why: &str) -> Result<OwnedFd, Error> {
        let hold = self.limited(self.manager.suppress(who, why)).await?;
        Ok(hold.into())
    }

    /// Returns whether the caller is authorised for a polkit `action`, such as `state`, perhaps
    /// after typing a password.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if there is no such action.
    pub async fn can_change(&self, action: &str) -> Result<bool, Error> {
        Ok(self.manager.can_change(action, "").await? != "no")
    }

    /// Returns the oldest `most` of the kept events with a number above `after`.
    ///
    /// # Errors
    ///
    /// Only [`Error::Bus`].
    pub async fn events(&self, after: u64, most: u32) -> Result<Vec<EventInfo>, Error> {
        let listed = self.manager.get_events(after, most).await?;
        Ok(listed.into_iter().map(EventInfo::from).collect())
    }

    /// Returns the version of carpd.
    ///
    /// # Errors
    ///
    /// Only [`Error::Bus`].
    pub async fn version(&self) -> Result<String, Error> {
        Ok(self.manager.version().await?)
    }

    /// Returns all changes from now on. Read the present state *after* this call, so that no change
    /// is missed.
    ///
    /// # Errors
    ///
    /// Only [`Error::Bus`].
    pub async fn watch(&self) -> Result<Watch, Error> {
        Watch::new(&self.connection).await
    }

    /// Waits for a change within its time limit.
    async fn limited<T>(
        &self,
        change: impl Future<Output = zbus::Result<T>>,
    ) -> Result<T, zbus::Error> {
        let late = || zbus::Error::InputOutput(Arc::new(ErrorKind::TimedOut.into()));
        let outcome = timeout(self.change_timeout, change).await;
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

/// Maps an unknown object to an interface that does not exist.
fn no_object(error: zbus::Error, name: &str) -> Error {
    if let zbus::Error::FDO(inner) = &error
        && let zbus::fdo::Error::UnknownObject(_) | zbus::fdo::Error::UnknownInterface(_) = **inner
    {
        return Error::NotFound(format!("interface {name} does not exist"));
    }
    error.into()
}
