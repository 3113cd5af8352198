//! Colour of states in text output on a terminal.

use std::io::IsTerminal;

/// Use of colour in text output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// States are coloured.
    States,
    /// Nothing is coloured.
    Never,
}

impl Colour {
    /// Returns the use of colour on standard output: `States` on a terminal that is not dumb,
    /// unless `NO_COLOR` is set (no-color.org).
    pub(crate) fn of_stdout() -> Self {
        let is_off = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if !is_off && std::io::stdout().is_terminal() {
            Self::States
        } else {
            Self::Never
        }
    }

    /// Returns `state` in its colour.
    pub(crate) fn state(self, state: &str) -> String {
        let code = match (self, state) {
            (Self::Never, _) => return state.to_owned(),
            (Self::States, "MASTER") => 32,
            (Self::States, "BACKUP") => 33,
            (Self::States, _) => 31,
        };
        format!("\x1b[{code}m{state}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_has_its_colour_unless_colour_is_off() {
        assert_eq!(Colour::States.state("MASTER"), "\x1b[32mMASTER\x1b[0m");
        assert_eq!(Colour::States.state("BACKUP"), "\x1b[33mBACKUP\x1b[0m");
        assert_eq!(Colour::States.state("INIT"), "\x1b[31mINIT\x1b[0m");
        assert_eq!(Colour::Never.state("MASTER"), "MASTER");
    }
}
