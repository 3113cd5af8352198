//! `ifconfig`: carp interfaces by name, and as part of the list of all interfaces.

use std::ffi::{OsStr, OsString};
use std::io::Write;

use carp_dbus::{Client, InterfaceInfo};

use super::daemon::connect_if_running;
use super::system;
use crate::colour::Colour;
use crate::device::{is_carp_interface, is_helper};
use crate::exit::Outcome;
use crate::name::ProgramName;
use crate::{cli, ifconfig};

/// Program that serves a command line.
#[derive(Debug, PartialEq, Eq)]
enum ServedBy<'a> {
    /// carpctl: these words name a carp interface.
    Carpctl(&'a [OsString]),
    /// Both: the line lists all interfaces.
    Both,
    /// The system's ifconfig.
    System,
}

/// Runs `ifconfig` with `words` as its arguments.
///
/// # Errors
/// The failure, with its exit status.
pub(crate) async fn run(words: &[OsString], out: &mut impl Write) -> Outcome {
    match served_by(words) {
        ServedBy::Carpctl(words) if ifconfig::asks_for_help(words) => cli::help(out),
        ServedBy::Carpctl(words) => ifconfig::run(words, false, out, Colour::Never).await,
        ServedBy::Both => match connect_if_running().await {
            Some(client) => list_all(&client, words, out).await,
            None => Err(system::exec(ProgramName::Ifconfig, words)),
        },
        ServedBy::System => Err(system::exec(ProgramName::Ifconfig, words)),
    }
}

/// Writes the system's list without carp interfaces, then carpctl's list of them.
async fn list_all(client: &Client, words: &[OsString], out: &mut impl Write) -> Outcome {
    let interfaces = ifconfig::fetch_all(client).await?;
    let outcome = match system::output(ProgramName::Ifconfig, words) {
        Ok((text, outcome)) => {
            out.write_all(&without_carp(&text, &interfaces))?;
            outcome
        }
        Err(failure) => Err(failure),
    };
    ifconfig::show_all(out, &interfaces, Colour::Never)?;
    outcome
}

fn served_by(words: &[OsString]) -> ServedBy<'_> {
    // net-tools' ifconfig takes -v before the name; it changes nothing for a carp interface.
    let named = match words {
        [first, rest @ ..] if first == "-v" => rest,
        _ => words,
    };
    match named {
        [] => ServedBy::Both,
        [name, ..] if is_carp(name) => ServedBy::Carpctl(named),
        [all] if all == "-a" => ServedBy::Both,
        [..] => ServedBy::System,
    }
}

fn is_carp(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name == "carp" || is_carp_interface(name))
}

/// Returns the text without the system's paragraphs about `interfaces` and helper devices. A
/// paragraph begins with the name of an interface and ends before the next line that does not
/// begin with a blank. Other devices named like a carp interface stay.
fn without_carp(text: &[u8], interfaces: &[InterfaceInfo]) -> Vec<u8> {
    let mut is_left_out = false;
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines
        .filter(|line| {
            if line
                .first()
                .is_some_and(|first| !first.is_ascii_whitespace())
            {
                let name = line
                    .split(|byte| *byte == b':' || byte.is_ascii_whitespace())
                    .next()
                    .unwrap_or_default();
                let mut names = interfaces.iter().map(|info| info.name.as_bytes());
                is_left_out = names.any(|carp| carp == name) || is_helper(name);
            }
            !is_left_out
        })
        .flatten()
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn line_is_served_by_the_program_that_knows_its_interface() {
        for line in ["carp0", "carp0 create", "carp create", "-v carp7 up"] {
            assert!(
                matches!(served_by(&words(line)), ServedBy::Carpctl(_)),
                "{line}"
            );
        }
        for line in ["", "-a", "-v", "-v -a"] {
            assert_eq!(served_by(&words(line)), ServedBy::Both, "{line}");
        }
        for line in [
            "eth0",
            "eth0 carp0",
            "carp00",
            "carpet0 up",
            "-s",
            "-l",
            "-a -s",
            "--version",
        ] {
            assert_eq!(served_by(&words(line)), ServedBy::System, "{line}");
        }
    }

    #[test]
    fn system_list_loses_its_paragraphs_about_carp_interfaces() {
        let interfaces = ["carp0", "carp12"].map(|name| InterfaceInfo {
            name: name.into(),
            ..InterfaceInfo::default()
        });
        let net_tools = "carp0: flags=4163<UP>  mtu 1500\n        inet 192.0.2.1\n\n\
                         eth0: flags=4163<UP>  mtu 1500\n        ether 02::\n\n\
                         carp12: flags=4163<UP>  mtu 1500\n\n\
                         carpear2: flags=4163<UP>  mtu 68\n        ether 02::\n\n\
                         carpany10: flags=4163<UP>  mtu 68\n\n\
                         carp1: flags=4163<UP>  mtu 1500\n\n";
        assert_eq!(
            String::from_utf8(without_carp(net_tools.as_bytes(), &interfaces)).unwrap(),
            "eth0: flags=4163<UP>  mtu 1500\n        ether 02::\n\n\
             carp1: flags=4163<UP>  mtu 1500\n\n"
        );
        let busybox = "carp0     Link encap:Ethernet\n          inet addr:192.0.2.1\n\n\
                       eth0      Link encap:Ethernet\n";
        assert_eq!(
            without_carp(busybox.as_bytes(), &interfaces),
            b"eth0      Link encap:Ethernet\n"
        );
    }
}
