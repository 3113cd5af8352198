//! One command line: the words behind the interface's name, read whole before anything is sent.

use std::ffi::{OsStr, OsString};
use std::mem::discriminant;
use std::net::IpAddr;

use super::address::{self, Family};
use super::keywords::{self, Bad, Change, Parameter};
use super::message::{shown, unknown};
use crate::{Settings, one_line};

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// What to do.
    pub action: Action,
    /// The words that begin with `--`; what they mean is up to the program.
    pub options: Vec<String>,
    /// What is taken, but not as it was probably meant: one line each.
    pub warnings: Vec<String>,
}

/// The one thing that a line does.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Show the interface.
    Show,
    /// Show its table of addresses.
    Vhaddr,
    /// Create it with these settings, all or nothing.
    Create(Changes),
    /// Change these settings, all or nothing.
    Configure(Changes),
    /// Remove it.
    Destroy,
}

/// The settings of a line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Each at most once.
    pub settings: Vec<Change>,
    /// Addresses to add, with their prefix lengths.
    pub add: Vec<(IpAddr, u8)>,
    /// Addresses to remove.
    pub remove: Vec<IpAddr>,
}

impl Changes {
    /// What carpd takes, with the passwords read from where they are.
    ///
    /// # Errors
    /// One line that says which password cannot be read.
    pub fn settings(self) -> Result<Settings, String> {
        let mut settings = Settings::new();
        for change in self.settings {
            settings = match change {
                Change::Vhid(vhid) => settings.vhid(vhid),
                Change::Advbase(seconds) => settings.advbase(seconds),
                Change::Advskew(skew) => settings.advskew(skew),
                Change::Password(secret) => settings.password(&secret.read("pass")?),
                Change::AcceptPassword(None) => settings.accept_password(b""),
                Change::AcceptPassword(Some(secret)) => {
                    settings.accept_password(&secret.read("accept_pass")?)
                }
                Change::Up(up) => settings.up(up),
                Change::State(state) => settings.state(state),
                Change::Carpdev(name) => settings.device(&name),
                Change::Description(text) => settings.description(&text),
                Change::Lladdr(whose) => settings.link_layer(whose),
            };
        }
        for (address, prefix) in self.add {
            settings = settings.address(&address.to_string(), prefix);
        }
        for address in self.remove {
            settings = settings.remove_address(&address.to_string());
        }
        Ok(settings)
    }
}

impl Line {
    /// Reads the words behind the name of an interface.
    ///
    /// # Errors
    /// One line that names the word and what would be right.
    pub fn parse(words: &[OsString]) -> Result<Self, String> {
        let mut line = Self::read(words).map_err(one_line)?;
        line.warnings = line.warnings.into_iter().map(one_line).collect();
        Ok(line)
    }

    fn read(words: &[OsString]) -> Result<Self, String> {
        let mut reader = Reader::default();
        let mut rest = words.iter().map(OsString::as_os_str);
        while let Some(word) = rest.next() {
            let next = rest.clone().next();
            match word.to_str() {
                Some(text) if text.starts_with("--") => reader.options.push(text.to_owned()),
                Some(text) => match keywords::find(text) {
                    Some(keyword) if keyword.wants.is_some() => {
                        rest.next();
                        reader.take(keyword.word, value(keyword, next)?, None)?;
                    }
                    Some(keyword) => reader.take(keyword.word, value(keyword, None)?, next)?,
                    None => reader.address(text)?,
                },
                None => return Err(format!("{}: unknown parameter", word.display())),
            }
        }
        reader.finish()
    }
}

/// Reads the value of `keyword`, if it takes one.
fn value(keyword: &keywords::Keyword, value: Option<&OsStr>) -> Result<Parameter, String> {
    let word = keyword.word;
    let value = match (keyword.wants, value) {
        (None, _) => OsStr::new(""),
        (Some(_), Some(value)) => value,
        (Some(wants), None) => return Err(format!("{word} needs a value: {wants}")),
    };
    (keyword.parse)(value).map_err(|bad| match bad {
        Bad::NotWanted => {
            let wants = keyword.wants.unwrap_or("left out");
            format!("{word} {}: must be {wants}", shown(value))
        }
        Bad::Because(line) => line,
    })
}

