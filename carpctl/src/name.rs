//! Name by which this program was run: its own, or that of a link.

use std::env;
use std::ffi::OsStr;
use std::path::Path;

/// Name by which this program was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgramName {
    Carpctl,
    Ifconfig,
    Sysctl,
}

impl ProgramName {
    /// Returns the name from the first word of the command line, without its directory.
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

    /// Returns the name as it precedes messages.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Carpctl => "carpctl",
            Self::Ifconfig => "ifconfig",
            Self::Sysctl => "sysctl",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_the_last_component_of_the_path() {
        for (path, name) in [
            ("carpctl", ProgramName::Carpctl),
            ("/usr/local/sbin/ifconfig", ProgramName::Ifconfig),
            ("sysctl", ProgramName::Sysctl),
            ("/opt/ifconfig/carpctl", ProgramName::Carpctl),
            ("ifconfig-old", ProgramName::Carpctl),
            ("", ProgramName::Carpctl),
        ] {
            assert_eq!(ProgramName::of(OsStr::new(path)), name, "{path}");
        }
    }
}
