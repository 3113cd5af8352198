//! The file of run-time state: lines of words, and a checksum. Settings are in the words of
//! rc.conf.
//!
//! A file is refused unless it is exactly as it was written.

use core::fmt::Write as _;
use std::str::SplitAsciiWhitespace;
use std::time::Duration;

use carp_dbus::one_line;
use carp_proto::{
    AcceptedCounters, Change, Instant, Key, Now, SavedInterface, SavedState, Settings, Spent,
    StateName, Sysctl, Unit, UnixTime,
};
use sha1::{Digest as _, Sha1};

use super::version1;
use super::words::{bytes, next};
use crate::config;

/// A change of the format below needs a new version. New words of rc.conf and lines that may be
/// missing do not.
pub(super) const HEADER: &str = "carpd state 2";

/// Contents of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Saved {
    /// The kernel's boot identifier, a word: the state is worthless after another boot.
    pub boot: String,
    /// Time that the machine had been suspended until then.
    pub suspended: Duration,
    /// State of the previous instance.
    pub memory: SavedState,
}

/// Reason to refuse a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// Another version of carpd wrote it.
    #[error("was written by another version of carpd")]
    OtherVersion,
    /// It is not a file of carpd.
    #[error("is not run-time state of carpd")]
    Foreign,
    /// It is cut off or changed.
    #[error("is damaged: its checksum is wrong")]
    Checksum,
    /// A word that this version of carpd does not write.
    #[error("is damaged: \"{0}\" is not valid here")]
    Word(String),
}

/// Returns the text of a file.
#[must_use]
pub(crate) fn print(saved: &Saved) -> String {
    let mut text = String::new();
    let out = &mut text;
    // Writing to a `String` does not fail.
    let _ = writeln!(out, "{HEADER}\nboot {}", saved.boot);
    let _ = writeln!(out, "suspended {}", saved.suspended.as_micros());
    for sysctl in Sysctl::writable() {
        let value = saved.memory.sysctls.get(sysctl);
        let _ = writeln!(out, "sysctl {} {value}", sysctl.name());
    }
    for (unit, remembered) in &saved.memory.interfaces {
        let _ = writeln!(out, "interface {unit}");
        print_settings(out, &remembered.settings);
        let [sealed4, sealed6] = remembered.sealed;
        let [accepted4, accepted6] = &remembered.accepted;
        let _ = writeln!(out, "state {}", remembered.state.text());
        let _ = writeln!(out, "sealed {sealed4} {sealed6}");
        for AcceptedCounters { counter, at, spent } in [accepted4, accepted6] {
            let _ = writeln!(out, "accepted {counter} {}", at.micros());
            print_spent(out, spent);
        }
        let Now { instant, unix } = remembered.at;
        let _ = writeln!(out, "at {} {}", instant.micros(), unix.micros());
    }
    let checksum = checksum(out.as_bytes());
    let _ = writeln!(out, "sha1 {checksum}");
    text
}

/// Prints passwords apart from the rest: not all of them can be written as words.
fn print_settings(out: &mut String, settings: &Settings) {
    let typed = Settings {
        key: Key::default(),
        accept_key: None,
        ..settings.clone()
    };
    let line = config::to_line(&typed);
    let _ = writeln!(out, "ifconfig {}", String::from_utf8_lossy(&line));
    print_bytes(out, "key", settings.key.bytes());
    if let Some(key) = &settings.accept_key {
        print_bytes(out, "accept_key", key.bytes());
    }
}

/// Prints each but the first as the difference to the one before. Older versions do not know this
/// line; it exists only with strict replay protection.
fn print_spent(out: &mut String, spent: &[u64]) {
    if spent.is_empty() {
        return;
    }
    out.push_str("spent");
    let mut before = 0;
    for counter in spent {
        let _ = write!(out, " {:x}", counter.wrapping_sub(before));
        before = *counter;
    }
    out.push('\n');
}

fn print_bytes(out: &mut String, word: &str, bytes: &[u8]) {
    out.push_str(word);
    out.push(' ');
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out.push('\n');
}