/// An address of the line, and what becomes of it.
struct Given {
    address: IpAddr,
    prefix: Option<u8>,
    removed: bool,
}

#[derive(Default)]
struct Reader {
    options: Vec<String>,
    /// `create`, `destroy` and `vhaddr`.
    verbs: Vec<&'static str>,
    settings: Vec<(&'static str, Change)>,
    addresses: Vec<Given>,
    /// The last word that an address must follow.
    owed: Option<&'static str>,
    family: Option<Family>,
    removing: bool,
}

impl Reader {
    /// Takes a word of the table with its value; `next` is the word behind it.
    fn take(
        &mut self,
        word: &'static str,
        parameter: Parameter,
        next: Option<&OsStr>,
    ) -> Result<(), String> {
        let joins = match parameter {
            Parameter::Family(_) | Parameter::Alias | Parameter::Remove => true,
            // FreeBSD's order: `inet vhid 1 pass x alias 192.0.2.1/24`.
            Parameter::Set(_) => self.owed.is_some_and(|owed| owed.starts_with("inet")),
            Parameter::Create
            | Parameter::Destroy
            | Parameter::Vhaddr
            | Parameter::Netmask(_)
            | Parameter::Prefixlen(_)
            | Parameter::Broadcast => false,
        };
        if let Some(owed) = self.owed.filter(|_| !joins) {
            return Err(format!("{owed} needs an address, not {word}"));
        }
        match parameter {
            Parameter::Create | Parameter::Destroy | Parameter::Vhaddr => self.verbs.push(word),
            Parameter::Set(change) => self.set(word, change)?,
            Parameter::Family(family) => {
                self.family = Some(family);
                self.owed = Some(word);
            }
            Parameter::Alias if self.addresses.is_empty() => self.owed = Some(word),
            Parameter::Alias => {}
            Parameter::Remove => self.remove(word, next),
            Parameter::Netmask(prefix) => self.prefix(word, prefix)?,
            Parameter::Prefixlen(prefix) => self.prefix(word, prefix)?,
            Parameter::Broadcast => {
                self.before(word, Some(Family::Inet))?;
            }
        }
        Ok(())
    }

    fn set(&mut self, word: &'static str, change: Change) -> Result<(), String> {
        let same = |other: &&(_, Change)| discriminant(&other.1) == discriminant(&change);
        match self.settings.iter().find(same) {
            Some((other, _)) if *other == word => Err(format!("{word} is given twice")),
            Some((other, _)) => Err(format!("{other} and {word} cannot be given together")),
            None => {
                self.settings.push((word, change));
                Ok(())
            }
        }
    }

    /// `-alias ADDR`, or BSD's `ADDR -alias`.
    fn remove(&mut self, word: &'static str, next: Option<&OsStr>) {
        let address_follows = next.is_some_and(|next| {
            next.to_str().is_none_or(|next| {
                !next.starts_with("--")
                    && (next.starts_with("inet") || keywords::find(next).is_none())
            })
        });
        match self.addresses.last_mut() {
            Some(last) if !address_follows && self.owed.is_none() => last.removed = true,
            Some(_) | None => {
                self.removing = true;
                self.owed = Some(word);
            }
        }
    }

    fn address(&mut self, word: &str) -> Result<(), String> {
        let like_an_address = word.contains([':', '.', '/'])
            || word.starts_with(|first: char| first.is_ascii_digit());
        if self.owed.is_none() && !like_an_address {
            return Err(unknown(word));
        }
        let (address, prefix) = address::parse(word)?;
        if let Some(family) = self.family.take()
            && family != Family::of(address)
        {
            return Err(format!("{word}: not an {} address", family.word()));
        }
        if self
            .addresses
            .iter()
            .any(|other| other.address == address && other.removed == self.removing)
        {
            return Err(format!("{address} is given twice"));
        }
        self.addresses.push(Given {
            address,
            prefix,
            removed: self.removing,
        });
        self.removing = false;
        self.owed = None;
        Ok(())
    }

