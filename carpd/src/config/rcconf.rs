//! rc.conf(5): the carp interfaces and their settings.
//!
//! Lines come from BSD hosts: every variable that configures a carp interface there does so here,
//! and all others are ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;

use carp_dbus::one_line;
use carp_proto::{Settings, Unit};

use super::shell::{self, Assignment, Complaint, Piece};
use super::variables::{Part, Variable};
use super::whole::Whole;

/// Content of a file.
#[derive(Debug, Default)]
pub(super) struct RcConf {
    /// The carp interfaces without a fault.
    pub(super) interfaces: BTreeMap<Unit, Interface>,
    /// The other words of `cloned_interfaces`.
    pub(super) other_clones: Vec<OsString>,
    /// The carp interfaces in `cloned_interfaces`.
    pub(super) clones: BTreeSet<Unit>,
    /// Positions of the assignments of our variables, in their order.
    pub(super) places: Vec<(Variable, Range<usize>)>,
    /// Faults, in the order of the lines.
    pub(super) complaints: Vec<Complaint>,
    /// Settings that work but are probably a mistake.
    pub(super) warnings: Vec<Complaint>,
}

/// A carp interface.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Interface {
    /// Its settings.
    pub(super) settings: Settings,
    /// The line with most of its settings.
    pub(super) line: usize,
    /// True if the word `create` creates it.
    pub(super) creates_itself: bool,
}

/// Value of a variable, and the last line that assigned it.
#[derive(Debug, Default)]
struct Value {
    text: Vec<u8>,
    line: usize,
}

/// Maximum length of a value, in bytes. A line that repeats the variable's old value doubles it; 25
/// such lines would be gigabytes.
const MOST_BYTES: usize = 64 * 1024;

type Parts = BTreeMap<Part, (String, Value)>;

/// Parses a file, and reads passwords from files of their own.
pub(super) fn read(text: &[u8]) -> RcConf {
    let (assignments, complaints) = shell::read(text);
    let mut reader = Reader {
        found: RcConf {
            complaints,
            ..RcConf::default()
        },
        values: BTreeMap::new(),
        broken: BTreeSet::new(),
        clones_are_known: true,
    };
    for Complaint { variable, .. } in &reader.found.complaints {
        match variable.as_deref().map(Variable::named) {
            Some(Ok(Variable::Part(unit, _))) => {
                reader.broken.insert(unit);
            }
            Some(Ok(Variable::Cloned)) => reader.clones_are_known = false,
            Some(Ok(Variable::Foreign) | Err(_)) | None => {}
        }
    }
    for assignment in assignments {
        reader.assign(assignment);
    }
    reader.finish()
}

struct Reader {
    found: RcConf,
    values: BTreeMap<Variable, (String, Value)>,
    /// Interfaces with a fault: they stay as they are.
    broken: BTreeSet<Unit>,
    /// True if `cloned_interfaces` has no fault.
    clones_are_known: bool,
}

impl Reader {
    fn assign(&mut self, assignment: Assignment) {
        let Assignment {
            name,
            value,
            line,
            range,
        } = assignment;
        let variable = match Variable::named(&name) {
            Ok(Variable::Foreign) => {
                if let Some(message) = on_a_physical_interface(&name, &value) {
                    self.complain(line, message);
                }
                return;
            }
            Ok(variable) => variable,
            Err(message) => return self.complain(line, format!("{name}: {message}")),
        };
        self.found.places.push((variable, range));
        let before = self.values.remove(&variable);
        let old = before.as_ref().map(|(_, value)| value.text.as_slice());
        match expand(&name, &value, old.unwrap_or_default()) {
            Ok(text) => {
                let refers = value
                    .iter()
                    .any(|piece| matches!(piece, Piece::Variable(_)));
                if let Some((_, old)) = before.filter(|_| !refers) {
                    let message = format!("{name}: overrides line {}", old.line);
                    self.warn(line, message);
                }
                self.values.insert(variable, (name, Value { text, line }));
            }
            Err(message) => {
                self.complain(line, format!("{name}: {message}"));
                match variable {
                    Variable::Part(unit, _) => {
                        self.broken.insert(unit);
                    }
                    Variable::Cloned => self.clones_are_known = false,
                    Variable::Foreign => {}
                }
            }
        }
    }

    fn finish(mut self) -> RcConf {
        let mut parts: BTreeMap<Unit, Parts> = BTreeMap::new();
        for (variable, value) in std::mem::take(&mut self.values) {
            match variable {
                Variable::Cloned => self.clone_all(&value.1),
                Variable::Part(unit, part) => {
                    parts.entry(unit).or_default().insert(part, value);
                }
                Variable::Foreign => {}
            }
        }
        for unit in &self.found.clones {
            parts.entry(*unit).or_default();
        }
        for (unit, parts) in parts {
            self.set_up(unit, &parts);
        }
        self.same_vhids();
        self.found
            .complaints
            .sort_by_key(|complaint| complaint.line);
        self.found.warnings.sort_by_key(|warning| warning.line);
        let told = self.found.complaints.iter_mut();
        for Complaint { message, .. } in told.chain(&mut self.found.warnings) {
            *message = one_line(std::mem::take(message));
        }
        self.found
    }

