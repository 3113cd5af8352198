//! Colour in text output: states alone, and only for people.

use std::io::IsTerminal;

/// Whether text output is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// States are.
    States,
    /// Nothing is.
    Never,
}

impl Colour {
    /// On a terminal that is not dumb, and never with `NO_COLOR` (no-color.org).
    pub(crate) fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if !refused && std::io::stdout().is_terminal() {
            Self::States
        } else {
            Self::Never
        }
    }

    /// `state`, in its colour.
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
    fn each_state_has_its_colour_and_without_colour_none() {
        assert_eq!(Colour::States.state("MASTER"), "\x1b[32mMASTER\x1b[0m");
        assert_eq!(Colour::States.state("BACKUP"), "\x1b[33mBACKUP\x1b[0m");
        assert_eq!(Colour::States.state("INIT"), "\x1b[31mINIT\x1b[0m");
        assert_eq!(Colour::Never.state("MASTER"), "MASTER");
    }
}
