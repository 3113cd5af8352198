//! Examples of the manual pages and the README, and a shell that runs them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{Carpd, program};

/// Literal display of a manual page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Name in the comment before it.
    pub name: String,
    /// It is for another system and cannot run here.
    pub elsewhere: bool,
    /// Text as shown.
    pub text: String,
}

/// Reads a file of the workspace, such as `man/carp.4`.
pub fn source(path: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).with_context(|| format!("{}", path.display()))
}

/// Returns the literal displays in the section EXAMPLES of a page. The comment before each display
/// contains its name.
pub fn examples(page: &str) -> Result<Vec<Example>> {
    let text = source(&format!("man/{page}"))?;
    let (_, section) = text
        .split_once("\n.Sh EXAMPLES\n")
        .with_context(|| format!("{page} has examples"))?;
    let section = section.split("\n.Sh ").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut before = "";
    let mut lines = section.lines();
    while let Some(line) = lines.next() {
        let shown = if let Some(line) = line.strip_prefix(".Dl ") {
            Some(line.to_owned())
        } else if line.starts_with(".Bd -literal") {
            let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != ".Ed").collect();
            Some(inside.join("\n"))
        } else {
            None
        };
        if let Some(text) = shown {
            let (kind, name) = before
                .strip_prefix(".\\\" ")
                .and_then(|comment| comment.split_once(": "))
                .with_context(|| format!("{page}: a display without a name:\n{text}"))?;
            ensure!(["example", "elsewhere"].contains(&kind), "{page}: {before}");
            found.push(Example {
                name: name.to_owned(),
                elsewhere: kind == "elsewhere",
                text: unescaped(&text),
            });
        }
        before = line;
    }
    Ok(found)
}

/// Returns the example of a page with this name.
pub fn example(page: &str, name: &str) -> Result<String> {
    let found = examples(page)?
        .into_iter()
        .find(|example| example.name == name);
    Ok(found.with_context(|| format!("{name} in {page}"))?.text)
}

/// Returns the text as mdoc(7) prints it.
fn unescaped(text: &str) -> String {
    let mut text = text.to_owned();
    for (escape, meant) in [("\\(aq", "'"), ("\\(dq", "\""), ("\\&", ""), ("\\e", "\\")] {
        text = text.replace(escape, meant);
    }
    text
}

/// Splits an example with prompts into its commands and its output.
#[must_use]
pub fn typed_and_printed(text: &str) -> (String, String) {
    let (mut typed, mut printed) = (String::new(), String::new());
    for line in text.lines() {
        let prompt = line.strip_prefix("# ").or_else(|| line.strip_prefix("$ "));
        let (to, line) = prompt.map_or((&mut printed, line), |command| (&mut typed, command));
        to.push_str(line);
        to.push('\n');
    }
    (typed, printed)
}

/// Shell on the host of a carpd, with its carpctl. Programs in the shell's directory precede those
/// of the system.
#[derive(Debug)]
pub struct Shell<'a> {
    carpd: &'a Carpd,
    directory: PathBuf,
}

impl<'a> Shell<'a> {
    /// Creates a shell with an empty directory.
    pub fn new(carpd: &'a Carpd) -> Result<Self> {
        let directory = carpd.host().file("bin", "d");
        fs::create_dir(&directory)?;
        Ok(Self { carpd, directory })
    }

    /// Creates a stand-in for a program that cannot run here; `lines` are its shell script. Returns
    /// its path.
    pub fn stand_in(&self, name: &str, lines: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        executable(&path, &format!("#!/bin/sh\n{lines}\n"))?;
        Ok(path)
    }

    /// Returns a shell that runs `script`.
    pub fn command(&self, script: &str) -> Result<Command> {
        let carpctl = program("carpctl")?;
        let programs = carpctl.parent().context("no directory")?;
        let path = format!(
            "{}:{}:{}",
            self.directory.display(),
            programs.display(),
            std::env::var("PATH")?
        );
        let mut command = self.carpd.host().command("sh");
        command.args(["-e", "-c", script]).env("PATH", path);
        command.env("CARPD_BUS_ADDRESS", self.carpd.address());
        Ok(command)
    }

    /// Runs a script, which must succeed. Returns its output.
    pub fn run(&self, script: &str) -> Result<String> {
        let output = self.command(script)?.output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{script}\n{errors}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs the example of a page.
    pub fn example(&self, page: &str, name: &str) -> Result<String> {
        self.run(&example(page, name)?)
            .with_context(|| format!("{name} in {page}"))
    }
}

/// Writes an executable file.
pub fn executable(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_prompts_are_commands() {
        let (typed, printed) = typed_and_printed("# carpctl x=1\nx: 0 -> 1\n$ true\n");
        assert_eq!(
            (typed.as_str(), printed.as_str()),
            ("carpctl x=1\ntrue\n", "x: 0 -> 1\n")
        );
    }

    #[test]
    fn example_is_found_with_its_text_as_shown() {
        let text = example("carp.4", "suppress").unwrap();
        assert!(text.ends_with("-- \\\n    sh -c 'conntrackd -n && sleep 20 && conntrackd -c'"));
    }
}
