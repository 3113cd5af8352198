//! Imports that the sources must not have.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read the sources fails"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// The state machine and its arithmetic. Below `vhost`, every file.
const STATE_MACHINE: [&str; 7] = [
    "balance.rs",
    "claim.rs",
    "election.rs",
    "sender.rs",
    "suppression.rs",
    "vhost",
    "vhost.rs",
];

fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap();
    entries
        .flat_map(|entry| sources(&entry.unwrap().path()))
        .collect()
}

/// Lines of a file outside of comments and of its tests, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let (code, _tests) = text.split_once("#[cfg(test)]").unwrap_or((text, ""));
    let lines = (1..).zip(code.lines());
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// A second protocol must need no change of the state machine.
#[test]
fn state_machine_knows_no_format_and_no_part_of_a_dialect() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    let mut files = 0;
    for file in STATE_MACHINE.iter().flat_map(|it| sources(&src.join(it))) {
        files += 1;
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in code(&text) {
            let line = line.replace("use crate::dialect::Dialect;", "");
            if ["wire", "dialect::", "carp::"]
                .iter()
                .any(|it| line.contains(it))
            {
                faults.push(format!("{}:{number}: {line}", file.display()));
            }
        }
    }
    assert!(files > STATE_MACHINE.len(), "no files below vhost");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
