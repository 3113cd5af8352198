//! Operations that require authorisation, and polkit's decisions about callers that are not root.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use carp_dbus::Error;
use carp_dbus::names::ACTION_PREFIX;
use tokio::time::timeout;
use tracing::debug;
use zbus::message::{Flags, Header};
use zbus::proxy::{CacheProperties, MethodFlags};
use zbus::{Connection, fdo};
use zbus_polkit::policykit1::{
    AuthorityProxy, AuthorizationResult, CheckAuthorizationFlags, Subject,
};

use crate::lock::lock;

/// Time limit of polkit's reply when it does not ask for a password. Clients wait longer for theirs.
const REPLY_TIMEOUT: Duration = Duration::from_secs(4);

/// Time limit of polkit's reply when it asks for a password.
const INTERACTIVE_TIMEOUT: Duration = Duration::from_secs(90);

/// Maximum number of checks that wait for polkit for the same user. A bus limits the replies that a
/// client can wait for to some hundred, and one user must not use up those of carpd.
const MAX_PENDING: usize = 16;

/// Action of polkit. `dbus/org.carpd1.policy` describes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Create, destroy and change interfaces.
    Configure,
    /// Mark an interface up or down, or force its state.
    State,
    /// Set a sysctl.
    Sysctl,
    /// Suppress preemption.
    Suppress,
    /// Write the configuration files.
    Save,
    /// Read the configuration files again.
    Reload,
    /// Set all counters to zero.
    ResetStatistics,
}

impl Action {
    /// All actions.
    const ALL: [Self; 7] = [
        Self::Configure,
        Self::State,
        Self::Sysctl,
        Self::Suppress,
        Self::Save,
        Self::Reload,
        Self::ResetStatistics,
    ];

    /// Returns the last part of the action's name.
    const fn word(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::State => "state",
            Self::Sysctl => "sysctl",
            Self::Suppress => "suppress",
            Self::Save => "save",
            Self::Reload => "reload",
            Self::ResetStatistics => "reset-statistics",
        }
    }

    /// Returns the action whose name ends with `word`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] with a list of all actions.
    pub(super) fn of(word: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|action| action.word() == word);
        found.ok_or_else(|| {
            let words = Self::ALL.map(Self::word).join(", ");
            Error::InvalidArgument(format!("there is no action '{word}'; there are {words}"))
        })
    }
}

/// Operation that a caller asks for: `change` `carp0`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation<'a> {
    pub(super) action: Action,
    pub(super) verb: &'static str,
    pub(super) object: &'a str,
}

/// Decision about an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Authorised.
    Yes,
    /// Authorised after authentication.
    Challenge,
    /// Not authorised.
    No,
}

/// Checks of authorisations by polkit.
#[derive(Debug, Default)]
pub(super) struct Polkit {
    /// Number of checks that wait for polkit, by user.
    pending: Mutex<BTreeMap<u32, usize>>,
    last: AtomicU64,
}

impl Polkit {
    /// Checks whether the sender of the message with this `header`, user `uid`, may do `operation`. If
    /// `interactive`, polkit can ask for a password first.
    ///
    /// # Errors
    /// [`Error::Busy`] if too many checks wait for this user; [`Error::NotPermitted`] without a reply
    /// from polkit.
    pub(super) async fn check(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        uid: u32,
        operation: Operation<'_>,
        interactive: bool,
    ) -> Result<Verdict, Error> {
        let _pending = self.begin(uid)?;
        let reply = self.call(connection, header, operation, interactive).await;
        let AuthorizationResult {
            is_authorized,
            is_challenge,
            ..
        } = reply.map_err(|problem| {
            let refusal = only_root(operation, uid);
            Error::NotPermitted(format!("{refusal}, as {problem}"))
        })?;
        Ok(match (is_authorized, is_challenge) {
            (true, _) => Verdict::Yes,
            (false, true) => Verdict::Challenge,
            (false, false) => Verdict::No,
        })
    }

