//! Callers and their permissions: anyone can read; changes require root or, on the bus, an authorisation
//! by polkit.

use std::sync::Arc;

use carp_dbus::Error;
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::message::Header;
use zbus::proxy::CacheProperties;

use super::polkit::{Operation, Polkit, Verdict, is_interactive, only_root, refusal};

/// Possible callers on a connection.
#[derive(Clone, Debug)]
pub(super) enum Callers {
    /// One process of the user with this number, which the kernel reports for the socket.
    User(u32),
    /// Every process on the bus. The bus reports the user of each, and polkit decides.
    Bus(Arc<Polkit>),
}

impl Callers {
    /// Returns if the caller may do `operation`. On the bus, this can wait until the user has typed a
    /// password.
    ///
    /// # Errors
    /// [`Error::NotPermitted`] for other callers.
    pub(super) async fn authorise(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        operation: Operation<'_>,
    ) -> Result<(), Error> {
        let uid = self.uid(connection, header).await?;
        match self {
            _ if uid == 0 => Ok(()),
            Self::User(_) => Err(Error::NotPermitted(only_root(operation, uid))),
            Self::Bus(polkit) => {
                let interactive = is_interactive(header);
                let verdict = polkit.check(connection, header, uid, operation, interactive);
                match verdict.await? {
                    Verdict::Yes => Ok(()),
                    verdict @ (Verdict::Challenge | Verdict::No) => {
                        Err(refusal(operation, uid, verdict, interactive))
                    }
                }
            }
        }
    }

    /// Returns whether the caller may do `operation`, or could after typing a password. polkit does not
    /// ask for one.
    ///
    /// # Errors
    /// [`Error::NotPermitted`] if the bus does not know the caller.
    pub(super) async fn can(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        operation: Operation<'_>,
    ) -> Result<Verdict, Error> {
        let uid = self.uid(connection, header).await?;
        match self {
            _ if uid == 0 => Ok(Verdict::Yes),
            Self::User(_) => Ok(Verdict::No),
            Self::Bus(polkit) => {
                match polkit
                    .check(connection, header, uid, operation, false)
                    .await
                {
                    Err(Error::NotPermitted(_)) => Ok(Verdict::No),
                    answer => answer,
                }
            }
        }
    }

    /// Returns the caller's user.
    ///
    /// # Errors
    /// [`Error::NotPermitted`] if the bus does not know the caller.
    pub(super) async fn uid(
        &self,
        connection: &Connection,
        header: &Header<'_>,
    ) -> Result<u32, Error> {
        match self {
            Self::User(uid) => Ok(*uid),
            Self::Bus(_) => {
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
