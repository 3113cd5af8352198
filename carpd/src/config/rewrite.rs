//! Running interfaces in an existing rc.conf(5): lines that differ are written again, and all
//! others stay as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;

use carp_proto::{Settings, Unit};

use super::rcconf::{self, RcConf};
use super::variables::Variable;
use super::words;
use crate::settings::{words_of, words_of_address};

/// Returns `text`, in which `found` was read without a fault, with `running` in it.
///
/// # Errors
/// One line: a setting cannot be written.
pub(super) fn rewrite(
    text: &[u8],
    found: &RcConf,
    running: &BTreeMap<Unit, Settings>,
) -> Result<Vec<u8>, String> {
    let same = |unit: &Unit| {
        let interface = found.interfaces.get(unit);
        interface.filter(|interface| running.get(unit) == Some(&interface.settings))
    };
    let mut cloned = cloned(found, running, |unit| {
        same(unit).is_some_and(|interface| interface.creates_itself)
    });
    let keeps_clones = cloned.is_none();
    let mut others: BTreeMap<Unit, Vec<u8>> = running
        .iter()
        .filter(|(unit, _)| same(unit).is_none())
        .map(|(unit, settings)| (*unit, assignments(*unit, settings)))
        .collect();
    let mut rewritten = Vec::new();
    let mut at = 0;
    for (variable, range) in &found.places {
        let new = match variable {
            Variable::Cloned if keeps_clones => continue,
            Variable::Cloned => cloned.take().unwrap_or_default(),
            Variable::Part(unit, _) if same(unit).is_some() => continue,
            Variable::Part(unit, _) => others.remove(unit).unwrap_or_default(),
            Variable::Foreign => continue,
        };
        let range = if new.is_empty() {
            whole_line(text, range)
        } else {
            range.clone()
        };
        rewritten.extend(text.get(at..range.start).unwrap_or_default());
        rewritten.extend(new);
        at = at.max(range.end);
    }
    rewritten.extend(text.get(at..).unwrap_or_default());
    for new in cloned.into_iter().chain(others.into_values()) {
        if new.is_empty() {
            continue;
        }
        if rewritten.last().is_some_and(|last| *last != b'\n') {
            rewritten.push(b'\n');
        }
        rewritten.extend(new);
        rewritten.push(b'\n');
    }
    check(&rewritten, running)?;
    Ok(rewritten)
}

/// Parses the result again: a password can be any bytes.
fn check(text: &[u8], running: &BTreeMap<Unit, Settings>) -> Result<(), String> {
    let written = rcconf::read(text);
    for (unit, settings) in running {
        let read = written.interfaces.get(unit);
        if read.is_none_or(|interface| interface.settings != *settings) {
            let why = written.complaints.first();
            let why = why.map_or("its password", |complaint| complaint.message.as_str());
            return Err(format!(
                "{unit}: rc.conf cannot express its settings: {why}"
            ));
        }
    }
    Ok(())
}

/// Returns `cloned_interfaces` if it changes, empty if it has no words.
fn cloned(
    found: &RcConf,
    running: &BTreeMap<Unit, Settings>,
    creates_itself: impl Fn(&Unit) -> bool,
) -> Option<Vec<u8>> {
    let wanted: BTreeSet<Unit> = running.keys().copied().collect();
    let complete = wanted
        .iter()
        .all(|unit| found.clones.contains(unit) || creates_itself(unit));
    if complete && found.clones.is_subset(&wanted) {
        return None;
    }
    let others = found
        .other_clones
        .iter()
        .map(|word| word.as_bytes().to_vec());
    let ours = wanted.iter().map(|unit| unit.to_string().into_bytes());
    let words: Vec<Vec<u8>> = others.chain(ours).collect();
    Some(if words.is_empty() {
        Vec::new()
    } else {
        assignment("cloned_interfaces", &words)
    })
}

/// Returns the assignments of an interface, one a line.
fn assignments(unit: Unit, settings: &Settings) -> Vec<u8> {
    let mut words = words_of(settings);
    let mut addresses = settings.addresses.iter().map(words_of_address);
    words.extend(addresses.next().into_iter().flatten());
    let mut text = assignment(&format!("ifconfig_{unit}"), &words);
    for (number, words) in addresses.enumerate() {
        text.push(b'\n');
        text.extend(assignment(
            &format!("ifconfig_{unit}_alias{number}"),
            &words,
        ));
    }
    text
}

fn assignment(name: &str, words: &[Vec<u8>]) -> Vec<u8> {
    let mut text = name.as_bytes().to_vec();
    text.push(b'=');
    text.extend(words::quoted(words));
    text
}

/// Returns `range`, or all of its lines if they contain nothing else.
fn whole_line(text: &[u8], range: &Range<usize>) -> Range<usize> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b';');
    let before = text.get(..range.start).unwrap_or_default();
    let behind = text.get(range.end..).unwrap_or_default();
    let blanks_before = before.iter().rev().take_while(|byte| blank(byte)).count();
    let blanks_behind = behind.iter().take_while(|byte| blank(byte)).count();
    let start = range.start - blanks_before;
    let end = range.end + blanks_behind;
    let begins = start == 0 || text.get(start - 1) == Some(&b'\n');
    match text.get(end) {
        None if begins => start..end,
        Some(b'\n') if begins => start..end + 1,
        Some(_) | None => range.clone(),
    }
}
