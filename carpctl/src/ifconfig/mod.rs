//! `carpctl carpN …`: ifconfig(8) for carp interfaces. A line is parsed as a whole and sent as one
//! call, so that carpd applies all of it or nothing.

mod show;

use std::ffi::OsString;
use std::io::{self, Write};

use carp_dbus::ifconfig::{self, Action, Change, Changes, Line, Secret};
use carp_dbus::{Client, Error, InterfaceInfo, Settings};
use serde::Serialize;

use crate::colour::Colour;
use crate::device::is_carp_interface;
use crate::exit::{Failure, Outcome, warn};
use crate::json;
use crate::name::ProgramName;

/// Returns whether a line about an interface asks for help.
pub(crate) fn asks_for_help(words: &[OsString]) -> bool {
    words.split_first().is_some_and(|(name, words)| {
        // Later words may be values, such as a password.
        let first = words
            .first()
            .is_some_and(|word| word == "-h" || word == "help");
        let asks = first || words.iter().any(|word| word == "--help");
        name.to_str().is_some_and(can_be_configured) && asks
    })
}

/// Returns whether a line can begin with `name`: a carp interface, or `carp` for the next free
/// unit.
fn can_be_configured(name: &str) -> bool {
    name == "carp" || is_carp_interface(name)
}

/// Runs `words`: the name of an interface and the words after it.
///
/// # Errors
/// The failure, with its exit status.
pub(crate) async fn run(
    words: &[OsString],
    json: bool,
    out: &mut impl Write,
    colour: Colour,
) -> Outcome {
    let Some((name, words)) = words.split_first() else {
        return all(out, json, colour).await;
    };
    let name = name.to_string_lossy();
    if !can_be_configured(&name) {
        return Err(Failure::Usage(unknown(&name)));
    }
    let Line {
        action,
        options,
        warnings,
    } = Line::parse(words).map_err(Failure::Usage)?;
    let Options {
        json: json_here,
        show_pass,
    } = Options::parse(&options, &action).map_err(Failure::Usage)?;
    let json = json || json_here;
    if name == "carp" && !matches!(action, Action::Create(_)) {
        return Err(Failure::Usage(
            "carp: no unit: use carp0, carp1, ..., or carp create for the next free unit".into(),
        ));
    }
    for warning in &warnings {
        warn(warning);
    }
    match action {
        Action::Show => show_one(&name, json, show_pass, out, colour).await,
        Action::Vhaddr => {
            let info = Client::connect().await?.interface(&name).await;
            let info = info.map_err(|error| missing(&name, error))?;
            if json {
                Ok(json::document(out, &info.addresses)?)
            } else {
                Ok(show::vhaddr(out, &info.addresses)?)
            }
        }
        Action::Create(changes) => {
            let settings = settings(changes)?;
            let client = Client::connect().await?;
            let created = client.create(&name, settings).await?;
            print_warnings(&client, &created, &[]).await;
            match name == "carp" {
                true if json => Ok(json::document(
                    out,
                    &serde_json::json!({ "name": created }),
                )?),
                true => Ok(writeln!(out, "{created}")?),
                false => Ok(()),
            }
        }
        Action::Configure(changes) => {
            let settings = settings(changes)?;
            let client = Client::connect().await?;
            let before = client.interface(&name).await;
            let known = before.map(|info| info.warnings).unwrap_or_default();
            let configured = client.configure(&name, settings).await;
            configured.map_err(|error| missing(&name, error))?;
            print_warnings(&client, &name, &known).await;
            Ok(())
        }
        Action::Destroy => Ok(Client::connect().await?.destroy(&name).await?),
    }
}

/// Warns if an interface is in INIT although all its parameters are set, and of each of its warnings
/// that is not `known`. This is no failure: carpd uses the physical interface as soon as it can.
async fn print_warnings(client: &Client, name: &str, known: &[String]) {
    // Another command may have destroyed the interface since.
    let Ok(info) = client.interface(name).await else {
        return;
    };
    let is_complete = info.up && info.vhid > 0 && !info.addresses.is_empty();
    if is_complete && !info.reason.is_empty() {
        warn(&format!("{name}: {}", info.reason));
    }
    let new = info
        .warnings
        .iter()
        .filter(|warning| !known.contains(warning));
    for warning in new {
        warn(&format!("{name}: warning: {warning}"));
    }
}

/// Returns the error for a first word that is neither a carp interface nor a command.
fn unknown(word: &str) -> String {
    match word {
        "show" | "status" => format!(
            "{word}: no such command: carpctl alone shows all interfaces, carpctl carp0 shows one"
        ),
        "list" => "list: no such command: carpctl -l lists the names of all interfaces".to_owned(),
        "version" => "version: no such command: carpctl --version prints the version".to_owned(),
        word if ifconfig::find(word).is_some() => {
            format!("{word}: the interface comes first: carpctl carp0 {word} ...")
        }
        word => format!(
            "{word}: neither a carp interface, such as carp0, nor a command: see carpctl --help"
        ),
    }
}

