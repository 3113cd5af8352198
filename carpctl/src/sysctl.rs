//! `carpctl sysctl`: shows and sets `net.inet.carp` as FreeBSD's sysctl(8) does.

use std::collections::BTreeMap;
use std::io::{self, Write};

use carp_dbus::names::{STATS, STATS_DESCRIPTION};
use carp_dbus::{Client, SysctlInfo};
use serde_json::json;

use crate::exit::{Failure, Outcome, warn};
use crate::{json, netstat};

/// Arguments of `sysctl`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the independent flags of sysctl(8)"
)]
pub(crate) struct Arguments {
    /// Show all of net.inet.carp (the default)
    #[arg(short)]
    pub(crate) all: bool,
    /// Print the description instead of the value
    #[arg(short)]
    pub(crate) description: bool,
    /// Separate name and value by "="
    #[arg(short)]
    pub(crate) equals: bool,
    /// Print only the name
    #[arg(short = 'N', conflicts_with_all = ["value", "description", "equals"])]
    pub(crate) name: bool,
    /// Print only the value
    #[arg(short = 'n')]
    pub(crate) value: bool,
    /// Print no error for an unknown name
    #[arg(short)]
    pub(crate) quiet: bool,
    /// Ignored, for old scripts: a value is set without it
    #[arg(short)]
    pub(crate) write: bool,
    /// Do not print values that were set, as Linux's sysctl(8) with -q.
    #[arg(skip)]
    pub(crate) silent: bool,
    /// Names to show, and values to set
    #[arg(value_name = "NAME[=VALUE]")]
    pub(crate) names: Vec<String>,
}

/// One `NAME` or `NAME=VALUE`.
#[derive(Debug, PartialEq, Eq)]
struct Request<'a> {
    name: &'a str,
    value: Option<u64>,
}

/// Shows and sets the names. Sets all values or none.
///
/// # Errors
/// The failure, with its exit status.
pub(crate) async fn run(arguments: &Arguments, json: bool, out: &mut impl Write) -> Outcome {
    let requests = parse(&arguments.names).map_err(Failure::Usage)?;
    let client = Client::connect().await?;
    let all = client.sysctls().await?;
    let mut shown: Vec<&SysctlInfo> = Vec::new();
    let mut set: Vec<(&SysctlInfo, u64)> = Vec::new();
    let mut counters = None;
    if arguments.all || requests.is_empty() {
        shown.extend(&all);
    }
    for Request { name, value } in requests {
        if name == STATS && value.is_none() {
            counters = Some(client.statistics().await?);
            continue;
        }
        let found: Vec<&SysctlInfo> = all
            .iter()
            .filter(|oid| is_in_subtree(&oid.name, name))
            .collect();
        match (found.as_slice(), value) {
            ([], Some(_)) if name == STATS => {
                return Err(Failure::Refused(format!("oid '{name}' is read only")));
            }
            ([], _) if arguments.quiet => return Err(Failure::Quiet),
            ([], _) => return Err(Failure::Refused(format!("unknown oid '{name}'"))),
            ([oid], Some(_)) if oid.name == name && !oid.writable => {
                return Err(Failure::Refused(format!("oid '{name}' is read only")));
            }
            ([oid], Some(value)) if oid.name == name => set.push((oid, value)),
            (_, Some(_)) => {
                return Err(Failure::Refused(format!("oid '{name}' isn't a leaf node")));
            }
            (found, None) => shown.extend(found),
        }
    }
    let old = set_all(&client, &set).await?;
    if json {
        let shown = shown
            .iter()
            .map(|oid| (oid.name.as_str(), json!(oid.value)));
        let changed = set.iter().map(|(oid, new)| (oid.name.as_str(), json!(new)));
        let counters = counters.iter().map(|counters| (STATS, json!(counters)));
        let values: BTreeMap<_, _> = shown.chain(changed).chain(counters).collect();
        return Ok(json::document(out, &values)?);
    }
    for oid in shown {
        show(
            out,
            arguments,
            (&oid.name, &oid.description),
            &oid.value.to_string(),
        )?;
    }
    if let Some(counters) = counters {
        let value = netstat::one_line(&counters);
        show(out, arguments, (STATS, STATS_DESCRIPTION), &value)?;
    }
    if arguments.silent {
        return Ok(());
    }
    for ((oid, new), old) in set.iter().zip(old) {
        let value = format!("{old} -> {new}");
        show(out, arguments, (&oid.name, &oid.description), &value)?;
    }
    Ok(())
}

