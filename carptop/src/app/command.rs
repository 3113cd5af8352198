//! Parser and completion of the line at the prompt, in carpctl's words.

use std::ffi::OsString;

use carp_dbus::ifconfig::{self, Action, Candidates, KEYWORDS, Keyword, Line, Secret};

use super::question::{self, Question};
use crate::model::Model;

/// Most candidates of a completion.
const MAX_CANDIDATES: usize = 200;

/// Command in a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Ask this question.
    Question(Question),
    /// Select this interface and show its details.
    Show(String),
    /// Show this message.
    Message(String),
    /// End the program.
    Quit,
}

/// Parses a line.
///
/// # Errors
/// A message about the mistake.
pub(crate) fn parse(line: &str, model: &Model) -> Result<Command, String> {
    let words = ifconfig::split(line.as_bytes()).map_err(|_| "unclosed quote".to_owned())?;
    // The line is UTF-8, and so are its words.
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    match words.as_slice() {
        [] => Err(String::new()),
        ["q" | "quit" | "exit"] => Ok(Command::Quit),
        ["carpctl", rest @ ..] => parse_words(rest, model),
        words => parse_words(words, model),
    }
}

fn parse_words(words: &[&str], model: &Model) -> Result<Command, String> {
    match words {
        ["sysctl", rest @ ..] => sysctl(rest, model),
        [name, rest @ ..] if name.starts_with("carp") => interface(name, rest, model),
        [other, ..] => Err(format!(
            "{other}: unknown command: use carpN PARAMETER..., carp create, sysctl or quit"
        )),
        [] => Err("carpctl: no command".to_owned()),
    }
}

fn sysctl(words: &[&str], model: &Model) -> Result<Command, String> {
    let [word] = words else {
        return Err("sysctl: use sysctl NAME or sysctl NAME=VALUE".to_owned());
    };
    if let Some((name, value)) = word.split_once('=') {
        let number = value.parse().ok().filter(|_| !value.starts_with('+'));
        let number = number.ok_or_else(|| format!("{name}: '{value}' must be a number"))?;
        return question::sysctl(model, name, number).map(Command::Question);
    }
    let found = model.sysctls.iter().find(|sysctl| sysctl.name == *word);
    let sysctl = found.ok_or_else(|| format!("unknown oid '{word}'"))?;
    Ok(Command::Message(format!(
        "{}: {}",
        sysctl.name, sysctl.value
    )))
}

fn interface(name: &str, words: &[&str], model: &Model) -> Result<Command, String> {
    let interface = || {
        let interface = model.interfaces.get(name);
        interface.ok_or_else(|| format!("interface {name} does not exist"))
    };
    let arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
    let line = Line::parse(&arguments)?;
    if let Some(option) = line.options.first() {
        return Err(format!("{option}: options work in carpctl only"));
    }
    let text = format!("{name} {}", masked(words));
    match line.action {
        Action::Create(changes) => {
            check(&changes)?;
            Ok(Command::Question(question::create(name, changes, &text)))
        }
        Action::Show | Action::Vhaddr => interface().map(|_| Command::Show(name.to_owned())),
        Action::Configure(changes) => {
            check(&changes)?;
            Ok(Command::Question(question::changes(
                interface()?,
                changes,
                &text,
            )))
        }
        Action::Destroy => Ok(Command::Question(question::destroy(interface()?))),
    }
}

/// Refuses passwords from standard input, which is the keyboard here.
fn check(changes: &ifconfig::Changes) -> Result<(), String> {
    let mut secrets = changes.settings.iter().filter_map(ifconfig::Change::secret);
    if secrets.any(|secret| *secret == Secret::StandardInput) {
        return Err(
            "pass -: no standard input here: enter the password, or use passfile".to_owned(),
        );
    }
    Ok(())
}

/// Returns whether a password follows `word`.
fn precedes_password(word: &str) -> bool {
    matches!(word, "pass" | "accept_pass")
}

/// Returns whether `word` is a password. `is_next` carries the state from word to word.
fn is_password(is_next: &mut bool, word: &str) -> bool {
    let hidden = *is_next;
    *is_next = !hidden && precedes_password(word);
    hidden
}

