//! `carpctl carpN …`: ifconfig(8) for carp interfaces. A line is read whole, then sent as one
//! call, so that all of it happens or nothing does.

mod show;

use std::ffi::OsString;
use std::io::{self, Write};

use carp_dbus::ifconfig::{Action, Change, Changes, Line, Secret};
use carp_dbus::{Client, Error, InterfaceInfo, Settings};
use serde::Serialize;

use crate::called::Name;
use crate::colour::Colour;
use crate::exit::{Failure, Outcome, warn};
use crate::{cli, json};

/// The highest unit, as of BSD's `if_unit`.
const LAST_UNIT: u16 = 32767;

/// Runs `words`: the name of an interface and what stands behind it.
///
/// # Errors
/// Why it failed, with its exit status.
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
    if !is_interface(&name) && name != "carp" {
        return Err(Failure::Usage(unknown(&name)));
    }
    if words.iter().any(|word| word == "--help") {
        return cli::help(out);
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
            "carp: which one? carp0, carp1, ..., or carp create for the next free unit".into(),
        ));
    }
    for warning in &warnings {
        warn(warning);
    }
    match action {
        Action::Show => one(&name, json, show_pass, out, colour).await,
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
            warn_of_init(&client, &created).await;
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
            let configured = client.configure(&name, settings).await;
            configured.map_err(|error| missing(&name, error))?;
            warn_of_init(&client, &name).await;
            Ok(())
        }
        Action::Destroy => Ok(Client::connect().await?.destroy(&name).await?),
    }
}

/// Says why an interface that now has everything that is set on one is in INIT all the same. It
/// is no failure: carpd uses a physical interface when it comes.
async fn warn_of_init(client: &Client, name: &str) {
    // Another command may have removed it meanwhile.
    let Ok(info) = client.interface(name).await else {
        return;
    };
    let is_complete = info.up && info.vhid > 0 && !info.addresses.is_empty();
    if is_complete && !info.reason.is_empty() {
        warn(&format!("{name}: {}", info.reason));
    }
}

/// What is wrong with a first word that is neither the name of a carp interface nor a command.
fn unknown(word: &str) -> String {
    match word {
        "show" | "status" => format!(
            "{word}: no such command: carpctl alone shows all interfaces, carpctl carp0 shows one"
        ),
        "list" => "list: no such command: carpctl -l lists the names of all interfaces".to_owned(),
        word => format!(
            "{word}: neither a carp interface, such as carp0, nor a command (carpctl --help lists \
             them)"
        ),
    }
}

/// What carpd refused; with advice if there is no interface of this name.
fn missing(name: &str, error: Error) -> Failure {
    let Error::NotFound(text) = error else {
        return error.into();
    };
    Failure::Refused(format!(
        "{text}: create it with: {} {name} create",
        Name::current().as_str()
    ))
}

/// Options that may stand among the words.
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
            return Err("--show-pass goes with the name of an interface alone".into());
        }
        Ok(options)
    }
}

/// Shows every interface.
///
/// # Errors
/// Why it failed, with its exit status.
pub(crate) async fn all(out: &mut impl Write, json: bool, colour: Colour) -> Outcome {
    let client = Client::connect().await?;
    if json {
        return Ok(json::document(out, &client.interfaces().await?)?);
    }
    Ok(show_all(out, &every(&client).await?, colour)?)
}

/// What is shown of every interface.
///
/// # Errors
/// carpd does not answer.
pub(crate) async fn every(client: &Client) -> Result<Vec<InterfaceInfo>, Failure> {
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
/// Why it failed, with its exit status.
pub(crate) async fn list(out: &mut impl Write, json: bool) -> Outcome {
    let interfaces = Client::connect().await?.properties(&["Name"]).await?;
    let names: Vec<&str> = interfaces.iter().map(|info| info.name.as_str()).collect();
    if json {
        Ok(json::document(out, &names)?)
    } else {
        Ok(writeln!(out, "{}", names.join(" "))?)
    }
}

/// Whether `name` is that of a carp interface: `carp` and a number without leading zeros.
pub(crate) fn is_interface(name: &str) -> bool {
    name.strip_prefix("carp").is_some_and(|unit| {
        let plain = unit.bytes().all(|byte| byte.is_ascii_digit())
            && (unit == "0" || !unit.starts_with('0'));
        plain && unit.parse::<u16>().is_ok_and(|unit| unit <= LAST_UNIT)
    })
}

/// An interface with its password: `--json --show-pass`.
#[derive(Serialize)]
struct WithPassword<'a> {
    #[serde(flatten)]
    info: &'a InterfaceInfo,
    password: &'a str,
}

async fn one(
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

/// The password as text; bytes that are not are escaped.
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

/// What the bus takes, with passwords read from where they are.
fn settings(changes: Changes) -> Result<Settings, Failure> {
    let from_input = changes.settings.iter().filter(|change| {
        matches!(
            change,
            Change::Password(Secret::StandardInput)
                | Change::AcceptPassword(Some(Secret::StandardInput))
        )
    });
    if from_input.count() > 1 {
        return Err(Failure::Usage(
            "standard input holds one password, not two".into(),
        ));
    }
    changes.settings().map_err(Failure::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_known_and_a_password_is_shown_alone() {
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
            Err("--show-pass goes with the name of an interface alone".to_owned())
        );
    }

    #[test]
    fn an_interface_is_carp_and_a_plain_number() {
        for good in ["carp0", "carp7", "carp10", "carp32767"] {
            assert!(is_interface(good), "{good}");
        }
        for bad in [
            "carp",
            "carp00",
            "carp01",
            "carp-1",
            "carp+1",
            "carp32768",
            "eth0",
            "xcarp0",
        ] {
            assert!(!is_interface(bad), "{bad}");
        }
    }
}
