//! The variables of one carp interface, combined.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use carp_dbus::Setting;
use carp_dbus::ifconfig::{Action, Change, Changes, Line, Secret};
use carp_proto::{Settings, Unit};

use super::variables::Part;
use super::{ranges, words};
use crate::settings::{self, words_of, words_of_address};

/// The variables of an interface, combined. Later settings come first, as when ifconfig(8) is run
/// for each variable.
#[derive(Default)]
pub(super) struct Whole {
    changes: Changes,
    created: bool,
}

impl Whole {
    /// Adds one variable, and returns warnings about it.
    ///
    /// # Errors
    /// One line with the remedy.
    pub(super) fn add(&mut self, part: Part, value: &[u8]) -> Result<Vec<String>, String> {
        let words = match part {
            // The only variable with text instead of words.
            Part::Description => vec![
                OsString::from("description"),
                OsString::from_vec(value.to_vec()),
            ],
            Part::CreateArguments | Part::Main | Part::Ipv6 | Part::OldIpv6 => words::split(value)?,
            Part::Alias(_) | Part::Aliases | Part::Addresses | Part::OldAlias(_) => {
                ranges::expand(words::split(value)?)?
            }
        };
        let Line {
            action,
            options,
            warnings,
        } = Line::parse(&words).map_err(|message| without_password(message, &words))?;
        if let Some(option) = options.first() {
            return Err(format!("{option} is only for command lines"));
        }
        let changes = match action {
            Action::Show => Changes::default(),
            Action::Configure(changes) => changes,
            Action::Create(changes) => {
                self.created = true;
                changes
            }
            Action::Destroy => return Err("destroy is only for command lines".to_owned()),
            Action::Vhaddr => return Err("vhaddr is only for command lines".to_owned()),
        };
        let Changes {
            settings,
            add,
            remove,
        } = changes;
        for change in settings {
            check(&change)?;
            let settings = &mut self.changes.settings;
            settings.retain(|other| other.key() != change.key());
            settings.push(change);
        }
        for (address, prefix) in add {
            if self.changes.add.iter().any(|(other, _)| *other == address) {
                return Err(format!("{address} is given twice"));
            }
            self.changes.add.push((address, prefix));
        }
        if let Some(address) = remove.first() {
            return Err(format!(
                "-alias {address} removes what another variable adds: leave out both"
            ));
        }
        let plain = |warning: String| match warning.strip_prefix("warning: ") {
            Some(warning) => warning.to_owned(),
            None => warning,
        };
        Ok(warnings.into_iter().map(plain).collect())
    }

    /// Returns whether `create` was among the words.
    pub(super) const fn creates_itself(&self) -> bool {
        self.created
    }

    /// Returns all settings, after reading passwords from their sources.
    ///
    /// # Errors
    /// One line: a password cannot be read, or a setting is not allowed.
    pub(super) fn settings(self, unit: Unit) -> Result<Settings, String> {
        let settings = self
            .changes
            .settings()
            .map_err(|why| format!("{unit}: {}", without_password(why, &[])))?;
        let changes = settings::changes(&unit.to_string(), settings);
        let changes = changes.map_err(|error| error.to_string())?;
        Settings::configured(unit, &changes).map_err(|refusal| refusal.message)
    }
}

/// Removes parts of a password from ifconfig's message: it is for a terminal, and faults of the
/// configuration are logged.
fn without_password(message: String, words: &[OsString]) -> String {
    // Half of a password with a blank in it.
    let behind_a_password = words.windows(3).any(|words| match words {
        [word, _, next] => {
            (word == "pass" || word == "accept_pass")
                && next
                    .to_str()
                    .is_some_and(|next| message.starts_with(&format!("{next}: ")))
        }
        _ => false,
    });
    if behind_a_password {
        return "a parameter must follow the password: one with a blank in it stands in quotes of \
                its own, '...'"
            .to_owned();
    }
    match message.split_once(" (a BSD host would keep only") {
        Some((message, _)) => message.to_owned(),
        None => message,
    }
}

/// Refuses settings that only a command line may have.
fn check(change: &Change) -> Result<(), String> {
    match (change, change.secret()) {
        (_, Some(Secret::StandardInput)) => {
            Err("- is standard input, which does not exist at boot: use passfile".to_owned())
        }
        (_, Some(Secret::File(path))) if !path.is_absolute() => Err(format!(
            "passfile {}: must be an absolute path",
            path.display()
        )),
        (Change::Set(Setting::State(_)), None) => Err(
            "state is not a setting: the host with the smallest advbase and advskew becomes master"
                .to_owned(),
        ),
        (Change::Set(_) | Change::Password(_) | Change::AcceptPassword(_), _) => Ok(()),
    }
}

/// Returns `settings` as a line for [`from_line`].
pub(crate) fn to_line(settings: &Settings) -> Vec<u8> {
    let addresses = settings.addresses.iter().flat_map(words_of_address);
    let all: Vec<Vec<u8>> = words_of(settings).into_iter().chain(addresses).collect();
    words::joined(&all)
}

/// Returns the settings that `line` gives to `unit`.
///
/// # Errors
/// One line with the remedy.
pub(crate) fn from_line(unit: Unit, line: &[u8]) -> Result<Settings, String> {
    let mut whole = Whole::default();
    whole.add(Part::Main, line)?;
    whole.settings(unit)
}
