//! `sysctl`: the names below `net.inet.carp`, alone and among others.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;

use super::{Name, both, carpd, ended, system};
use crate::exit::{Failure, Outcome};
use crate::sysctl::{self, Arguments};

/// The subtree that is ours, and its parent, which Linux does not have.
const OURS: [&str; 2] = ["net.inet", "net.inet.carp"];

/// A command line of which something is ours.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shared {
    options: Vec<OsString>,
    arguments: Arguments,
    runs: Vec<Run>,
}

/// Names that stand side by side and are looked after by the same program.
#[derive(Debug, PartialEq, Eq)]
enum Run {
    Ours(Vec<String>),
    Theirs(Vec<OsString>),
}

/// # Errors
/// Why it failed, with its exit status.
pub(super) async fn run(words: &[OsString], out: &mut impl Write) -> Outcome {
    let Some(mut line) = Shared::read(words) else {
        return Err(system::become_it(Name::Sysctl, words));
    };
    if line.runs.is_empty() {
        if carpd().await.is_none() {
            return Err(system::become_it(Name::Sysctl, words));
        }
        line.runs = vec![Run::Theirs(Vec::new()), Run::Ours(Vec::new())];
    }
    // What is wrong with our part of the line is said before anything is done.
    for run in &line.runs {
        if let Run::Ours(names) = run {
            sysctl::check(names).map_err(Failure::Usage)?;
        }
    }
    let mut outcome = Ok(());
    for run in line.runs {
        let this = match run {
            Run::Ours(names) => {
                let arguments = Arguments {
                    names,
                    ..line.arguments.clone()
                };
                sysctl::run(&arguments, false, out).await
            }
            Run::Theirs(names) => {
                out.flush()?;
                let words = [line.options.clone(), names].concat();
                system::run(Name::Sysctl, &words).and_then(ended)
            }
        };
        outcome = both(outcome, this);
    }
    outcome
}

impl Shared {
    /// Reads the words; `None` if nothing of the line is ours, or if it has an option that gives
    /// the other words another meaning.
    fn read(words: &[OsString]) -> Option<Self> {
        let mut line = Self::default();
        let mut all = false;
        let mut only_names = false;
        for word in words {
            if word == "--" && !only_names {
                only_names = true;
                line.options.push(word.clone());
            } else if word.as_bytes().starts_with(b"-") && !only_names {
                all |= line.option(word.to_str()?)?;
                line.options.push(word.clone());
            } else {
                line.name(word);
            }
        }
        let ours = line.runs.iter().any(|run| matches!(run, Run::Ours(_)));
        (ours || all && line.runs.is_empty()).then_some(line)
    }

    /// Takes an option that both programs have, and says whether it asks for everything.
    fn option(&mut self, word: &str) -> Option<bool> {
        let letters = match word {
            "--all" => "a",
            "--names" => "N",
            "--values" => "n",
            "--quiet" => "q",
            "--write" => "w",
            _ => word.strip_prefix('-').filter(|rest| !rest.is_empty())?,
        };
        let mut all = false;
        for letter in letters.chars() {
            match letter {
                'a' | 'A' | 'X' => all = true,
                'd' => self.arguments.description = true,
                'e' => self.arguments.equals = true,
                'N' => self.arguments.name = true,
                'n' => self.arguments.value = true,
                'q' => {
                    self.arguments.quiet = true;
                    self.arguments.silent = true;
                }
                'w' => {}
                _ => return None,
            }
        }
        self.arguments.all |= all;
        Some(all)
    }

    fn name(&mut self, word: &OsStr) {
        match (ours(word), self.runs.last_mut()) {
            (Some(name), Some(Run::Ours(names))) => names.push(name),
            (Some(name), Some(Run::Theirs(_)) | None) => self.runs.push(Run::Ours(vec![name])),
            (None, Some(Run::Theirs(names))) => names.push(word.to_owned()),
            (None, Some(Run::Ours(_)) | None) => {
                self.runs.push(Run::Theirs(vec![word.to_owned()]));
            }
        }
    }
}

/// The word if its name is ours, with dots where Linux also takes slashes.
fn ours(word: &OsStr) -> Option<String> {
    let word = word.to_str()?;
    let (name, value) = word
        .split_once('=')
        .map_or((word, None), |(name, value)| (name, Some(value)));
    let name = name.replace('/', ".");
    let stem = name.strip_suffix('.').unwrap_or(&name);
    let below = stem.starts_with("net.inet.carp.");
    (OURS.contains(&stem) || below).then(|| match value {
        Some(value) => format!("{name}={value}"),
        None => name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Shared> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        Shared::read(&words)
    }

    fn runs(line: &str) -> Vec<String> {
        let shown = |run: &Run| match run {
            Run::Ours(names) => format!("ours {}", names.join(" ")),
            Run::Theirs(names) => format!("theirs {}", names.join(OsStr::new(" ")).display()),
        };
        read(line).unwrap().runs.iter().map(shown).collect()
    }

    #[test]
    fn names_side_by_side_go_to_one_program_in_their_order() {
        assert_eq!(
            runs("net.inet.carp.preempt=1 net.inet.carp.log vm.x=1 vm.y net/inet/carp/allow"),
            [
                "ours net.inet.carp.preempt=1 net.inet.carp.log",
                "theirs vm.x=1 vm.y",
                "ours net.inet.carp.allow"
            ]
        );
    }

    #[test]
    fn everything_is_asked_of_both() {
        assert_eq!(read("-a").map(|line| line.runs), Some(Vec::new()));
        assert_eq!(read("-na").map(|line| line.runs), Some(Vec::new()));
    }

    #[test]
    fn what_is_not_about_carp_is_not_ours() {
        for line in [
            "",
            "-n",
            "net.ipv4.ip_forward",
            "-w net.ipv4.ip_forward=1",
            "net.inet6",
            "net",
            "-p net.inet.carp.conf",
            "--system",
            "-a -r carp",
            "-a vm.swappiness",
            "-",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn options_are_those_of_both_programs() {
        let line = read("-qw -n net.inet.carp.preempt=1").unwrap();
        assert!(line.arguments.value && line.arguments.quiet && line.arguments.silent);
        assert_eq!(line.options, ["-qw", "-n"]);
    }
}
