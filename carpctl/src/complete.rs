//! Completion: scripts for the shells, and the candidates that the scripts request.
//!
//! A script calls `carpctl --complete WORD…` with the words up to the cursor. The answer has one
//! candidate per line: a word, a tab and its description.

use std::ffi::OsString;
use std::io::{self, Write};

use carp_dbus::Client;
use carp_dbus::ifconfig::{Candidates, KEYWORDS, Keyword, find};
use carp_dbus::names::{STATS, STATS_DESCRIPTION};
use clap::ValueEnum;

use crate::device::{is_carp_interface, is_physical};
use crate::exit::Outcome;

/// First argument of a script's call.
pub(crate) const FLAG: &str = "--complete";

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Shell that runs the script
    shell: Shell,
}

/// Shell with a script.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    /// bash, with or without bash-completion
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// Writes the script of a shell.
///
/// # Errors
/// Those of `out`.
pub(crate) fn script(arguments: &Arguments, out: &mut impl Write) -> io::Result<()> {
    out.write_all(match arguments.shell {
        Shell::Bash => include_bytes!("../../completions/carpctl.bash"),
        Shell::Zsh => include_bytes!("../../completions/_carpctl"),
        Shell::Fish => include_bytes!("../../completions/carpctl.fish"),
    })
}

/// Candidates for one word, each with its description.
#[derive(Debug, Default)]
struct Answers(Vec<(String, String)>);

impl Answers {
    fn add(&mut self, word: impl Into<String>, description: impl Into<String>) {
        self.0.push((word.into(), description.into()));
    }
}

/// Writes the candidates for the last of `words`, which begin after the name of the program.
///
/// # Errors
/// Those of `out`. If carpd does not run, there are fewer candidates and no failure.
pub(crate) async fn candidates(
    command: &clap::Command,
    words: &[OsString],
    out: &mut impl Write,
) -> Outcome {
    let (typed, before) = words
        .split_last()
        .map_or((String::new(), words), |(typed, before)| {
            (typed.to_string_lossy().into_owned(), before)
        });
    let mut answers = Answers::default();
    match before
        .split_first()
        .map(|(first, rest)| (first.to_string_lossy(), rest))
    {
        None => first_word(command, &mut answers).await,
        Some((name, rest)) if is_carp_interface(&name) || name == "carp" => {
            parameter(&name, rest, &mut answers).await;
        }
        Some((name, rest)) => match command.find_subcommand(name.as_ref()) {
            Some(command) => argument(command, rest, &mut answers).await,
            None => first_word(command, &mut answers).await,
        },
    }
    for (word, description) in answers.0 {
        if word.starts_with(&typed) {
            writeln!(out, "{word}\t{description}")?;
        }
    }
    Ok(())
}

/// Adds candidates for the first word: interfaces, commands and options.
async fn first_word(command: &clap::Command, answers: &mut Answers) {
    if let Ok(client) = Client::connect().await {
        for info in client.interfaces().await.unwrap_or_default() {
            let vhid = match info.vhid {
                0 => String::new(),
                vhid => format!(" vhid {vhid}"),
            };
            answers.add(
                &info.name,
                format!("{}{vhid} {}", info.state, info.description).trim(),
            );
        }
    }
    answers.add("carp", "Next free unit, with create");
    for sub in command.get_subcommands() {
        answers.add(sub.get_name(), about(sub.get_about()));
    }
    options(command, answers);
}

/// Adds candidates for a word after the name of an interface: parameters, or values of the
/// parameter before it.
async fn parameter(name: &str, before: &[OsString], answers: &mut Answers) {
    let keyword = awaiting_value(before);
    match keyword.map(|keyword| keyword.candidates) {
        Some(Candidates::Words(words)) => words.iter().for_each(|word| answers.add(*word, "")),
        Some(Candidates::Devices) => devices(answers),
        Some(Candidates::Addresses) => addresses(name, answers).await,
        // The shell completes files. Other values have no candidates.
        Some(Candidates::Files | Candidates::Nothing) => {}
        None => {
            for keyword in KEYWORDS
                .iter()
                .filter(|keyword| may_follow(keyword, before))
            {
                answers.add(keyword.word, keyword.help);
            }
            answers.add("--json", "Write JSON");
            answers.add("--show-pass", "Show the password (root only)");
        }
    }
}

