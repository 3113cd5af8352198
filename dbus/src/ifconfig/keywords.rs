//! The table of ifconfig's words, one row a word. The parser, the help, the completion and the test
//! of the manual page use it.

use std::ffi::OsStr;
use std::ops::RangeInclusive;

use super::address::{self, Family};
use super::bad_value::BadValue;
use super::secret::Secret;
use crate::Setting;

/// One word of the grammar.
pub struct Keyword {
    /// The word as it is typed.
    pub word: &'static str,
    /// Value in the help; empty if the word takes none.
    pub shown: &'static str,
    /// Text to complete "must be …"; `None` if the word takes no value.
    pub wants: Option<&'static str>,
    /// Values that completion offers.
    pub candidates: Candidates,
    /// Help, one sentence.
    pub help: &'static str,
    /// Parses the value, which is empty for a word that takes none.
    pub parse: fn(&OsStr) -> Result<Parameter, BadValue>,
}

/// Source of completions of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// No completions.
    Nothing,
    /// These words.
    Words(&'static [&'static str]),
    /// The physical interfaces of this host.
    Devices,
    /// The addresses that the carp interface has.
    Addresses,
    /// File names.
    Files,
}

/// Meaning of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// `create`.
    Create,
    /// `destroy`.
    Destroy,
    /// `vhaddr`.
    Vhaddr,
    /// A setting that takes one value.
    Set(Change),
    /// `inet`, `inet6`: family of the next address.
    Family(Family),
    /// `alias`: adds the address before or after it, which happens without the word, too.
    Alias,
    /// `-alias`, `delete`: removes the address before or after it.
    Remove,
    /// `netmask`: of the IPv4 address before it.
    Netmask(u8),
    /// `prefixlen`: of the address before it.
    Prefixlen(u8),
    /// `broadcast`: of the IPv4 address before it, and redundant with its prefix length.
    Broadcast,
}

/// One setting of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A value on the line.
    Set(Setting),
    /// `pass`, `passfile`.
    Password(Secret),
    /// `accept_pass`.
    AcceptPassword(Secret),
}

impl Change {
    /// Returns the key of the setting.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Set(setting) => setting.key(),
            Self::Password(_) => Setting::Password(Vec::new()).key(),
            Self::AcceptPassword(_) => Setting::AcceptPassword(Vec::new()).key(),
        }
    }

    /// Returns the source of its value, if it is a password.
    #[must_use]
    pub const fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Set(_) => None,
            Self::Password(secret) | Self::AcceptPassword(secret) => Some(secret),
        }
    }

    /// Returns the setting with its value, after reading a password from its source.
    ///
    /// # Errors
    /// One line with the reason why the password cannot be read.
    pub fn read(self) -> Result<Setting, String> {
        Ok(match self {
            Self::Set(setting) => setting,
            Self::Password(secret) => Setting::Password(secret.read("pass")?),
            Self::AcceptPassword(secret) => Setting::AcceptPassword(secret.read("accept_pass")?),
        })
    }
}

