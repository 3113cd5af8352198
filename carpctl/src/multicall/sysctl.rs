//! `sysctl`: the names below `net.inet.carp`, alone or mixed with other names.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;

use super::daemon::connect_if_running;
use super::system;
use crate::exit::{Failure, Outcome};
use crate::name::ProgramName;
use crate::sysctl::{self, Arguments};

/// carpctl's subtree, and its parent, which Linux does not have.
const CARP_SUBTREES: [&str; 2] = ["net.inet", "net.inet.carp"];

/// Command line with a part for carpctl.
#[derive(Debug, Default, PartialEq, Eq)]
struct CommandLine {
    /// As they are passed to the system's sysctl.
    options: Vec<OsString>,
    /// The options as carpctl understands them.
    arguments: Arguments,
    parts: Vec<Part>,
}

/// Adjacent names that the same program serves.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Carpctl(Vec<String>),
    System(Vec<OsString>),
}

/// Runs `sysctl` with `words` as its arguments.
///
/// # Errors
/// The failure, with its exit status.
pub(crate) async fn run(words: &[OsString], out: &mut impl Write) -> Outcome {
    let Some(mut line) = CommandLine::read(words) else {
        return Err(system::exec(ProgramName::Sysctl, words));
    };
    if line.parts.is_empty() {
        if connect_if_running().await.is_none() {
            return Err(system::exec(ProgramName::Sysctl, words));
        }
        line.parts = vec![Part::System(Vec::new()), Part::Carpctl(Vec::new())];
    }
    // A mistake in carpctl's part is reported before anything is set.
    for part in &line.parts {
        if let Part::Carpctl(names) = part {
            sysctl::check(names).map_err(Failure::Usage)?;
        }
    }
    let mut outcome = Ok(());
    for part in line.parts {
        let part_outcome = match part {
            Part::Carpctl(names) => {
                let arguments = Arguments {
                    names,
                    ..line.arguments.clone()
                };
                sysctl::run(&arguments, false, out).await
            }
            Part::System(names) => {
                out.flush()?;
                let words = [line.options.clone(), names].concat();
                system::run(ProgramName::Sysctl, &words)
            }
        };
        outcome = first_failure(outcome, part_outcome);
    }
    outcome
}

/// Returns the first of two failures. Prints the line of the second; its status is lost.
fn first_failure(first: Outcome, second: Outcome) -> Outcome {
    match (first, second) {
        (Err(first), Err(second)) => {
            second.report();
            Err(first)
        }
        (Err(failure), Ok(())) | (Ok(()), Err(failure)) => Err(failure),
        (Ok(()), Ok(())) => Ok(()),
    }
}

impl CommandLine {
    /// Reads the words. Returns `None` if no part is for carpctl, or if an option that only the
    /// system's sysctl has changes the meaning of the other words.
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
                line.add_name(word);
            }
        }
        let has_carp = line
            .parts
            .iter()
            .any(|part| matches!(part, Part::Carpctl(_)));
        (has_carp || all && line.parts.is_empty()).then_some(line)
    }

    /// Applies an option that both programs have. Returns whether it asks for all names, `None` for
    /// an unknown option.
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

    fn add_name(&mut self, word: &OsStr) {
        match (carp_argument(word), self.parts.last_mut()) {
            (Some(name), Some(Part::Carpctl(names))) => names.push(name),
            (Some(name), Some(Part::System(_)) | None) => {
                self.parts.push(Part::Carpctl(vec![name]));
            }
            (None, Some(Part::System(names))) => names.push(word.to_owned()),
            (None, Some(Part::Carpctl(_)) | None) => {
                self.parts.push(Part::System(vec![word.to_owned()]));
            }
        }
    }
}

/// Returns the word if its name is carpctl's, with dots for the slashes that Linux also accepts.
fn carp_argument(word: &OsStr) -> Option<String> {
    let word = word.to_str()?;
    let (name, value) = word
        .split_once('=')
        .map_or((word, None), |(name, value)| (name, Some(value)));
    let name = name.replace('/', ".");
    let stem = name.strip_suffix('.').unwrap_or(&name);
    let is_below = stem.starts_with("net.inet.carp.");
    (CARP_SUBTREES.contains(&stem) || is_below).then(|| match value {
        Some(value) => format!("{name}={value}"),
        None => name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<CommandLine> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        CommandLine::read(&words)
    }

    fn parts(line: &str) -> Vec<String> {
        let shown = |part: &Part| match part {
            Part::Carpctl(names) => format!("carpctl {}", names.join(" ")),
            Part::System(names) => format!("system {}", names.join(OsStr::new(" ")).display()),
        };
        read(line).unwrap().parts.iter().map(shown).collect()
    }

    #[test]
    fn adjacent_names_go_to_one_program_in_their_order() {
        assert_eq!(
            parts("net.inet.carp.preempt=1 net.inet.carp.log vm.x=1 vm.y net/inet/carp/allow"),
            [
                "carpctl net.inet.carp.preempt=1 net.inet.carp.log",
                "system vm.x=1 vm.y",
                "carpctl net.inet.carp.allow"
            ]
        );
    }

    #[test]
    fn option_for_all_names_is_for_both_programs() {
        assert_eq!(read("-a").map(|line| line.parts), Some(Vec::new()));
        assert_eq!(read("-na").map(|line| line.parts), Some(Vec::new()));
    }

    #[test]
    fn line_without_carp_names_is_the_systems() {
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
    fn options_reach_both_programs() {
        let line = read("-qw -n net.inet.carp.preempt=1").unwrap();
        assert!(line.arguments.value && line.arguments.quiet && line.arguments.silent);
        assert_eq!(line.options, ["-qw", "-n"]);
    }
}