/// Returns whether a parameter can follow the words `before`: once, except parameters of an
/// address.
fn may_follow(keyword: &Keyword, before: &[OsString]) -> bool {
    const ADDRESS_WORDS: &[&str] = &[
        "inet",
        "inet6",
        "netmask",
        "prefixlen",
        "broadcast",
        "alias",
        "-alias",
        "delete",
    ];
    ADDRESS_WORDS.contains(&keyword.word) || before.iter().all(|word| word != keyword.word)
}

/// Returns the parameter whose value comes next, `None` if a parameter comes next.
fn awaiting_value(before: &[OsString]) -> Option<&'static Keyword> {
    let mut words = before.iter().filter_map(|word| word.to_str());
    let mut awaiting = None;
    while let Some(word) = words.next() {
        awaiting = find(word)
            .filter(|keyword| keyword.wants.is_some() || keyword.candidates != Candidates::Nothing);
        if awaiting.is_some_and(|keyword| keyword.wants.is_some()) && words.next().is_some() {
            awaiting = None;
        }
    }
    awaiting
}

/// Adds candidates for an argument of a command.
async fn argument(command: &clap::Command, before: &[OsString], answers: &mut Answers) {
    match (
        command.get_name(),
        before.last().and_then(|last| last.to_str()),
    ) {
        ("completions", None) => {
            for shell in Shell::value_variants() {
                if let Some(value) = shell.to_possible_value() {
                    answers.add(value.get_name(), "");
                }
            }
        }
        ("netstat", Some("-I")) => {
            if let Ok(client) = Client::connect().await {
                for info in client.interfaces().await.unwrap_or_default() {
                    answers.add(info.name, info.description);
                }
            }
        }
        ("monitor", Some("--since")) => answers.add("all", "All kept events"),
        ("suppress", Some("--who" | "--why")) => {}
        ("sysctl", _) => {
            if let Ok(client) = Client::connect().await {
                for oid in client.sysctls().await.unwrap_or_default() {
                    answers.add(oid.name, format!("{}: {}", oid.value, oid.description));
                }
                answers.add(STATS, STATS_DESCRIPTION);
            }
            options(command, answers);
        }
        _ => options(command, answers),
    }
}

/// Adds the options of a command.
fn options(command: &clap::Command, answers: &mut Answers) {
    for option in command.get_opts() {
        let help = about(option.get_help());
        if let Some(short) = option.get_short() {
            answers.add(format!("-{short}"), &help);
        }
        if let Some(long) = option.get_long() {
            answers.add(format!("--{long}"), &help);
        }
    }
}

fn about(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

/// Adds the physical interfaces.
fn devices(answers: &mut Answers) {
    let Ok(entries) = std::fs::read_dir("/sys/class/net") else {
        return;
    };
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| is_physical(name)).collect();
    names.sort();
    for name in names {
        answers.add(name, "");
    }
}

/// Adds the virtual addresses of an interface.
async fn addresses(name: &str, answers: &mut Answers) {
    let Ok(client) = Client::connect().await else {
        return;
    };
    if let Ok(info) = client.interface(name).await {
        for row in info.addresses {
            answers.add(row.address, "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(line: &str) -> Option<&'static str> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        awaiting_value(&words).map(|keyword| keyword.word)
    }

    #[test]
    fn value_belongs_to_the_parameter_before_it() {
        assert_eq!(word("vhid"), Some("vhid"));
        assert_eq!(word("vhid 1"), None);
        assert_eq!(word("vhid 1 state"), Some("state"));
        assert_eq!(word("description state"), None);
        assert_eq!(word("-alias"), Some("-alias"));
        assert_eq!(word("-alias 192.0.2.1"), None);
        assert_eq!(word("up"), None);
    }

    #[test]
    fn parameter_stands_once_unless_it_is_of_an_address() {
        let before = ["vhid", "1", "inet", "192.0.2.1"].map(OsString::from);
        let follows = |word| may_follow(find(word).unwrap(), &before);
        assert!(!follows("vhid"));
        assert!(follows("inet"));
        assert!(follows("pass"));
    }
}
