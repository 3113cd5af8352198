//! Every example of every manual page is run by a test, or is of a system that cannot run here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use carp_tests::{examples, source};

const PAGES: &[&str] = &[
    "carp.4",
    "carpctl.8",
    "carpd.8",
    "carpd.rc.conf.5",
    "carptop.8",
    "org.carpd1.5",
];

/// Examples that cannot run here, with the reason.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "carp.4",
        "openbsd",
        "no OpenBSD: ucarp speaks with the words of its line, manual_peers.rs",
    ),
    (
        "carp.4",
        "freebsd",
        "no FreeBSD: ucarp speaks with the words of its lines, manual_peers.rs",
    ),
    ("carp.4", "vmware", "no ESXi: as its documentation has it"),
    (
        "carp.4",
        "proxmox",
        "no Proxmox VE: as its documentation has it",
    ),
    (
        "carp.4",
        "hyper-v",
        "no Hyper-V: as its documentation has it",
    ),
];

/// Returns the sources that name the examples that tests run.
fn asked_for() -> Result<String> {
    let mut text = String::new();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("examples.rs")
        {
            text.push_str(&fs::read_to_string(path)?);
        }
    }
    Ok(text)
}

#[test]
fn every_example_is_run_or_listed_as_impossible_here() -> Result<()> {
    let stories = asked_for()?;
    let mut elsewhere = BTreeSet::new();
    for page in PAGES {
        let found = examples(page)?;
        ensure!(!found.is_empty(), "{page} has examples");
        ensure!(
            stories.contains(&format!("\"{page}\"")),
            "no test reads {page}"
        );
        let names: BTreeSet<&str> = found.iter().map(|each| each.name.as_str()).collect();
        assert_eq!(names.len(), found.len(), "a name twice in {page}");
        for each in &found {
            let quoted = format!("\"{}\"", each.name);
            if each.elsewhere {
                elsewhere.insert((*page, each.name.clone()));
            } else {
                ensure!(
                    stories.contains(&quoted),
                    "{page}: no test runs {}",
                    each.name
                );
            }
        }
    }
    let known: BTreeSet<(&str, String)> = ELSEWHERE
        .iter()
        .map(|(page, name, _)| (*page, (*name).to_owned()))
        .collect();
    assert_eq!(elsewhere, known);
    Ok(())
}

/// Commands outside of EXAMPLES: links.rs runs the first two through `make links`, restart.rs does
/// the work of the last one without systemd.
const OUTSIDE: &[&str] = &[
    "# ln -s /usr/sbin/carpctl /usr/local/sbin/ifconfig",
    "# ln -s /usr/sbin/carpctl /usr/local/sbin/sysctl",
    "# systemctl kill --kill-whom=main -s USR2 carpd",
];

#[test]
fn commands_outside_of_examples_are_listed() -> Result<()> {
    for page in PAGES {
        let text = source(&format!("man/{page}"))?;
        let mut section = "";
        for line in text.lines() {
            section = line.strip_prefix(".Sh ").unwrap_or(section);
            let shown = line.strip_prefix(".Dl ").unwrap_or(line);
            let prompt = shown.starts_with("# ") || shown.starts_with("$ ");
            ensure!(
                !prompt || section == "EXAMPLES" || OUTSIDE.contains(&shown),
                "{page}: in {section}, not in EXAMPLES: {shown}"
            );
        }
    }
    Ok(())
}
