//! Names in the pages are those of the programs, without exception: sysctls, counters, parameters,
//! polkit's actions, and the environment of hooks. Tests of the crates do the same for options,
//! keywords, keys and D-Bus members.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result};
use carp_tests::{Carpd, Lab, MARGIN, executable, master_down, source, wait_until};

struct Site {
    carpd: Carpd,
    lab: Lab,
}

impl Site {
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
        let carpd = Carpd::start(&host)?;
        Ok(Self { carpd, lab })
    }
}

/// Returns the lines of a section or a subsection of a page.
fn section(page: &str, heading: &str) -> Result<String> {
    let text = source(&format!("man/{page}"))?;
    let (_, rest) = text
        .split_once(&format!("\n{heading}\n"))
        .with_context(|| format!("{heading} in {page}"))?;
    let end = [rest.find("\n.Sh "), rest.find("\n.Ss ")];
    let end = end.into_iter().flatten().min().unwrap_or(rest.len());
    Ok(rest.get(..end).unwrap_or_default().to_owned())
}

/// Returns the words after a macro at the beginning of lines, without commas.
fn words(text: &str, mac: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix(mac))
        .flat_map(str::split_whitespace)
        .filter(|word| *word != ",")
        .map(str::to_owned)
        .collect()
}

#[test]
fn manual_lists_every_sysctl_and_no_other() -> Result<()> {
    let site = Site::new()?;
    let listed = site.carpd.carpctl("sysctl -aN")?;
    let mut known: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    known.insert("net.inet.carp.stats".to_owned());
    assert_eq!(words(&section("carp.4", ".Ss Sysctls")?, ".It Va "), known);
    Ok(())
}

#[test]
fn manual_lists_every_counter_and_no_other() -> Result<()> {
    let site = Site::new()?;
    let counted: BTreeMap<String, u64> =
        serde_json::from_str(&site.carpd.carpctl("netstat --json")?)?;
    let known: BTreeSet<String> = counted.into_keys().collect();
    assert_eq!(words(&section("carp.4", ".Sh COUNTERS")?, ".It Li "), known);
    Ok(())
}

#[test]
fn parameters_of_carp_4_are_those_of_carpctl() -> Result<()> {
    let site = Site::new()?;
    let command = site
        .carpd
        .carpctl_command()?
        .args(["--complete", "carp0", ""])
        .output()?;
    let offered = String::from_utf8(command.stdout)?;
    let known: BTreeSet<&str> = offered
        .lines()
        .filter_map(|line| line.split('\t').next())
        .collect();
    let named = words(&section("carp.4", ".Ss Parameters")?, ".It Cm ");
    let unknown: Vec<_> = named
        .iter()
        .filter(|word| !known.contains(word.as_str()))
        .collect();
    assert_eq!(unknown, Vec::<&String>::new());
    assert!(named.len() > 5, "{named:?}");
    Ok(())
}

#[test]
fn manual_lists_every_polkit_action_and_no_other() -> Result<()> {
    let policy = source("dbus/org.carpd1.policy")?;
    let known: BTreeSet<String> = policy
        .split("<action id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect();
    let page = section("org.carpd1.5", ".Sh AUTHORISATION")?;
    assert_eq!(words(&page, ".It Li "), known);
    Ok(())
}

#[test]
fn manual_lists_the_environment_of_hooks_and_nothing_else() -> Result<()> {
    let site = Site::new()?;
    let out = site.lab.path("environment");
    let hooks = site.carpd.config_directory().join("hooks.d");
    fs::create_dir(&hooks)?;
    let script = format!(
        "#!/bin/sh\ntr '\\0' '\\n' </proc/$$/environ >{}.part\n",
        out.display()
    ) + &format!("mv {0}.part {0}\n", out.display());
    executable(&hooks.join("10-environment"), &script)?;
    site.carpd.carpctl("carp0 create vhid 1 192.168.1.1/24")?;
    let found = wait_until("the hook has run", master_down(1, 0) + MARGIN, || {
        Ok(Some(fs::read_to_string(&out)?))
    })?;
    let known: BTreeSet<String> = found
        .lines()
        .filter_map(|line| line.split('=').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(words(&section("carpd.8", ".Sh HOOKS")?, ".It Ev "), known);
    Ok(())
}