/// Checks the form of every argument.
///
/// # Errors
/// One line that names the argument and the right form.
pub(crate) fn check(names: &[String]) -> Result<(), String> {
    parse(names).map(drop)
}

/// Parses every argument.
fn parse(names: &[String]) -> Result<Vec<Request<'_>>, String> {
    names
        .iter()
        .map(|argument| {
            let Some((name, value)) = argument.split_once('=') else {
                return Ok(Request {
                    name: argument,
                    value: None,
                });
            };
            match value.parse() {
                Ok(number) if value.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Request {
                    name,
                    value: Some(number),
                }),
                Ok(_) | Err(_) => Err(format!("{name}: '{value}' must be a number")),
            }
        })
        .collect()
}

/// Returns whether `oid` is `name` or is in the subtree `name`.
fn is_in_subtree(oid: &str, name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    oid.strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Sets the values one after the other and returns the old ones. If carpd refuses one, restores
/// those that were set before.
async fn set_all(client: &Client, set: &[(&SysctlInfo, u64)]) -> Result<Vec<u64>, Failure> {
    let mut old = Vec::new();
    for (oid, value) in set {
        match client.sysctl_set(&oid.name, *value).await {
            Ok(before) => old.push(before),
            Err(refused) => {
                for ((oid, _), before) in set.iter().zip(old).rev() {
                    if let Err(error) = client.sysctl_set(&oid.name, before).await {
                        let name = &oid.name;
                        warn(&format!("{name}: cannot restore {before}: {error}"));
                    }
                }
                return Err(refused.into());
            }
        }
    }
    Ok(old)
}

/// Writes one line in the form that the flags select.
fn show(
    out: &mut impl Write,
    arguments: &Arguments,
    (name, description): (&str, &str),
    value: &str,
) -> io::Result<()> {
    let right = if arguments.description {
        description
    } else {
        value
    };
    match arguments {
        Arguments { name: true, .. } => writeln!(out, "{name}"),
        Arguments { value: true, .. } => writeln!(out, "{right}"),
        Arguments { equals: true, .. } => writeln!(out, "{name}={right}"),
        Arguments { .. } => writeln!(out, "{name}: {right}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtree_has_its_own_name_and_the_names_below() {
        assert!(is_in_subtree(
            "net.inet.carp.preempt",
            "net.inet.carp.preempt"
        ));
        assert!(is_in_subtree("net.inet.carp.preempt", "net.inet.carp"));
        assert!(is_in_subtree("net.inet.carp.preempt", "net.inet.carp."));
        assert!(is_in_subtree("net.inet.carp.preempt", "net"));
        assert!(!is_in_subtree("net.inet.carp.preempt", "net.inet.carp.pre"));
        assert!(!is_in_subtree(
            "net.inet.carp.preempt",
            "net.inet.carp.preempt.x"
        ));
        assert!(!is_in_subtree(
            "net.inet.carp.replay_window",
            "net.inet.carp.replay"
        ));
    }

    #[test]
    fn value_must_be_a_number() {
        let names = ["a=1".to_owned(), "b".to_owned()];
        let requests = [
            Request {
                name: "a",
                value: Some(1),
            },
            Request {
                name: "b",
                value: None,
            },
        ];
        assert_eq!(parse(&names).as_deref(), Ok(requests.as_slice()));
        for bad in [
            "a=",
            "a=x",
            "a=-1",
            "a=+1",
            "a=1=2",
            "a=99999999999999999999",
        ] {
            let value = bad.strip_prefix("a=").unwrap();
            assert_eq!(
                parse(&[bad.to_owned()]),
                Err(format!("a: '{value}' must be a number"))
            );
        }
    }
}