/// Parses a file's bytes.
///
/// # Errors
/// If they are not what [`print()`] made.
pub(crate) fn parse(bytes: &[u8]) -> Result<Saved, Fault> {
    let header = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let version = [version1::HEADER, HEADER]
        .into_iter()
        .find(|known| header == known.as_bytes());
    let Some(version) = version else {
        let family = HEADER.trim_end_matches(|last: char| last.is_ascii_digit());
        return Err(if header.starts_with(family.as_bytes()) {
            Fault::OtherVersion
        } else {
            Fault::Foreign
        });
    };
    let text = core::str::from_utf8(bytes).map_err(|_| Fault::Checksum)?;
    let (body, last) = text
        .strip_suffix('\n')
        .and_then(|text| text.rsplit_once('\n'))
        .ok_or(Fault::Checksum)?;
    let (body, _) = text.split_at(body.len() + 1);
    if last.strip_prefix("sha1 ") != Some(checksum(body.as_bytes()).as_str()) {
        return Err(Fault::Checksum);
    }
    let mut reader = Reader {
        version,
        ..Reader::default()
    };
    for line in body.lines().skip(1) {
        // Never the whole line: it may contain a password.
        let word = line.split(' ').next().unwrap_or_default();
        reader
            .line(line)
            .ok_or_else(|| Fault::Word(one_line(word.to_owned())))?;
    }
    reader
        .finish()
        .ok_or_else(|| Fault::Word("interface".to_owned()))
        .and_then(|saved| match saved.boot.as_str() {
            "" => Err(Fault::Word("boot".to_owned())),
            _ => Ok(saved),
        })
}

#[derive(Default)]
struct Reader {
    version: &'static str,
    saved: Saved,
    draft: Option<Draft>,
}

/// An interface whose lines are not all parsed.
struct Draft {
    unit: Unit,
    settings: Option<Settings>,
    /// Settings of a file of version 1.
    changes: Vec<Change>,
    key: Key,
    accept_key: Option<Key>,
    state: StateName,
    sealed: [u64; 2],
    accepted: Vec<AcceptedCounters>,
    at: Now,
}

impl Reader {
    fn line(&mut self, line: &str) -> Option<()> {
        let mut words = line.split_ascii_whitespace();
        match words.next()? {
            "boot" => words.next()?.clone_into(&mut self.saved.boot),
            "suspended" => self.saved.suspended = Duration::from_micros(next(&mut words)?),
            "sysctl" => {
                let sysctl = Sysctl::find(words.next()?)?;
                let values = &mut self.saved.memory.sysctls;
                values.set(sysctl, next(&mut words)?).ok()?;
            }
            "interface" => {
                self.finish_draft()?;
                self.draft = Some(Draft::new(next(&mut words)?));
            }
            "ifconfig" if self.version == HEADER => {
                let draft = self.draft.as_mut()?;
                let settings = line.strip_prefix("ifconfig ")?.as_bytes();
                let settings = config::from_line(draft.unit, settings).ok()?;
                return draft.settings.replace(settings).is_none().then_some(());
            }
            word if self.version == version1::HEADER && version1::is_setting(word) => {
                let change = version1::setting(word, &mut words)?;
                self.draft.as_mut()?.changes.push(change);
            }
            word => self.draft.as_mut()?.line(word, &mut words)?,
        }
        words.next().is_none().then_some(())
    }

    fn finish_draft(&mut self) -> Option<()> {
        if let Some(draft) = self.draft.take() {
            let unit = draft.unit;
            let remembered = draft.finish(self.version)?;
            let interfaces = &mut self.saved.memory.interfaces;
            if interfaces.insert(unit, remembered).is_some() {
                return None;
            }
        }
        Some(())
    }

    fn finish(mut self) -> Option<Saved> {
        self.finish_draft()?;
        Some(self.saved)
    }
}

impl Draft {
    fn new(unit: Unit) -> Self {
        let zero = Now {
            instant: Instant::ZERO,
            unix: UnixTime::from_micros(0),
        };
        Self {
            unit,
            settings: None,
            changes: Vec::new(),
            key: Key::default(),
            accept_key: None,
            state: StateName::Init,
            sealed: [0; 2],
            accepted: Vec::new(),
            at: zero,
        }
    }