    fn prefix(&mut self, word: &'static str, prefix: u8) -> Result<(), String> {
        let family = (word == "netmask").then_some(Family::Inet);
        let before = self.before(word, family)?;
        let most = Family::of(before.address).bits();
        if !(1..=most).contains(&prefix) {
            return Err(format!(
                "{word} {prefix}: must be a number from 1 to {most}"
            ));
        }
        match before.prefix.replace(prefix) {
            Some(other) if other != prefix => Err(format!(
                "{}/{other}: {word} says /{prefix}, one of them must go",
                before.address
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// The address before `word`.
    fn before(&mut self, word: &str, family: Option<Family>) -> Result<&mut Given, String> {
        match self.addresses.last_mut() {
            None => Err(format!("{word} needs an address before it")),
            Some(last) if family.is_some_and(|family| family != Family::of(last.address)) => Err(
                format!("{word} is for IPv4, {} has a prefixlen", last.address),
            ),
            Some(last) => Ok(last),
        }
    }

    fn finish(self) -> Result<Line, String> {
        if let Some(owed) = self.owed {
            return Err(format!("{owed} needs an address such as 192.0.2.1/24"));
        }
        let (changes, warnings) = changes(self.settings, self.addresses);
        let alone = changes == Changes::default();
        let action = match self.verbs.as_slice() {
            [] if alone => Action::Show,
            [] => Action::Configure(changes),
            ["create"] => Action::Create(changes),
            ["destroy"] if alone => Action::Destroy,
            ["vhaddr"] if alone => Action::Vhaddr,
            [verb] => return Err(format!("{verb} stands alone on its line")),
            [first, second, ..] if first == second => {
                return Err(format!("{first} is given twice"));
            }
            [first, second, ..] => {
                return Err(format!("{first} and {second} cannot be given together"));
            }
        };
        Ok(Line {
            action,
            options: self.options,
            warnings,
        })
    }
}

/// The settings of a line, and warnings about them.
fn changes(settings: Vec<(&'static str, Change)>, addresses: Vec<Given>) -> (Changes, Vec<String>) {
    let mut warnings = Vec::new();
    let mut changes = Changes {
        settings: settings.into_iter().map(|(_, change)| change).collect(),
        ..Changes::default()
    };
    for given in addresses {
        let address = given.address;
        match given.prefix {
            _ if given.removed => changes.remove.push(address),
            Some(prefix) => changes.add.push((address, prefix)),
            None => {
                let prefix = address::default_prefix(address);
                if address.is_ipv4() {
                    warnings.push(format!(
                        "warning: {address} has no netmask, /{prefix} is taken from its class"
                    ));
                }
                changes.add.push((address, prefix));
            }
        }
    }
    (changes, warnings)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::ifconfig::Secret;

    fn parse(line: &str) -> Result<Line, String> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        Line::parse(&words)
    }

    fn changes(line: &str) -> Changes {
        match parse(line).unwrap().action {
            Action::Configure(changes) | Action::Create(changes) => changes,
            Action::Show | Action::Vhaddr | Action::Destroy => panic!("{line} changes nothing"),
        }
    }

    fn v4(last: u8, prefix: u8) -> (IpAddr, u8) {
        (IpAddr::from([192, 0, 2, last]), prefix)
    }

    #[test]
    fn no_words_show_the_interface() {
        assert_eq!(parse("").unwrap().action, Action::Show);
    }

    #[test]
    fn the_manuals_line_is_one_change() {
        let line = parse("vhid 1 advskew 100 pass mekmitasdigoat 192.0.2.1/24").unwrap();
        assert_eq!(
            line.action,
            Action::Configure(Changes {
                settings: vec![
                    Change::Vhid(1),
                    Change::Advskew(100),
                    Change::Password(Secret::Given(b"mekmitasdigoat".to_vec())),
                ],
                add: vec![v4(1, 24)],
                remove: vec![],
            })
        );
        assert!(line.warnings.is_empty());
    }

    #[test]
    fn create_takes_settings_in_any_order() {
        let line = parse("192.0.2.1/24 vhid 1 create").unwrap();
        assert!(matches!(&line.action, Action::Create(changes) if changes.add == [v4(1, 24)]));
    }

    #[test]
    fn every_way_to_write_an_address_says_the_same() {
        for line in [
            "192.0.2.1/24",
            "inet 192.0.2.1/24",
            "inet 192.0.2.1 netmask 255.255.255.0",
            "inet 192.0.2.1 netmask 0xffffff00 broadcast 192.0.2.255 alias",
            "192.0.2.1 netmask 0xffffff00 alias",
            "alias 192.0.2.1/24",
            "inet alias 192.0.2.1/24",
            "192.0.2.1 prefixlen 24",
        ] {
            assert_eq!(changes(line).add, [v4(1, 24)], "{line}");
        }
        for line in [
            "inet6 2001:db8::1 prefixlen 64",
            "2001:db8::1/64",
            "inet6 2001:db8::1 alias",
        ] {
            assert_eq!(
                changes(line).add,
                [("2001:db8::1".parse().unwrap(), 64)],
                "{line}"
            );
        }
    }

    #[test]
    fn parameters_can_stand_between_a_family_and_its_address() {
        for line in [
            "inet vhid 1 advskew 100 pass x alias 192.0.2.1/24",
            "inet vhid 1 advskew 100 pass x 192.0.2.1/24",
        ] {
            let changes = changes(line);
            assert_eq!(changes.add, [v4(1, 24)], "{line}");
            assert_eq!(changes.settings.len(), 3, "{line}");
        }
        assert_eq!(
            parse("inet6 vhid 1 192.0.2.1/24"),
            Err("192.0.2.1/24: not an inet6 address".to_owned())
        );
    }

    #[test]
    fn every_way_to_remove_an_address_says_the_same() {
        for line in [
            "-alias 192.0.2.1",
            "delete 192.0.2.1",
            "inet -alias 192.0.2.1",
            "-alias inet 192.0.2.1",
            "inet 192.0.2.1 -alias",
            "192.0.2.1 delete",
            "inet 192.0.2.1 netmask 255.255.255.0 -alias",
        ] {
            let changes = changes(line);
            assert_eq!(changes.remove, [v4(1, 0).0], "{line}");
            assert!(changes.add.is_empty(), "{line}");
        }
    }

    #[test]
    fn several_addresses_are_added_and_removed_together() {
        let changes = changes("192.0.2.1/24 -alias 192.0.2.2 inet 192.0.2.3/32 delete 192.0.2.4");
        assert_eq!(changes.add, [v4(1, 24), v4(3, 32)]);
        assert_eq!(changes.remove, [v4(2, 0).0, v4(4, 0).0]);
    }

    #[test]
    fn an_address_without_a_netmask_gets_its_class_and_a_warning() {
        let line = parse("192.0.2.1").unwrap();
        assert_eq!(
            line.warnings,
            ["warning: 192.0.2.1 has no netmask, /24 is taken from its class"]
        );
        assert!(parse("-alias 192.0.2.1").unwrap().warnings.is_empty());
        assert!(parse("2001:db8::1").unwrap().warnings.is_empty());
    }

    #[test]
    fn options_stand_anywhere_but_not_in_a_values_place() {
        assert_eq!(parse("vhid 1 --json up").unwrap().options, ["--json"]);
        let line = parse("description --json").unwrap();
        assert!(line.options.is_empty());
        assert_eq!(
            line.action,
            Action::Configure(Changes {
                settings: vec![Change::Description("--json".into())],
                ..Changes::default()
            })
        );
    }

    #[test]
    fn a_wrong_line_is_answered_with_the_word_and_what_would_be_right() {
        for (line, message) in [
            ("vhid 0", "vhid 0: must be a number from 1 to 255"),
            ("vhid 256", "vhid 256: must be a number from 1 to 255"),
            ("vhid x", "vhid x: must be a number from 1 to 255"),
            ("vhid", "vhid needs a value: a number from 1 to 255"),
            (
                "advskew 255",
                "advskew 255: must be a number from 0 to 254 (1/256 of a second)",
            ),
            (
                "advbase 255",
                "advbase 255: must be a number from 0 to 254 (seconds)",
            ),
            (
                "pass 12345678901234567890",
                "pass is 20 bytes long, 19 at most (a BSD host would keep only \
                 \"1234567890123456789\")",
            ),
            ("192.0.2.300/24", "192.0.2.300/24: bad address"),
            ("inet nonsense", "nonsense: bad address"),
            ("inet 2001:db8::1", "2001:db8::1: not an inet address"),
            ("inet6 192.0.2.1", "192.0.2.1: not an inet6 address"),
            ("inet", "inet needs an address such as 192.0.2.1/24"),
            ("inet vhid 1", "inet needs an address such as 192.0.2.1/24"),
            (
                "inet netmask 255.0.0.0",
                "inet needs an address, not netmask",
            ),
            ("alias vhid 1", "alias needs an address, not vhid"),
            ("-alias", "-alias needs an address such as 192.0.2.1/24"),
            ("alias", "alias needs an address such as 192.0.2.1/24"),
            (
                "netmask 255.255.255.0",
                "netmask needs an address before it",
            ),
            (
                "192.0.2.1 netmask 255.0.255.0",
                "netmask 255.0.255.0: must be a netmask such as \
                                               255.255.255.0 or 0xffffff00",
            ),
            (
                "192.0.2.1/24 netmask 0xffff0000",
                "192.0.2.1/24: netmask says /16, one of them \
                                                 must go",
            ),
            (
                "2001:db8::1 netmask 0xffffff00",
                "netmask is for IPv4, 2001:db8::1 has a prefixlen",
            ),
            (
                "192.0.2.1 prefixlen 33",
                "prefixlen 33: must be a number from 1 to 32",
            ),
            (
                "192.0.2.1 broadcast x",
                "broadcast x: must be an IPv4 address",
            ),
            ("192.0.2.1/24 192.0.2.1/24", "192.0.2.1 is given twice"),
            ("vhid 1 vhid 2", "vhid is given twice"),
            ("up down", "up and down cannot be given together"),
            (
                "pass a passfile b",
                "pass and passfile cannot be given together",
            ),
            ("state init", "state init: must be master or backup"),
            (
                "lladdr 00:00:5e:00:01:01",
                "lladdr 00:00:5e:00:01:01: must be virtual or parent",
            ),
            (
                "carpdev a/b",
                "carpdev a/b: must be the name of a physical interface",
            ),
            (
                "create destroy",
                "create and destroy cannot be given together",
            ),
            ("destroy vhid 1", "destroy stands alone on its line"),
            ("vhaddr up", "vhaddr stands alone on its line"),
            ("vihd 1", "vihd: unknown parameter, did you mean vhid?"),
            (
                "vhid 1 advskew 100 frob",
                "frob: unknown parameter (carpctl --help lists them)",
            ),
            ("accept_pass -", ""),
        ] {
            match parse(line) {
                Err(said) => assert_eq!(said, message, "{line}"),
                Ok(_) => assert!(message.is_empty(), "{line} was taken"),
            }
        }
    }

    const VALUES: &[&str] = &[
        "1",
        "255",
        "192.0.2.1",
        "192.0.2.1/24",
        "::1/64",
        "255.255.0.0",
        "master",
    ];

    /// Words as people mistype them: those of the table, values that fit some of them, and noise.
    fn any_word() -> impl Strategy<Value = OsString> {
        let words: Vec<&str> = keywords::KEYWORDS
            .iter()
            .map(|keyword| keyword.word)
            .collect();
        prop_oneof![
            3 => select(words).prop_map(OsString::from),
            2 => select(VALUES).prop_map(OsString::from),
            1 => vec(any::<u8>(), 0..8).prop_map(OsString::from_vec),
        ]
    }

    proptest! {
        #[test]
        fn a_line_is_taken_with_what_it_says_or_refused_with_a_reason(
            words in vec(any_word(), 0..12),
        ) {
            match Line::parse(&words) {
                Err(message) => prop_assert!(!message.is_empty()),
                Ok(Line { action: Action::Show, .. }) => prop_assert!(words.is_empty()),
                Ok(Line { action: Action::Vhaddr | Action::Destroy, .. }) => {
                    prop_assert_eq!(words.len(), 1);
                }
                Ok(Line { action: Action::Create(changes) | Action::Configure(changes), .. }) => {
                    let given = changes.settings.len() + changes.add.len() + changes.remove.len();
                    prop_assert!(given <= words.len());
                }
            }
        }
    }

    #[test]
    fn an_empty_value_is_shown_in_quotes() {
        let words = [OsString::from("vhid"), OsString::new()];
        assert_eq!(
            Line::parse(&words),
            Err("vhid \"\": must be a number from 1 to 255".to_owned())
        );
    }
}
