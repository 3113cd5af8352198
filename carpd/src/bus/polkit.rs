//! What callers ask leave for, and what polkit says to those who are not root.

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

/// How long polkit may take where it asks nobody; less than clients wait for us.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long somebody may take to type a password.
const ATTENTION: Duration = Duration::from_secs(90);

/// How many questions of one user wait at once. A bus lets nobody, carpd neither, wait for more
/// than some hundred answers, and one user shall not use them up.
const AT_ONCE: usize = 16;

/// An action of polkit's: `dbus/org.carpd1.policy` describes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Create, destroy and change interfaces.
    Configure,
    /// Mark an interface up or down, or force its state, and nothing else.
    State,
    /// Set a sysctl.
    Sysctl,
    /// Suppress preemption.
    Suppress,
    /// Write the configuration files.
    Save,
    /// Read them again.
    Reload,
    /// Set all counters to zero.
    ResetStatistics,
}

impl Action {
    /// All there are.
    const ALL: [Self; 7] = [
        Self::Configure,
        Self::State,
        Self::Sysctl,
        Self::Suppress,
        Self::Save,
        Self::Reload,
        Self::ResetStatistics,
    ];

    /// The last part of its name.
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

    /// The one whose name ends with `word`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] with all there are.
    pub(super) fn of(word: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|action| action.word() == word);
        found.ok_or_else(|| {
            let words = Self::ALL.map(Self::word).join(", ");
            Error::InvalidArgument(format!("there is no action '{word}'; there are {words}"))
        })
    }
}

/// What somebody wants to do: `change` `carp0`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deed<'a> {
    pub(super) action: Action,
    pub(super) verb: &'static str,
    pub(super) object: &'a str,
}

/// What polkit says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Yes.
    Yes,
    /// After authentication, which there was none of.
    Challenge,
    /// No.
    No,
}

/// The questions that wait for an answer of polkit's, by user.
#[derive(Debug, Default)]
pub(super) struct Questions {
    waiting: Mutex<BTreeMap<u32, usize>>,
    last: AtomicU64,
}

impl Questions {
    /// Asks whether the sender of the message with this `header`, who is user `uid`, may do
    /// `deed`. If `interactive`, somebody may be asked for a password first.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] if the user waits for too many answers; [`Error::NotPermitted`] if there
    /// is none.
    pub(super) async fn ask(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        uid: u32,
        deed: Deed<'_>,
        interactive: bool,
    ) -> Result<Verdict, Error> {
        let _place = self.wait_as(uid)?;
        let answer = self.put(connection, header, deed, interactive).await;
        let AuthorizationResult {
            is_authorized,
            is_challenge,
            ..
        } = answer.map_err(|problem| {
            let what = root_alone(deed, uid);
            Error::NotPermitted(format!("{what}, as {problem}"))
        })?;
        Ok(match (is_authorized, is_challenge) {
            (true, _) => Verdict::Yes,
            (false, true) => Verdict::Challenge,
            (false, false) => Verdict::No,
        })
    }

    /// The answer, or why there is none.
    async fn put(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        deed: Deed<'_>,
        interactive: bool,
    ) -> Result<AuthorizationResult, String> {
        let subject = Subject::new_for_message_header(header).map_err(|error| error.to_string())?;
        let action = format!("{ACTION_PREFIX}{}", deed.action.word());
        let details = HashMap::from([("verb", deed.verb), ("object", deed.object)]);
        let (flags, limit) = if interactive {
            (CheckAuthorizationFlags::ALLOW_USER_INTERACTION, ATTENTION)
        } else {
            (CheckAuthorizationFlags::empty(), PATIENCE)
        };
        let id = format!("carpd-{}", self.last.fetch_add(1, Ordering::Relaxed));
        let authority = AuthorityProxy::builder(connection)
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .map_err(|error| error.to_string())?;
        let arguments = (&subject, &action, &details, flags, &id);
        // Not by the proxy's own method, which has the time limit of the connection.
        let asked = authority.inner().call_with_flags(
            "CheckAuthorization",
            MethodFlags::empty(),
            &arguments,
        );
        match timeout(limit, asked).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) => Err("polkit gave no answer".to_owned()),
            Ok(Err(error)) => Err(in_words(&error)),
            Err(_) => {
                // Without waiting: who did not answer that may not answer this.
                let taken_back = authority
                    .inner()
                    .call_noreply("CancelCheckAuthorization", &id);
                if let Err(error) = taken_back.await {
                    debug!("cannot take back what polkit was asked: {error}");
                }
                Err(format!(
                    "polkit did not answer within {} seconds",
                    limit.as_secs()
                ))
            }
        }
    }

    fn wait_as(&self, uid: u32) -> Result<Place<'_>, Error> {
        let mut waiting = lock(&self.waiting);
        let count = waiting.entry(uid).or_default();
        if *count >= AT_ONCE {
            return Err(Error::Busy(format!(
                "user {uid} waits for {AT_ONCE} answers of polkit's already; try again"
            )));
        }
        *count += 1;
        Ok(Place {
            questions: self,
            uid,
        })
    }
}

/// One of the questions of a user, until it is dropped.
struct Place<'a> {
    questions: &'a Questions,
    uid: u32,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(&self.questions.waiting);
        if let Some(count) = waiting.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.uid);
            }
        }
    }
}

/// Whether the caller takes it that somebody is asked for a password.
pub(super) fn is_interactive(header: &Header<'_>) -> bool {
    header
        .primary()
        .flags()
        .contains(Flags::ALLOW_INTERACTIVE_AUTH)
}

/// The refusal of a `deed` that polkit said something else than yes of.
pub(super) fn refusal(deed: Deed<'_>, uid: u32, verdict: Verdict, interactive: bool) -> Error {
    let action = format!("{ACTION_PREFIX}{}", deed.action.word());
    let Deed { verb, object, .. } = deed;
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

/// Where nobody can allow it to others.
pub(super) fn root_alone(deed: Deed<'_>, uid: u32) -> String {
    let Deed { verb, object, .. } = deed;
    format!("only root may {verb} {object}, and the caller is user {uid}")
}

/// Why polkit gave no answer.
fn in_words(error: &zbus::Error) -> String {
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
    fn every_action_is_described_to_polkit_and_in_the_manual() {
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
    fn one_user_does_not_wait_for_more_than_a_few_answers() {
        let questions = Questions::default();
        let places: Vec<_> = (0..AT_ONCE).map(|_| questions.wait_as(1000)).collect();
        assert!(places.iter().all(Result::is_ok));
        let refused = questions.wait_as(1000).map(drop).unwrap_err();
        assert!(matches!(refused, Error::Busy(_)), "{refused}");
        assert!(questions.wait_as(1001).is_ok(), "others can");
        drop(places);
        assert!(questions.wait_as(1000).is_ok());
        assert!(questions.waiting.lock().unwrap().is_empty());
    }
}
