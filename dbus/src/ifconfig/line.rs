//! One command line: the words after the interface's name, parsed as a whole before anything is
//! sent.

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;

use super::address::{self, Family};
use super::bad_value::BadValue;
use super::keywords::{self, Change, Parameter};
use super::message::{shown, unknown};
use crate::{Settings, one_line};

/// A parsed line.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// The action.
    pub action: Action,
    /// The words that begin with `--`, whose meaning is up to the program.
    pub options: Vec<String>,
    /// Words that were accepted but are probably a mistake: one line each.
    pub warnings: Vec<String>,
}

/// Action of a line.
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
    /// Returns the settings for carpd, after reading passwords from their sources.
    ///
    /// # Errors
    /// One line that names the password that cannot be read.
    pub fn settings(self) -> Result<Settings, String> {
        let mut settings = Settings::new();
        for change in self.settings {
            settings = settings.with(change.read()?);
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
    /// Parses the words after the name of an interface.
    ///
    /// # Errors
    /// One line that names the word and the accepted values.
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

/// Returns the value of `keyword`, if it takes one.
fn value(keyword: &keywords::Keyword, value: Option<&OsStr>) -> Result<Parameter, String> {
    let word = keyword.word;
    let value = match (keyword.wants, value) {
        (None, _) => OsStr::new(""),
        (Some(_), Some(value)) => value,
        (Some(wants), None) => return Err(format!("{word} needs a value: {wants}")),
    };
    (keyword.parse)(value).map_err(|bad| match bad {
        BadValue::Mismatch => {
            let wants = keyword.wants.unwrap_or("left out");
            format!("{word} {}: must be {wants}", shown(value))
        }
        BadValue::Because(line) => line,
    })
}

/// An address of the line, to be added or removed.
struct AddressWord {
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
    addresses: Vec<AddressWord>,
    /// The last word that still needs an address.
    owed: Option<&'static str>,
    family: Option<Family>,
    removing: bool,
}

impl Reader {
    /// Handles a word of the table with its value; `next` is the word after it.
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
        let same = |other: &&(_, Change)| other.1.key() == change.key();
        match self.settings.iter().find(same) {
            Some((other, _)) if *other == word => Err(format!("{word} is given twice")),
            Some((other, _)) => Err(format!("{other} and {word} cannot be given together")),
            None => {
                self.settings.push((word, change));
                Ok(())
            }
        }
    }

    /// Handles `-alias ADDR`, or BSD's `ADDR -alias`.
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
        self.addresses.push(AddressWord {
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

    /// Returns the address before `word`.
    fn before(&mut self, word: &str, family: Option<Family>) -> Result<&mut AddressWord, String> {
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

/// Returns the settings of a line, and warnings about them.
fn changes(
    settings: Vec<(&'static str, Change)>,
    addresses: Vec<AddressWord>,
) -> (Changes, Vec<String>) {
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
mod tests;
