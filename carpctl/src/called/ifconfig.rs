//! `ifconfig`: carp interfaces by name, and in the list of all.

use std::ffi::{OsStr, OsString};
use std::io::Write;

use carp_dbus::{Client, InterfaceInfo};

use super::{Name, carpd, ended, system};
use crate::colour::Colour;
use crate::exit::Outcome;
use crate::ifconfig;

/// Whose a command line is.
#[derive(Debug, PartialEq, Eq)]
enum Whose<'a> {
    /// These words are about carp interfaces.
    Ours(&'a [OsString]),
    /// It asks for every interface there is.
    Everybodys,
    /// The system's.
    Theirs,
}

/// # Errors
/// Why it failed, with its exit status.
pub(super) async fn run(words: &[OsString], out: &mut impl Write) -> Outcome {
    match whose(words) {
        Whose::Ours(words) => ifconfig::run(words, false, out, Colour::Never).await,
        Whose::Everybodys => match carpd().await {
            Some(client) => everybodys(&client, words, out).await,
            None => Err(system::become_it(Name::Ifconfig, words)),
        },
        Whose::Theirs => Err(system::become_it(Name::Ifconfig, words)),
    }
}

async fn everybodys(client: &Client, words: &[OsString], out: &mut impl Write) -> Outcome {
    let interfaces = ifconfig::every(client).await?;
    let system = match system::output(Name::Ifconfig, words) {
        Ok((text, status)) => {
            out.write_all(&without_ours(&text, &interfaces))?;
            ended(status)
        }
        Err(failure) => Err(failure),
    };
    ifconfig::show_all(out, &interfaces, Colour::Never)?;
    system
}

fn whose(words: &[OsString]) -> Whose<'_> {
    // net-tools' ifconfig takes -v before the name; there is no more to say of a carp interface.
    let named = match words {
        [first, rest @ ..] if first == "-v" => rest,
        _ => words,
    };
    match named {
        [] => Whose::Everybodys,
        [name, ..] if is_ours(name) => Whose::Ours(named),
        [all] if all == "-a" => Whose::Everybodys,
        [..] => Whose::Theirs,
    }
}

fn is_ours(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name == "carp" || ifconfig::is_interface(name))
}

/// With what, and the number of a physical interface, carpd names the devices by which it hears
/// (carp(4)).
const EARS: [&[u8]; 2] = [b"carpear", b"carpany"];

/// The text without what the system's program shows of these interfaces, and of the devices by
/// which carpd hears: the lines from one that begins with such a name to the next one that does not
/// begin with a blank. What others have named like a carp interface stays.
fn without_ours(text: &[u8], interfaces: &[InterfaceInfo]) -> Vec<u8> {
    let mut ours = false;
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
                ours = names.any(|ours| ours == name) || is_ear(name);
            }
            !ours
        })
        .flatten()
        .copied()
        .collect()
}

/// Whether `name` is that of a device by which carpd hears.
pub(crate) fn is_ear(name: &[u8]) -> bool {
    EARS.iter().any(|ear| {
        name.strip_prefix(*ear)
            .is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn carp_interfaces_are_ours_and_lists_are_everybodys() {
        for line in ["carp0", "carp0 create", "carp create", "-v carp7 up"] {
            assert!(matches!(whose(&words(line)), Whose::Ours(_)), "{line}");
        }
        for line in ["", "-a", "-v", "-v -a"] {
            assert_eq!(whose(&words(line)), Whose::Everybodys, "{line}");
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
            assert_eq!(whose(&words(line)), Whose::Theirs, "{line}");
        }
    }

    #[test]
    fn what_the_system_shows_of_carp_interfaces_is_left_out() {
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
            String::from_utf8(without_ours(net_tools.as_bytes(), &interfaces)).unwrap(),
            "eth0: flags=4163<UP>  mtu 1500\n        ether 02::\n\n\
             carp1: flags=4163<UP>  mtu 1500\n\n"
        );
        let busybox = "carp0     Link encap:Ethernet\n          inet addr:192.0.2.1\n\n\
                       eth0      Link encap:Ethernet\n";
        assert_eq!(
            without_ours(busybox.as_bytes(), &interfaces),
            b"eth0      Link encap:Ethernet\n"
        );
    }
}