    /// Returns polkit's reply, or the reason why there is none.
    async fn call(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        operation: Operation<'_>,
        interactive: bool,
    ) -> Result<AuthorizationResult, String> {
        let subject = Subject::new_for_message_header(header).map_err(|error| error.to_string())?;
        let action = format!("{ACTION_PREFIX}{}", operation.action.word());
        let details = HashMap::from([("verb", operation.verb), ("object", operation.object)]);
        let (flags, limit) = if interactive {
            (
                CheckAuthorizationFlags::ALLOW_USER_INTERACTION,
                INTERACTIVE_TIMEOUT,
            )
        } else {
            (CheckAuthorizationFlags::empty(), REPLY_TIMEOUT)
        };
        let id = format!("carpd-{}", self.last.fetch_add(1, Ordering::Relaxed));
        let authority = AuthorityProxy::builder(connection)
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .map_err(|error| error.to_string())?;
        let arguments = (&subject, &action, &details, flags, &id);
        // The proxy's own method would apply the time limit of the connection.
        let called = authority.inner().call_with_flags(
            "CheckAuthorization",
            MethodFlags::empty(),
            &arguments,
        );
        match timeout(limit, called).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) => Err("polkit gave no answer".to_owned()),
            Ok(Err(error)) => Err(no_reply(&error)),
            Err(_) => {
                // Not awaited: polkit may not reply to this call either.
                let cancelled = authority
                    .inner()
                    .call_noreply("CancelCheckAuthorization", &id);
                if let Err(error) = cancelled.await {
                    debug!("cannot cancel a check by polkit: {error}");
                }
                Err(format!(
                    "polkit did not answer within {} seconds",
                    limit.as_secs()
                ))
            }
        }
    }

    /// Counts a check of user `uid`.
    fn begin(&self, uid: u32) -> Result<Pending<'_>, Error> {
        let mut pending = lock(&self.pending);
        let count = pending.entry(uid).or_default();
        if *count >= MAX_PENDING {
            return Err(Error::Busy(format!(
                "user {uid} already waits for {MAX_PENDING} replies from polkit; try again"
            )));
        }
        *count += 1;
        Ok(Pending { polkit: self, uid })
    }
}

/// Check that waits for polkit, until it is dropped.
struct Pending<'a> {
    polkit: &'a Polkit,
    uid: u32,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let mut pending = lock(&self.polkit.pending);
        if let Some(count) = pending.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                pending.remove(&self.uid);
            }
        }
    }
}

/// Returns whether the call allows polkit to ask for a password.
pub(super) fn is_interactive(header: &Header<'_>) -> bool {
    header
        .primary()
        .flags()
        .contains(Flags::ALLOW_INTERACTIVE_AUTH)
}

/// Returns the refusal of an operation that polkit did not authorise.
pub(super) fn refusal(
    operation: Operation<'_>,
    uid: u32,
    verdict: Verdict,
    interactive: bool,
) -> Error {
    let action = format!("{ACTION_PREFIX}{}", operation.action.word());
    let Operation { verb, object, .. } = operation;
    Error::NotPermitted(match verdict {
        Verdict::Challenge if interactive => format!(
            "user {uid} may {verb} {object} after authentication, of which there was none: \
             log in where an agent asks for passwords, run pkttyagent(1) beside, or ask root"
        ),
        Verdict::Challenge => format!(
            "user {uid} may {verb} {object} after authentication, which the call does not allow"
        ),
        Verdict::Yes | Verdict::No => {
            format!("user {uid} may not {verb} {object}: polkit does not allow {action}; ask root")
        }
    })
}

/// Returns the refusal of an operation where polkit cannot authorise other users.
pub(super) fn only_root(operation: Operation<'_>, uid: u32) -> String {
    let Operation { verb, object, .. } = operation;
    format!("only root may {verb} {object}, and the caller is user {uid}")
}

/// Returns the reason why polkit did not reply.
fn no_reply(error: &zbus::Error) -> String {
    if let zbus::Error::FDO(inner) = error
        && let fdo::Error::ServiceUnknown(_) | fdo::Error::NameHasNoOwner(_) = **inner
    {
        return "there is no polkit that could allow it".to_owned();
    }
    if let zbus::Error::MethodError(_, Some(text), _) = error {
        return format!("polkit says: {text}");
    }
    format!("polkit cannot be asked: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_in_the_policy_and_in_the_manual() {
        let policy = include_str!("../../../dbus/org.carpd1.policy");
        let page = include_str!("../../../man/org.carpd1.5");
        for action in Action::ALL {
            let described = format!("<action id=\"{ACTION_PREFIX}{}\">", action.word());
            assert!(policy.contains(&described), "{described}");
            let item = format!(".It Li {ACTION_PREFIX}{}\n", action.word());
            assert!(page.contains(&item), "{item}");
            assert_eq!(Action::of(action.word()), Ok(action));
        }
        let described = policy.matches("<action id=").count();
        assert_eq!(described, Action::ALL.len());
    }

    #[test]
    fn checks_that_wait_are_limited_for_each_user() {
        let polkit = Polkit::default();
        let checks: Vec<_> = (0..MAX_PENDING).map(|_| polkit.begin(1000)).collect();
        assert!(checks.iter().all(Result::is_ok));
        let refused = polkit.begin(1000).map(drop).unwrap_err();
        assert!(matches!(refused, Error::Busy(_)), "{refused}");
        assert!(polkit.begin(1001).is_ok(), "another user");
        drop(checks);
        assert!(polkit.begin(1000).is_ok());
        assert!(polkit.pending.lock().unwrap().is_empty());
    }
}
