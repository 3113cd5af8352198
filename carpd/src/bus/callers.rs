//! Who calls, and what they may do: anybody may look, root may change, and so may, on the bus, whom
//! polkit lets.

use std::sync::Arc;

use carp_dbus::Error;
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::message::Header;
use zbus::proxy::CacheProperties;

use super::polkit::{Deed, Questions, Verdict, is_interactive, refusal, root_alone};

/// Who can be at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) enum Callers {
    /// One process, of the user with this number: the socket says so.
    User(u32),
    /// Whoever is on the bus: the bus says who, and polkit what they may do.
    Bus(Arc<Questions>),
}

impl Callers {
    /// Lets pass who may do `deed`, which on the bus may wait until somebody has typed a password.
    ///
    /// # Errors
    ///
    /// [`Error::NotPermitted`] for everybody else.
    pub(super) async fn must_be_allowed(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        deed: Deed<'_>,
    ) -> Result<(), Error> {
        let uid = self.uid(connection, header).await?;
        match self {
            _ if uid == 0 => Ok(()),
            Self::User(_) => Err(Error::NotPermitted(root_alone(deed, uid))),
            Self::Bus(questions) => {
                let interactive = is_interactive(header);
                let verdict = questions.ask(connection, header, uid, deed, interactive);
                match verdict.await? {
                    Verdict::Yes => Ok(()),
                    verdict @ (Verdict::Challenge | Verdict::No) => {
                        Err(refusal(deed, uid, verdict, interactive))
                    }
                }
            }
        }
    }

    /// Whether the caller may do `deed`, or could after typing a password. Nobody is asked for one.
    ///
    /// # Errors
    ///
    /// [`Error::NotPermitted`] if the bus does not know who calls.
    pub(super) async fn can(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        deed: Deed<'_>,
    ) -> Result<Verdict, Error> {
        let uid = self.uid(connection, header).await?;
        match self {
            _ if uid == 0 => Ok(Verdict::Yes),
            Self::User(_) => Ok(Verdict::No),
            Self::Bus(questions) => {
                match questions.ask(connection, header, uid, deed, false).await {
                    Err(Error::NotPermitted(_)) => Ok(Verdict::No),
                    answer => answer,
                }
            }
        }
    }

    /// The caller's user.
    ///
    /// # Errors
    ///
    /// [`Error::NotPermitted`] if the bus does not know.
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