/// Every word, in the order of the help.
pub const KEYWORDS: &[Keyword] = &[
    Keyword {
        word: "create",
        shown: "",
        wants: None,
        candidates: Candidates::Nothing,
        help: "Create it; carp create prints the free unit it used.",
        parse: |_| Ok(Parameter::Create),
    },
    Keyword {
        word: "destroy",
        shown: "",
        wants: None,
        candidates: Candidates::Nothing,
        help: "Hand over to the next host and remove the interface.",
        parse: |_| Ok(Parameter::Destroy),
    },
    Keyword {
        word: "vhid",
        shown: "N",
        wants: Some("a number from 1 to 255"),
        candidates: Candidates::Nothing,
        help: "Virtual host ID: the same on every host of the group.",
        parse: |value| number(value, 1..=255).map(Setting::Vhid).map(set),
    },
    Keyword {
        word: "advbase",
        shown: "SECONDS",
        wants: Some("a number from 0 to 254 (seconds)"),
        candidates: Candidates::Nothing,
        help: "Base of the advertisement interval; 1 if unset.",
        parse: |value| number(value, 0..=254).map(Setting::AdvBase).map(set),
    },
    Keyword {
        word: "advskew",
        shown: "N",
        wants: Some("a number from 0 to 254 (1/256 of a second)"),
        candidates: Candidates::Nothing,
        help: "Added to it, in 1/256 s; the shortest interval wins.",
        parse: |value| number(value, 0..=254).map(Setting::AdvSkew).map(set),
    },
    Keyword {
        word: "pass",
        shown: "TEXT",
        wants: Some("a password of up to 19 bytes, or - to read it from standard input"),
        candidates: Candidates::Nothing,
        help: "The group's password; - reads it from standard input.",
        parse: |value| {
            Secret::parse("pass", value)
                .map(Change::Password)
                .map(Parameter::Set)
        },
    },
    Keyword {
        word: "passfile",
        shown: "FILE",
        wants: Some("the name of a file"),
        candidates: Candidates::Files,
        help: "The group's password: the first line of a file.",
        parse: |value| {
            if value.is_empty() {
                Err(BadValue::Mismatch)
            } else {
                Ok(Parameter::Set(Change::Password(Secret::File(value.into()))))
            }
        },
    },
    Keyword {
        word: "accept_pass",
        shown: "TEXT",
        wants: Some("a password of up to 19 bytes, or - to read it from standard input"),
        candidates: Candidates::Nothing,
        help: "Another password to accept but never send.",
        parse: |value| {
            let secret = Secret::parse("accept_pass", value)?;
            if secret == Secret::Given(Vec::new()) {
                return Err(BadValue::Because(
                    "accept_pass is empty: -accept_pass unsets it".into(),
                ));
            }
            Ok(Parameter::Set(Change::AcceptPassword(secret)))
        },
    },
    Keyword {
        word: "-accept_pass",
        shown: "",
        wants: None,
        candidates: Candidates::Nothing,
        help: "Accept only the password of pass.",
        parse: |_| Ok(set(Setting::AcceptPassword(Vec::new()))),
    },
    Keyword {
        word: "inet",
        shown: "ADDR[/LEN]",
        wants: None,
        candidates: Candidates::Nothing,
        help: "Add an IPv4 address; the word may be left out.",
        parse: |_| Ok(Parameter::Family(Family::Inet)),
    },
    Keyword {
        word: "inet6",
        shown: "ADDR[/LEN]",
        wants: None,
        candidates: Candidates::Nothing,
        help: "Add an IPv6 address; the word may be left out.",
        parse: |_| Ok(Parameter::Family(Family::Inet6)),
    },
    Keyword {
        word: "netmask",
        shown: "MASK",
        wants: Some("a netmask such as 255.255.255.0 or 0xffffff00"),
        candidates: Candidates::Nothing,
        help: "Netmask of the IPv4 address before it.",
        parse: |value| {
            let prefix = text(value)
                .ok()
                .and_then(address::netmask)
                .ok_or(BadValue::Mismatch)?;
            Ok(Parameter::Netmask(prefix))
        },
    },
    Keyword {
        word: "prefixlen",
        shown: "LEN",
        wants: Some("a number from 0 to 128"),
        candidates: Candidates::Nothing,
        help: "Prefix length of the address before it.",
        parse: |value| {
            let prefix = text(value)
                .ok()
                .and_then(address::prefix)
                .ok_or(BadValue::Mismatch)?;
            Ok(Parameter::Prefixlen(prefix))
        },
    },
    Keyword {
        word: "broadcast",
        shown: "ADDR",
        wants: Some("an IPv4 address"),
        candidates: Candidates::Nothing,
        help: "Accepted for scripts of the BSDs, and ignored.",
        parse: |value| match text(value)?.parse::<std::net::Ipv4Addr>() {
            Ok(_) => Ok(Parameter::Broadcast),
            Err(_) => Err(BadValue::Mismatch),
        },
    },
    Keyword {
        word: "alias",
        shown: "",
        wants: None,
        candidates: Candidates::Nothing,
        help: "Add an address; the word may be left out.",
        parse: |_| Ok(Parameter::Alias),
    },
    Keyword {
        word: "-alias",
        shown: "ADDR",
        wants: None,
        candidates: Candidates::Addresses,
        help: "Remove an address.",
        parse: |_| Ok(Parameter::Remove),
    },
    Keyword {
        word: "delete",
        shown: "ADDR",
        wants: None,
        candidates: Candidates::Addresses,
        help: "The same as -alias.",
        parse: |_| Ok(Parameter::Remove),
    },
    Keyword {
        word: "up",
        shown: "",
        wants: None,
        candidates: Candidates::Nothing,
        help: "Take part in the group; an address implies it.",
        parse: |_| Ok(set(Setting::Up(true))),
    },
    Keyword {
        word: "down",
        shown: "",
        wants: None,
        candidates: Candidates::Nothing,
        help: "Hand over to the next host and take no part.",
        parse: |_| Ok(set(Setting::Up(false))),
    },
    Keyword {
        word: "state",
        shown: "master|backup",
        wants: Some("master or backup"),
        candidates: Candidates::Words(&["master", "backup"]),
        help: "Force a state; the election continues from there.",
        parse: |value| match text(value)?.to_ascii_lowercase().as_str() {
            "master" => Ok(set(Setting::State("MASTER".to_owned()))),
            "backup" => Ok(set(Setting::State("BACKUP".to_owned()))),
            _ => Err(BadValue::Mismatch),
        },
    },
    Keyword {
        word: "carpdev",
        shown: "IF",
        wants: Some("the name of a physical interface"),
        candidates: Candidates::Devices,
        help: "Physical interface; if unset, found by subnet.",
        parse: |value| device(value).map(Setting::Device).map(set),
    },
    Keyword {
        word: "-carpdev",
        shown: "",
        wants: None,
        candidates: Candidates::Nothing,
        help: "Find the physical interface by subnet again.",
        parse: |_| Ok(set(Setting::Device(String::new()))),
    },
    Keyword {
        word: "description",
        shown: "TEXT",
        wants: Some("one line of text"),
        candidates: Candidates::Nothing,
        help: "Free text for people.",
        parse: description,
    },
    Keyword {
        word: "descr",
        shown: "TEXT",
        wants: Some("one line of text"),
        candidates: Candidates::Nothing,
        help: "The same as description.",
        parse: description,
    },
    Keyword {
        word: "-description",
        shown: "",
        wants: None,
        candidates: Candidates::Nothing,
        help: "Remove the description.",
        parse: |_| Ok(set(Setting::Description(String::new()))),
    },
    Keyword {
        word: "-descr",
        shown: "",
        wants: None,
        candidates: Candidates::Nothing,
        help: "The same as -description.",
        parse: |_| Ok(set(Setting::Description(String::new()))),
    },
    Keyword {
        word: "lladdr",
        shown: "virtual|parent",
        wants: Some("virtual or parent"),
        candidates: Candidates::Words(&["virtual", "parent"]),
        help: "The virtual MAC address, or the physical interface's.",
        parse: |value| match text(value)? {
            "virtual" => Ok(set(Setting::LinkLayer("virtual".to_owned()))),
            "parent" => Ok(set(Setting::LinkLayer("parent".to_owned()))),
            _ => Err(BadValue::Mismatch),
        },
    },
    Keyword {
        word: "vhaddr",
        shown: "",
        wants: None,
        candidates: Candidates::Nothing,
        help: "Show virtual addresses, backing addresses, flags.",
        parse: |_| Ok(Parameter::Vhaddr),
    },
];

