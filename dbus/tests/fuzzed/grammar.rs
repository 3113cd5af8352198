//! Fuzz target: bytes as the words of a command line, one a line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use carp_dbus::ifconfig::{Action, Changes, Line, Secret};

/// Parses them: they become settings, or an error of one line.
pub(crate) fn grammar(bytes: &[u8]) {
    let words: Vec<OsString> = bytes
        .split(|byte| *byte == b'\n')
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect();
    match Line::parse(&words) {
        Ok(Line {
            action,
            options,
            warnings,
        }) => {
            for warning in &warnings {
                is_one_line(warning);
            }
            assert!(options.iter().all(|option| option.starts_with("--")));
            match action {
                Action::Create(changes) | Action::Configure(changes) => are_good(changes),
                Action::Show | Action::Vhaddr | Action::Destroy => {}
            }
        }
        Err(problem) => is_one_line(&problem),
    }
}

fn are_good(changes: Changes) {
    for (at, (address, prefix)) in changes.add.iter().enumerate() {
        assert!(*prefix <= if address.is_ipv4() { 32 } else { 128 });
        assert!(
            changes
                .add
                .iter()
                .skip(at + 1)
                .all(|(other, _)| other != address)
        );
    }
    let elsewhere = changes.settings.iter().any(|change| {
        matches!(
            change.secret(),
            Some(Secret::File(_) | Secret::StandardInput)
        )
    });
    // The content of other files is none of these bytes.
    if !elsewhere {
        assert_eq!(changes.settings().err(), None);
    }
}

fn is_one_line(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