    fn line(&mut self, word: &str, words: &mut SplitAsciiWhitespace<'_>) -> Option<()> {
        match word {
            "key" => self.key = key(words)?,
            "accept_key" => self.accept_key = Some(key(words)?),
            "state" => {
                let states = [StateName::Init, StateName::Backup, StateName::Master];
                let name = words.next()?;
                self.state = states.into_iter().find(|state| state.text() == name)?;
            }
            "sealed" => self.sealed = [next(words)?, next(words)?],
            "accepted" => self.accepted.push(AcceptedCounters {
                counter: next(words)?,
                at: Instant::from_micros(next(words)?),
                spent: Vec::new(),
            }),
            // Of the counters accepted last.
            "spent" => self.accepted.last_mut()?.spent = spent(words)?,
            "at" => {
                self.at = Now {
                    instant: Instant::from_micros(next(words)?),
                    unix: UnixTime::from_micros(next(words)?),
                };
            }
            _ => return None,
        }
        Some(())
    }

    fn finish(self, version: &str) -> Option<SavedInterface> {
        let settings = if version == HEADER {
            self.settings?
        } else {
            Settings::configured(self.unit, &self.changes).ok()?
        };
        Some(SavedInterface {
            settings: Settings {
                key: self.key,
                accept_key: self.accept_key,
                ..settings
            },
            state: self.state,
            sealed: self.sealed,
            accepted: self.accepted.try_into().ok()?,
            at: self.at,
        })
    }
}

/// Parses the line of [`print_spent()`].
fn spent(words: &mut SplitAsciiWhitespace<'_>) -> Option<Vec<u64>> {
    let mut spent: Vec<u64> = Vec::new();
    for word in words.take(Spent::MOST) {
        let difference = u64::from_str_radix(word, 16).ok()?;
        spent.push(
            spent
                .last()
                .map_or(0, |before| *before)
                .checked_add(difference)?,
        );
    }
    Some(spent)
}

fn key(words: &mut SplitAsciiWhitespace<'_>) -> Option<Key> {
    Key::new(&bytes(words)?).ok()
}

