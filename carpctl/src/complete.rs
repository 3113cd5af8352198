//! Completion: scripts for the shells, and the candidates that they ask for.
//!
//! The scripts are thin: they call `carpctl --complete WORD…` with the words up to the cursor, and
//! get one candidate a line, its description behind a tab.

use std::ffi::OsString;
use std::io::{self, Write};

use carp_dbus::Client;
use carp_dbus::ifconfig::{Candidates, KEYWORDS, Keyword, find};
use carp_dbus::names::{STATS, STATS_DESCRIPTION};
use clap::ValueEnum;

use crate::called::is_ear;
use crate::cli;
use crate::exit::Outcome;
use crate::ifconfig::is_interface;

/// The first argument of a script's call.
pub(crate) const FLAG: &str = "--complete";

/// What stands behind `completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

/// Shells with a script.
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

/// What may stand at one place.
#[derive(Debug, Default)]
struct Answers(Vec<(String, String)>);

impl Answers {
    fn add(&mut self, word: impl Into<String>, description: impl Into<String>) {
        self.0.push((word.into(), description.into()));
    }
}

/// Writes what may stand in the place of the last of `words`, the program's name left out.
///
/// # Errors
/// Those of `out`. Without a daemon there are fewer candidates, and no failure.
pub(crate) async fn candidates(words: &[OsString], out: &mut impl Write) -> Outcome {
    let (typed, before) = words
        .split_last()
        .map_or((String::new(), words), |(typed, before)| {
            (typed.to_string_lossy().into_owned(), before)
        });
    let mut answers = Answers::default();
    let command = cli::command();
    match before
        .split_first()
        .map(|(first, rest)| (first.to_string_lossy(), rest))
    {
        None => first(&command, &mut answers).await,
        Some((name, rest)) if is_interface(&name) || name == "carp" => {
            parameter(&name, rest, &mut answers).await;
        }
        Some((name, rest)) => match command.find_subcommand(name.as_ref()) {
            Some(command) => argument(command, rest, &mut answers).await,
            None => first(&command, &mut answers).await,
        },
    }
    for (word, description) in answers.0 {
        if word.starts_with(&typed) {
            writeln!(out, "{word}\t{description}")?;
        }
    }
    Ok(())
}

/// The first word: an interface, a command or an option.
async fn first(command: &clap::Command, answers: &mut Answers) {
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
    answers.add("carp", "The next free unit, with create");
    for sub in command.get_subcommands() {
        answers.add(sub.get_name(), about(sub.get_about()));
    }
    options(command, answers);
}

/// A word behind the name of an interface, or the value of the word before.
async fn parameter(name: &str, before: &[OsString], answers: &mut Answers) {
    let keyword = open(before);
    match keyword.map(|keyword| keyword.candidates) {
        Some(Candidates::Words(words)) => words.iter().for_each(|word| answers.add(*word, "")),
        Some(Candidates::Devices) => devices(answers),
        Some(Candidates::Addresses) => addresses(name, answers).await,
        // The shell itself knows files, and nobody the rest.
        Some(Candidates::Files | Candidates::Nothing) => {}
        None => {
            for keyword in KEYWORDS
                .iter()
                .filter(|keyword| may_follow(keyword, before))
            {
                answers.add(keyword.word, keyword.help);
            }
            answers.add("--json", "Write JSON");
            answers.add("--show-pass", "Show the password too");
        }
    }
}

/// Whether a word may stand behind others: once, unless it is about one address of many.
fn may_follow(keyword: &Keyword, before: &[OsString]) -> bool {
    const OF_AN_ADDRESS: &[&str] = &[
        "inet",
        "inet6",
        "netmask",
        "prefixlen",
        "broadcast",
        "alias",
        "-alias",
        "delete",
    ];
    OF_AN_ADDRESS.contains(&keyword.word) || before.iter().all(|word| word != keyword.word)
}

/// The word that the next one belongs to.
fn open(before: &[OsString]) -> Option<&'static Keyword> {
    let mut words = before.iter().filter_map(|word| word.to_str());
    let mut open = None;
    while let Some(word) = words.next() {
        open = find(word)
            .filter(|keyword| keyword.wants.is_some() || keyword.candidates != Candidates::Nothing);
        if open.is_some_and(|keyword| keyword.wants.is_some()) && words.next().is_some() {
            open = None;
        }
    }
    open
}

/// An argument of a command.
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
        ("monitor", Some("--since")) => answers.add("all", "Every event that is kept"),
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

/// The physical interfaces: those of the kernel that carpd did not make.
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

fn is_physical(name: &str) -> bool {
    !is_interface(name) && !is_ear(name.as_bytes()) && name != "lo"
}

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
        open(&words).map(|keyword| keyword.word)
    }

    #[test]
    fn a_value_belongs_to_the_word_before_it() {
        assert_eq!(word("vhid"), Some("vhid"));
        assert_eq!(word("vhid 1"), None);
        assert_eq!(word("vhid 1 state"), Some("state"));
        assert_eq!(word("description state"), None);
        assert_eq!(word("-alias"), Some("-alias"));
        assert_eq!(word("-alias 192.0.2.1"), None);
        assert_eq!(word("up"), None);
    }

    #[test]
    fn devices_of_carpd_are_no_physical_interfaces() {
        for ours in ["carp0", "carpear2", "carpany17", "lo"] {
            assert!(!is_physical(ours), "{ours}");
        }
        for theirs in ["eth0", "carpear", "carpet0", "bond0.7"] {
            assert!(is_physical(theirs), "{theirs}");
        }
    }

    #[test]
    fn a_word_stands_once_but_for_those_of_addresses() {
        let before = ["vhid", "1", "inet", "192.0.2.1"].map(OsString::from);
        let follows = |word| may_follow(find(word).unwrap(), &before);
        assert!(!follows("vhid"));
        assert!(follows("inet"));
        assert!(follows("pass"));
    }
}