/// Returns the row of `word`.
#[must_use]
pub fn find(word: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|keyword| keyword.word == word)
}

const fn set(setting: Setting) -> Parameter {
    Parameter::Set(Change::Set(setting))
}

fn number(value: &OsStr, range: RangeInclusive<u8>) -> Result<u8, BadValue> {
    let text = text(value)?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && range.contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(BadValue::Mismatch),
    }
}

fn text(value: &OsStr) -> Result<&str, BadValue> {
    value.to_str().ok_or(BadValue::Mismatch)
}

/// Checks a name by the kernel's rule: `net/core/dev.c`, `dev_valid_name()`. An alternative name
/// may have 127 bytes (`linux/if.h`, `ALTIFNAMSIZ`).
fn device(value: &OsStr) -> Result<String, BadValue> {
    let name = text(value)?;
    let fits = (1..=127).contains(&name.len()) && name != "." && name != "..";
    let clean = !name
        .bytes()
        .any(|byte| b"/:\0\x0b".contains(&byte) || byte.is_ascii_whitespace());
    if fits && clean {
        Ok(name.to_owned())
    } else {
        Err(BadValue::Mismatch)
    }
}

fn description(value: &OsStr) -> Result<Parameter, BadValue> {
    match text(value)? {
        line if line.chars().any(char::is_control) => Err(BadValue::Mismatch),
        line => Ok(set(Setting::Description(line.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_no_word_twice() {
        for (at, keyword) in KEYWORDS.iter().enumerate() {
            assert!(
                KEYWORDS[..at]
                    .iter()
                    .all(|other| other.word != keyword.word)
            );
            assert!(keyword.help.ends_with('.'), "{}", keyword.word);
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for (word, least, most) in [("vhid", 1, 255), ("advbase", 0, 254), ("advskew", 0, 254)] {
            let parse = find(word).unwrap().parse;
            for value in 0..=300u32 {
                let taken = parse(OsStr::new(&value.to_string())).is_ok();
                assert_eq!(taken, (least..=most).contains(&value), "{word} {value}");
            }
            for bad in ["", "x", "+1", "-1", "1.0", "0x1", "99999999999", " 1"] {
                assert_eq!(
                    parse(OsStr::new(bad)),
                    Err(BadValue::Mismatch),
                    "{word} {bad}"
                );
            }
        }
    }

    #[test]
    fn interface_name_follows_the_kernels_rule() {
        let [longest, too_long] = [127, 128].map(|length| "a".repeat(length));
        for good in ["eth0", "enp0s31f6", "br-lan.100", &longest] {
            assert!(device(OsStr::new(good)).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "eth0:1", "a b", &too_long] {
            assert_eq!(device(OsStr::new(bad)), Err(BadValue::Mismatch), "{bad}");
        }
    }
}