/// Adds advice to carpd's error if the interface does not exist.
fn missing(name: &str, error: Error) -> Failure {
    let Error::NotFound(text) = error else {
        return error.into();
    };
    Failure::Refused(format!(
        "{text}: create it with: {} {name} create",
        ProgramName::current().as_str()
    ))
}

/// Options among the words of a line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    json: bool,
    show_pass: bool,
}

impl Options {
    fn parse(words: &[String], action: &Action) -> Result<Self, String> {
        let mut options = Self::default();
        for word in words {
            match word.as_str() {
                "--json" => options.json = true,
                "--show-pass" => options.show_pass = true,
                _ => return Err(format!("{word}: unknown option")),
            }
        }
        if options.show_pass && *action != Action::Show {
            return Err("--show-pass: only without parameters: carpctl carp0 --show-pass".into());
        }
        Ok(options)
    }
}

/// Shows every interface.
///
/// # Errors
/// The failure, with its exit status.
pub(crate) async fn all(out: &mut impl Write, json: bool, colour: Colour) -> Outcome {
    let client = Client::connect().await?;
    if json {
        return Ok(json::document(out, &client.interfaces().await?)?);
    }
    Ok(show_all(out, &fetch_all(&client).await?, colour)?)
}

/// Fetches the properties that [`show_all`] writes.
///
/// # Errors
/// carpd does not answer.
pub(crate) async fn fetch_all(client: &Client) -> Result<Vec<InterfaceInfo>, Failure> {
    Ok(client.properties(&show::PROPERTIES).await?)
}

/// Writes the lines of these interfaces.
///
/// # Errors
/// Those of `out`.
pub(crate) fn show_all(
    out: &mut impl Write,
    interfaces: &[InterfaceInfo],
    colour: Colour,
) -> io::Result<()> {
    interfaces
        .iter()
        .try_for_each(|info| show::interface(out, info, None, colour))
}

/// Shows the names of all interfaces on one line.
///
/// # Errors
/// The failure, with its exit status.
pub(crate) async fn list(out: &mut impl Write, json: bool) -> Outcome {
    let interfaces = Client::connect().await?.properties(&["Name"]).await?;
    let names: Vec<&str> = interfaces.iter().map(|info| info.name.as_str()).collect();
    if json {
        Ok(json::document(out, &names)?)
    } else {
        Ok(writeln!(out, "{}", names.join(" "))?)
    }
}

/// Interface with its password: `--json --show-pass`.
#[derive(Serialize)]
struct WithPassword<'a> {
    #[serde(flatten)]
    info: &'a InterfaceInfo,
    password: &'a str,
}

/// Shows one interface.
async fn show_one(
    name: &str,
    json: bool,
    show_pass: bool,
    out: &mut impl Write,
    colour: Colour,
) -> Outcome {
    let client = Client::connect().await?;
    let info = client.interface(name).await;
    let info = info.map_err(|error| missing(name, error))?;
    let password = if show_pass {
        Some(password(&client, &info).await?)
    } else {
        None
    };
    match (json, &password) {
        (true, Some(password)) => Ok(json::document(
            out,
            &WithPassword {
                info: &info,
                password,
            },
        )?),
        (true, None) => Ok(json::document(out, &info)?),
        (false, password) => Ok(show::interface(out, &info, password.as_deref(), colour)?),
    }
}

/// Fetches the password as text; escapes it if it has control characters or is not UTF-8.
async fn password(client: &Client, info: &InterfaceInfo) -> Result<String, Failure> {
    let bytes = client.password(&info.name).await?;
    if bytes.is_empty() && info.has_password {
        return Err(Failure::Refused(format!(
            "{}: only root may see the password",
            info.name
        )));
    }
    let text = std::str::from_utf8(&bytes)
        .ok()
        .filter(|text| !text.contains(char::is_control));
    Ok(text.map_or_else(|| bytes.escape_ascii().to_string(), str::to_owned))
}

/// Returns the settings for the bus. Reads passwords from their files or from standard input.
fn settings(changes: Changes) -> Result<Settings, Failure> {
    let secrets = changes.settings.iter().filter_map(Change::secret);
    let from_input = secrets.filter(|secret| **secret == Secret::StandardInput);
    if from_input.count() > 1 {
        return Err(Failure::Usage(
            "standard input: has one password, not two: use passfile".into(),
        ));
    }
    changes.settings().map_err(Failure::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_refused_if_unknown_or_misplaced() {
        let parse = |words: &[&str], action| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            Options::parse(&words, &action)
        };
        assert_eq!(
            parse(&["--json", "--show-pass"], Action::Show),
            Ok(Options {
                json: true,
                show_pass: true
            })
        );
        assert_eq!(
            parse(&["--jsno"], Action::Show),
            Err("--jsno: unknown option".to_owned())
        );
        assert_eq!(
            parse(&["--show-pass"], Action::Vhaddr),
            Err("--show-pass: only without parameters: carpctl carp0 --show-pass".to_owned())
        );
    }
}