/// Returns `words` on one line, with stars for passwords.
fn masked(words: &[&str]) -> String {
    let mut is_next = false;
    let shown = words.iter().map(|word| {
        let hidden = is_password(&mut is_next, word);
        if hidden {
            stars(word)
        } else {
            (*word).to_owned()
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Returns a line that is being entered, with stars for passwords.
pub(crate) fn without_passwords(line: &str) -> String {
    let mut is_next = false;
    let mut quote: Option<char> = None;
    let words = line.split(' ').map(|word| {
        let opened = word.chars().next().filter(|c| matches!(c, '\'' | '"'));
        if let Some(end) = quote {
            quote = Some(end).filter(|end| !word.ends_with(*end));
            return stars(word);
        }
        if word.is_empty() {
            return String::new();
        }
        let hidden = is_password(&mut is_next, word);
        if !hidden {
            return word.to_owned();
        }
        quote = opened.filter(|end| word.len() == 1 || !word.ends_with(*end));
        stars(word)
    });
    words.collect::<Vec<_>>().join(" ")
}

fn stars(word: &str) -> String {
    "*".repeat(word.chars().count())
}

/// Returns the candidates for the last word of `line`, each with its description.
pub(crate) fn candidates(line: &str, model: &Model) -> Vec<(String, String)> {
    let (before, typed) = line.rsplit_once(' ').unwrap_or(("", line));
    let mut before: Vec<&str> = before.split_whitespace().collect();
    if before.first() == Some(&"carpctl") {
        before.remove(0);
    }
    let mut found: Vec<(String, String)> = match before.as_slice() {
        [] => first_word(model),
        ["sysctl"] => model
            .sysctls
            .iter()
            .filter(|sysctl| sysctl.writable)
            .map(|sysctl| (format!("{}=", sysctl.name), sysctl.description.clone()))
            .collect(),
        [name, rest @ ..] if name.starts_with("carp") => parameter(name, rest, model),
        _ => Vec::new(),
    };
    found.retain(|(word, _)| word.starts_with(typed));
    found.truncate(MAX_CANDIDATES);
    found
}

/// Returns the longest common prefix of the candidates.
pub(crate) fn common_prefix(candidates: &[(String, String)]) -> String {
    let mut words = candidates.iter().map(|(word, _)| word.as_str());
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |common, word| {
        let same = common.chars().zip(word.chars()).take_while(|(a, b)| a == b);
        same.map(|(c, _)| c).collect()
    })
}

/// Returns candidates for the first word.
fn first_word(model: &Model) -> Vec<(String, String)> {
    let mut interfaces: Vec<_> = model.interfaces.values().collect();
    interfaces.sort_by_key(|interface| interface.unit());
    let names = interfaces.iter().map(|interface| {
        let info = &interface.info;
        let about = format!("{} vhid {} {}", info.state, info.vhid, info.description);
        (info.name.clone(), about.trim_end().to_owned())
    });
    let mut found: Vec<(String, String)> = names.collect();
    for (word, about) in [
        ("carp", "Next free unit, with create"),
        ("sysctl", "Show or set net.inet.carp"),
        ("quit", "Quit"),
    ] {
        found.push((word.to_owned(), about.to_owned()));
    }
    found
}

/// Returns candidates for a word after the name of an interface: parameters, or values of the
/// parameter before it.
fn parameter(name: &str, before: &[&str], model: &Model) -> Vec<(String, String)> {
    let plain = |word: &str| (word.to_owned(), String::new());
    match awaiting_value(before).map(|keyword| keyword.candidates) {
        Some(Candidates::Words(words)) => words.iter().map(|word| plain(word)).collect(),
        Some(Candidates::Devices) => {
            let devices = model
                .interfaces
                .values()
                .map(|interface| interface.info.carpdev.as_str());
            let mut devices: Vec<&str> = devices.filter(|device| !device.is_empty()).collect();
            devices.sort_unstable();
            devices.dedup();
            devices.into_iter().map(plain).collect()
        }
        Some(Candidates::Addresses) => {
            let interface = model.interfaces.get(name);
            let addresses = interface
                .into_iter()
                .flat_map(|interface| &interface.info.addresses);
            addresses.map(|address| plain(&address.address)).collect()
        }
        Some(Candidates::Files | Candidates::Nothing) => Vec::new(),
        None => KEYWORDS
            .iter()
            .map(|keyword| (keyword.word.to_owned(), keyword.help.to_owned()))
            .collect(),
    }
}

/// Returns the parameter whose value comes next, `None` if a parameter comes next.
fn awaiting_value(before: &[&str]) -> Option<&'static Keyword> {
    let mut words = before.iter();
    let mut awaiting = None;
    while let Some(word) = words.next() {
        awaiting = ifconfig::find(word)
            .filter(|keyword| keyword.wants.is_some() || keyword.candidates != Candidates::Nothing);
        if awaiting.is_some_and(|keyword| keyword.wants.is_some()) && words.next().is_some() {
            awaiting = None;
        }
    }
    awaiting
}

#[cfg(test)]
mod tests {
    use carp_dbus::{AddressInfo, InterfaceInfo, SysctlInfo};

    use super::super::msg::Request;
    use super::*;

    fn model() -> Model {
        let mut model = Model::default();
        let info = InterfaceInfo {
            name: "carp0".to_owned(),
            state: "MASTER".to_owned(),
            up: true,
            vhid: 1,
            addresses: vec![AddressInfo {
                address: "192.0.2.1".to_owned(),
                ..AddressInfo::default()
            }],
            ..InterfaceInfo::default()
        };
        model.list(vec![info], 1, 1);
        model.sysctls = [("preempt", true), ("suppress_preempt", false)]
            .map(|(name, writable)| SysctlInfo {
                name: format!("net.inet.carp.{name}"),
                value: 0,
                description: "A sentence.".to_owned(),
                writable,
            })
            .to_vec();
        model
    }

    fn words(line: &str) -> Vec<String> {
        let found = candidates(line, &model());
        found.into_iter().map(|(word, _)| word).collect()
    }

    fn error(line: &str) -> String {
        parse(line, &model()).expect_err(line)
    }

    #[test]
    fn line_of_several_parameters_is_one_change() {
        let Ok(Command::Question(question)) = parse("carp0 advskew 50 state backup", &model())
        else {
            panic!("not a change")
        };
        assert_eq!(question.text, "carp0 advskew 50 state backup?");
        assert!(
            question.consequence.contains("gives up 192.0.2.1"),
            "{}",
            question.consequence
        );
        let Request::Configure(name, changes) = question.request else {
            panic!("{:?}", question.request)
        };
        assert_eq!((name.as_str(), changes.settings.len()), ("carp0", 2));
    }

    #[test]
    fn wrong_line_has_carpctls_error() {
        for (line, message) in [
            (
                "carp0 vihd 1",
                "vihd: unknown parameter, did you mean vhid?",
            ),
            ("carp9 down", "interface carp9 does not exist"),
            (
                "carp0 pass -",
                "pass -: no standard input here: enter the password, or use passfile",
            ),
            ("carp0 --json", "--json: options work in carpctl only"),
            ("carp0 description 'x", "unclosed quote"),
            ("sysctl net.inet.carp.x=1", "unknown oid 'net.inet.carp.x'"),
            (
                "sysctl net.inet.carp.suppress_preempt=1",
                "oid 'net.inet.carp.suppress_preempt' is read only",
            ),
        ] {
            assert_eq!(error(line), message);
        }
        assert!(error("netstat").starts_with("netstat: unknown command"));
    }

    #[test]
    fn next_word_is_completed() {
        assert_eq!(words("ca"), ["carp0", "carp"]);
        assert_eq!(words("carp0 adv"), ["advbase", "advskew"]);
        assert_eq!(words("carp0 state "), ["master", "backup"]);
        assert_eq!(words("carp0 -alias "), ["192.0.2.1"]);
        assert_eq!(words("carpctl sysctl net"), ["net.inet.carp.preempt="]);
        assert_eq!(words("carp0 vhid "), Vec::<String>::new());
        assert_eq!(common_prefix(&candidates("carp0 ad", &model())), "adv");
    }

    #[test]
    fn password_is_never_shown() {
        assert_eq!(
            without_passwords("carp0 pass secret vhid 1"),
            "carp0 pass ****** vhid 1"
        );
        assert_eq!(
            without_passwords("carp0 accept_pass  x"),
            "carp0 accept_pass  *"
        );
        assert_eq!(without_passwords("carp0 pass pass x"), "carp0 pass **** x");
        assert_eq!(
            without_passwords("carp0 pass 'a b' up"),
            "carp0 pass ** ** up"
        );
        let Ok(Command::Question(question)) = parse("carp0 pass 'my secret'", &model()) else {
            panic!("not a change")
        };
        assert!(!format!("{question:?}").contains("secret"), "{question:?}");
    }
}