    /// Handles `cloned_interfaces`.
    fn clone_all(&mut self, Value { text, line }: &Value) {
        let names = text.split(u8::is_ascii_whitespace);
        for name in names.filter(|name| !name.is_empty()) {
            let carp = name
                .strip_prefix(b"carp")
                .filter(|number| number.iter().all(u8::is_ascii_digit));
            if carp.is_none() {
                self.found
                    .other_clones
                    .push(OsString::from_vec(name.to_vec()));
                continue;
            }
            let name = String::from_utf8_lossy(name);
            match name.parse() {
                Ok(unit) => {
                    self.found.clones.insert(unit);
                }
                Err(error) => self.complain(*line, format!("cloned_interfaces: {name}: {error}")),
            }
        }
    }

    /// Makes one interface of all of its variables.
    fn set_up(&mut self, unit: Unit, parts: &Parts) {
        let mut whole = Whole::default();
        for (part, (name, value)) in parts {
            for warning in whole.add(*part, &value.text).unwrap_or_else(|message| {
                self.broken.insert(unit);
                self.complain(value.line, format!("{name}: {message}"));
                Vec::new()
            }) {
                self.warn(value.line, format!("{name}: {warning}"));
            }
        }
        let main = parts.get(&Part::Main).or_else(|| parts.values().next());
        let line = main.map_or(1, |(_, value)| value.line);
        let creates_itself = whole.creates_itself();
        let is_created = creates_itself || self.found.clones.contains(&unit);
        if !is_created && !self.clones_are_known {
            // Reported already.
            return;
        }
        if let Some((name, _)) = main.filter(|_| !is_created) {
            let message =
                format!("{name}: nothing creates {unit}: write cloned_interfaces=\"{unit}\"");
            return self.complain(line, message);
        }
        if let Err((part, message)) = no_gaps(parts) {
            self.broken.insert(unit);
            let line = parts.get(&part).map_or(line, |(_, value)| value.line);
            self.complain(line, message);
        }
        if self.broken.contains(&unit) {
            return;
        }
        match whole.settings(unit) {
            Ok(settings) => {
                let interface = Interface {
                    settings,
                    line,
                    creates_itself,
                };
                self.found.interfaces.insert(unit, interface);
            }
            Err(message) => self.complain(line, message),
        }
    }

    /// Refuses the second of two interfaces with one vhid on the same physical interface.
    fn same_vhids(&mut self) {
        let mut seen = BTreeMap::new();
        let mut taken = Vec::new();
        for (unit, Interface { settings, line, .. }) in &self.found.interfaces {
            let Some(place) = settings.carpdev.as_ref().zip(settings.vhid) else {
                continue;
            };
            if let Some(other) = seen.insert(place, unit) {
                let (carpdev, vhid) = place;
                let message =
                    format!("{unit}: vhid {vhid} is already used by {other} on {carpdev}");
                taken.push((*unit, *line, message));
                seen.insert(place, other);
            }
        }
        for (unit, line, message) in taken {
            self.found.interfaces.remove(&unit);
            self.complain(line, message);
        }
    }

    fn complain(&mut self, line: usize, message: String) {
        self.found.complaints.push(Complaint {
            line,
            variable: None,
            message,
        });
    }

    fn warn(&mut self, line: usize, message: String) {
        self.found.warnings.push(Complaint {
            line,
            variable: None,
            message,
        });
    }
}

/// Refuses gaps: a BSD host stops at the first missing number, and would have other addresses.
fn no_gaps(parts: &Parts) -> Result<(), (Part, String)> {
    let mut expected: [u16; 2] = [0, 0];
    for (part, (name, _)) in parts {
        let (number, expected) = match (part, &mut expected) {
            (Part::Alias(number), [expected, _]) | (Part::OldAlias(number), [_, expected]) => {
                (*number, expected)
            }
            _ => continue,
        };
        if number != *expected {
            let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
            return Err((
                *part,
                format!("{name}: a BSD host stops at the first gap: write {stem}{expected}"),
            ));
        }
        *expected = expected.saturating_add(1);
    }
    Ok(())
}

/// Returns the value, with the variable's own name replaced by its old value.
fn expand(name: &str, value: &[Piece], old: &[u8]) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    for piece in value {
        if text.len() > MOST_BYTES {
            return Err(too_long());
        }
        match piece {
            Piece::Byte(byte) => text.push(*byte),
            Piece::Variable(own) if own == name => text.extend(old),
            Piece::Variable(_) => {
                return Err(
                    "a variable is not replaced by its value here: write the value itself, or \
                     \\$ for the character"
                        .to_owned(),
                );
            }
        }
    }
    if text.len() > MOST_BYTES {
        return Err(too_long());
    }
    Ok(text)
}

fn too_long() -> String {
    format!("its value is longer than {MOST_BYTES} bytes")
}

/// Detects the style of FreeBSD since 10.0, in which a virtual address belongs to the physical
/// interface.
fn on_a_physical_interface(name: &str, value: &[Piece]) -> Option<String> {
    let device = name.strip_prefix("ifconfig_")?.split('_').next()?;
    let bytes = value.iter().map(|piece| match piece {
        Piece::Byte(byte) => *byte,
        Piece::Variable(_) => b'?',
    });
    let text: Vec<u8> = bytes.collect();
    let mut words = text.split(u8::is_ascii_whitespace);
    words.any(|word| word == b"vhid").then(|| {
        format!(
            "{name}: a vhid is set on a carp interface here: write cloned_interfaces=\"carp0\" \
             and ifconfig_carp0=\"vhid ... carpdev {device}\""
        )
    })
}