pub(super) fn checksum(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(40);
    for byte in Sha1::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, btree_set, vec};
    use proptest::prelude::*;

    use carp_proto::{DeviceName, LinkLayer, Sysctls, VirtualAddress};

    use super::*;

    fn settings() -> impl Strategy<Value = Vec<Change>> {
        let change = prop_oneof![
            (1..=255_u64).prop_map(|it| Change::Vhid(it.try_into().unwrap())),
            (0..=254_u64).prop_map(|it| Change::Advbase(it.try_into().unwrap())),
            (0..=254_u64).prop_map(|it| Change::Advskew(it.try_into().unwrap())),
            vec(any::<u8>(), 0..=20).prop_map(|it| Change::Key(Key::new(&it).unwrap())),
            vec(any::<u8>(), 0..=20).prop_map(|it| Change::AcceptKey(Key::new(&it).ok())),
            "[a-zA-Zé.%@]{1,7}".prop_map(|it| Change::Carpdev(DeviceName::new(&it))),
            "[^\\p{Cc}]{0,60}".prop_map(Change::Description),
            any::<bool>().prop_map(Change::Up),
            Just(Change::Lladdr(LinkLayer::Parent)),
        ];
        let address = prop_oneof![
            (1..=254_u8, prop_oneof![1..=24_u8, 31..=32_u8]).prop_map(|(last, prefix)| {
                VirtualAddress {
                    address: [192, 0, 2, last].into(),
                    prefix,
                }
            }),
            (1..=u16::MAX, prop_oneof![1..=112_u8, 127..=128_u8]).prop_map(|(last, prefix)| {
                VirtualAddress {
                    address: [0x2001, 0xdb8, 0, 0, 0, 0, 1, last].into(),
                    prefix,
                }
            }),
        ];
        (vec(address, 0..5), vec(change, 0..12)).prop_map(|(mut addresses, changes)| {
            addresses.sort_unstable_by_key(|each| each.address);
            addresses.dedup_by_key(|each| each.address);
            let addresses = addresses.into_iter().map(Change::AddAddress);
            addresses.chain(changes).collect()
        })
    }

    fn now() -> impl Strategy<Value = Now> {
        (any::<u64>(), any::<u64>()).prop_map(|(instant, unix)| Now {
            instant: Instant::from_micros(instant),
            unix: UnixTime::from_micros(unix),
        })
    }

    fn remembered() -> impl Strategy<Value = SavedInterface> {
        let states = [StateName::Init, StateName::Backup, StateName::Master];
        let spent = btree_set(any::<u64>(), 0..20);
        let accepted = [
            (any::<(u64, u64)>(), spent.clone()),
            (any::<(u64, u64)>(), spent),
        ];
        (settings(), 0..3_usize, any::<[u64; 2]>(), accepted, now()).prop_map(
            move |(changes, state, sealed, accepted, at)| SavedInterface {
                settings: Settings::configured(0.try_into().unwrap(), &changes).unwrap(),
                state: states[state],
                sealed,
                accepted: accepted.map(|((counter, at), spent)| AcceptedCounters {
                    counter,
                    at: Instant::from_micros(at),
                    spent: spent.into_iter().collect(),
                }),
                at,
            },
        )
    }

    fn sysctls() -> impl Strategy<Value = Sysctls> {
        let ranges: Vec<_> = Sysctl::writable()
            .map(|sysctl| sysctl.range().unwrap())
            .map(|(least, most)| least..=most)
            .collect();
        ranges.prop_map(|numbers| {
            let mut values = Sysctls::default();
            for (sysctl, number) in Sysctl::writable().zip(numbers) {
                values.set(sysctl, number).unwrap();
            }
            values
        })
    }

    fn saved() -> impl Strategy<Value = Saved> {
        let units = (0..=Unit::MAX).prop_map(|it| Unit::try_from(it).unwrap());
        let interfaces = btree_map(units, remembered(), 0..4);
        (interfaces, sysctls(), any::<u32>()).prop_map(|(interfaces, sysctls, micros)| {
            let memory = SavedState {
                interfaces,
                sysctls,
            };
            Saved {
                boot: "b2281389-51b9-49e9-929f-0b6f5a4d1c59".to_owned(),
                suspended: Duration::from_micros(micros.into()),
                memory,
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(saved in saved()) {
            let text = print(&saved);
            prop_assert_eq!(parse(text.as_bytes()), Ok(saved));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
            prop_assert!(parse(&bytes).is_err());
        }

        #[test]
        fn any_lines_under_a_good_checksum_are_read_or_refused(
            lines in "([a-z0-9_ ]{0,30}\n){0,10}",
        ) {
            let body = format!("{HEADER}\n{lines}");
            let text = format!("{body}sha1 {}\n", checksum(body.as_bytes()));
            if let Ok(saved) = parse(text.as_bytes()) {
                prop_assert!(saved.memory.interfaces.is_empty());
            }
        }
    }

    fn example() -> String {
        let changes = [
            Change::Vhid(7.try_into().unwrap()),
            Change::Key(Key::password(b"secret").unwrap()),
            Change::AddAddress(VirtualAddress {
                address: [192, 0, 2, 1].into(),
                prefix: 24,
            }),
        ];
        let unit = Unit::try_from(0).unwrap();
        let remembered = SavedInterface {
            settings: Settings::configured(unit, &changes).unwrap(),
            state: StateName::Master,
            sealed: [3, 4],
            accepted: <[AcceptedCounters; 2]>::default(),
            at: Now::default(),
        };
        let memory = SavedState {
            interfaces: [(unit, remembered)].into(),
            ..SavedState::default()
        };
        let saved = Saved {
            boot: "b".to_owned(),
            memory,
            ..Saved::default()
        };
        print(&saved)
    }

    #[test]
    fn file_that_is_cut_off_anywhere_is_refused() {
        let text = example();
        assert!(parse(text.as_bytes()).is_ok());
        for end in 0..text.len() {
            assert!(parse(&text.as_bytes()[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn file_with_one_wrong_bit_is_refused() {
        let text = example();
        for place in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[place] ^= 1 << bit;
                assert!(parse(&bytes).is_err(), "bit {bit} of byte {place}");
            }
        }
    }

    #[test]
    fn refusal_of_a_file_contains_no_password() {
        let other = example().replacen("state 2", "state 33", 1);
        assert_eq!(parse(other.as_bytes()), Err(Fault::OtherVersion));
        assert_eq!(parse(b"cloned_interfaces=\"carp0\"\n"), Err(Fault::Foreign));
        let text = example();
        let (body, _) = text.split_once("sha1").unwrap();
        let body = body.replace("key 736563726574", "key 73656372657");
        let text = format!("{body}sha1 {}\n", checksum(body.as_bytes()));
        assert_eq!(parse(text.as_bytes()), Err(Fault::Word("key".to_owned())));
    }
}
