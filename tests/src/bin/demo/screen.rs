//! How the demonstration looks: headings, commands and what they print.

use std::env;
use std::io::{self, IsTerminal as _};
use std::sync::LazyLock;

static COLOUR: LazyLock<bool> =
    LazyLock::new(|| io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none());

/// A part of the show.
pub(crate) fn heading(text: &str) {
    println!("\n{}", paint("1", text));
}

/// Why something happens.
pub(crate) fn say(text: &str) {
    for line in text.lines() {
        println!("  {line}");
    }
}

/// What was found to be true.
pub(crate) fn found(text: &str) {
    println!("  {} {text}", paint("32", "✓"));
}

/// A command and what it printed.
pub(crate) fn command(host: &str, line: &str, output: &str) {
    println!("    {} {line}", paint("36", &format!("{host}#")));
    for line in output.lines() {
        println!("    {}", line.trim_end());
    }
}

fn paint(code: &str, text: &str) -> String {
    if *COLOUR {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
