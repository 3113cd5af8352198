//! Who calls, and what they may do: anybody may look, root may change.

use carp_dbus::Error;
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::message::Header;
use zbus::proxy::CacheProperties;

/// Who can be at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Callers {
    /// One process, of the user with this number: the socket says so.
    User(u32),
    /// Whoever is on the bus: the bus says who.
    Bus,
}

impl Callers {
    /// Lets root pass.
    ///
    /// # Errors
    ///
    /// [`Error::NotPermitted`] for everybody else; `what` says what they may not do.
    pub(super) async fn must_be_root(
        self,
        connection: &Connection,
        header: &Header<'_>,
        what: &str,
    ) -> Result<(), Error> {
        match self.uid(connection, header).await? {
            0 => Ok(()),
            uid => Err(Error::NotPermitted(format!(
                "only root may {what}, and the caller is user {uid}"
            ))),
        }
    }

    /// The caller's user.
    ///
    /// # Errors
    ///
    /// [`Error::NotPermitted`] if the bus does not know.
    pub(super) async fn uid(
        self,
        connection: &Connection,
        header: &Header<'_>,
    ) -> Result<u32, Error> {
        match self {
            Self::User(uid) => Ok(uid),
            Self::Bus => {
                let unknown = || Error::NotPermitted("the bus does not say who calls".to_owned());
                let sender = header.sender().ok_or_else(unknown)?;
                let bus = DBusProxy::builder(connection)
                    .cache_properties(CacheProperties::No)
                    .build()
                    .await?;
                bus.get_connection_unix_user(sender.to_owned().into())
                    .await
                    .map_err(|_| unknown())
            }
        }
    }
}
