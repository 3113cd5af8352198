//! Called `ifconfig` or `sysctl`, by a link: what is carpd's is served as ever, and everything else
//! is left to the system's own program.

mod ifconfig;
mod sysctl;
mod system;

pub(crate) use ifconfig::is_ear;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;

use carp_dbus::{Client, ConnectError};

use crate::exit::{Failure, Outcome, warn};

/// What this program was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Carpctl,
    Ifconfig,
    Sysctl,
}

impl Name {
    /// The name in the first word of the command line, its directory left out.
    pub(crate) fn current() -> Self {
        env::args_os()
            .next()
            .map_or(Self::Carpctl, |path| Self::of(&path))
    }

    fn of(path: &OsStr) -> Self {
        let name = Path::new(path).file_name();
        [Self::Ifconfig, Self::Sysctl]
            .into_iter()
            .find(|known| name.is_some_and(|name| name == known.as_str()))
            .unwrap_or(Self::Carpctl)
    }

    /// As it stands before messages.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Carpctl => "carpctl",
            Self::Ifconfig => "ifconfig",
            Self::Sysctl => "sysctl",
        }
    }
}

/// Runs `ifconfig WORD…`.
///
/// # Errors
/// Why it failed, with its exit status.
pub(crate) async fn ifconfig(
    words: impl Iterator<Item = OsString>,
    out: &mut impl Write,
) -> Outcome {
    ifconfig::run(&words.collect::<Vec<_>>(), out).await
}

/// Runs `sysctl WORD…`.
///
/// # Errors
/// Why it failed, with its exit status.
pub(crate) async fn sysctl(words: impl Iterator<Item = OsString>, out: &mut impl Write) -> Outcome {
    sysctl::run(&words.collect::<Vec<_>>(), out).await
}

/// carpd, if it is there to add its part to what the system's program shows of everything. That it
/// does not run is no failure: then there are no carp interfaces.
async fn carpd() -> Option<Client> {
    match Client::connect().await {
        Ok(client) => Some(client),
        Err(ConnectError::NoDaemon { .. }) => None,
        Err(error @ ConnectError::Failed { .. }) => {
            warn(&error.to_string());
            None
        }
    }
}

/// The first of two failures; the other's line is printed, and its status lost.
fn both(first: Outcome, second: Outcome) -> Outcome {
    match (first, second) {
        (Err(first), Err(second)) => {
            second.report();
            Err(first)
        }
        (Err(failure), Ok(())) | (Ok(()), Err(failure)) => Err(failure),
        (Ok(()), Ok(())) => Ok(()),
    }
}

/// A program that ended with a status.
fn ended(status: u8) -> Outcome {
    match status {
        0 => Ok(()),
        status => Err(Failure::Command(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_last_part_of_the_path() {
        for (path, name) in [
            ("carpctl", Name::Carpctl),
            ("/usr/local/sbin/ifconfig", Name::Ifconfig),
            ("sysctl", Name::Sysctl),
            ("/opt/ifconfig/carpctl", Name::Carpctl),
            ("ifconfig-old", Name::Carpctl),
            ("", Name::Carpctl),
        ] {
            assert_eq!(Name::of(OsStr::new(path)), name, "{path}");
        }
    }
}
