//! Output of the demonstration: headings, explanations, results and commands.

use std::env;
use std::io::{self, IsTerminal as _};
use std::sync::LazyLock;

static COLOUR: LazyLock<bool> =
    LazyLock::new(|| io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none());

/// Prints the heading of a part.
pub(crate) fn heading(text: &str) {
    println!("\n{}", paint("1", text));
}

/// Prints an explanation.
pub(crate) fn explain(text: &str) {
    for line in text.lines() {
        println!("  {line}");
    }
}

/// Prints a result that was checked.
pub(crate) fn result(text: &str) {
    println!("  {} {text}", paint("32", "✓"));
}

/// Prints a command and its output.
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
