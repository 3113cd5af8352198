//! `carpctl sysctl`: `net.inet.carp` as FreeBSD's sysctl(8) shows and sets it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use carp_dbus::names::{STATS, STATS_DESCRIPTION};
use carp_dbus::{Client, SysctlInfo};
use serde_json::json;

use crate::exit::{Failure, Outcome, warn};
use crate::{json, netstat};

/// What stands behind `sysctl`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "sysctl(8)'s flags, each for itself"
)]
pub(crate) struct Arguments {
    /// All of net.inet.carp: what happens without a name, too
    #[arg(short)]
    pub(crate) all: bool,
    /// Print the description instead of the value
    #[arg(short)]
    pub(crate) description: bool,
    /// Separate name and value by =
    #[arg(short)]
    pub(crate) equals: bool,
    /// Print the name alone
    #[arg(short = 'N', conflicts_with_all = ["value", "description", "equals"])]
    pub(crate) name: bool,
    /// Print the value alone
    #[arg(short = 'n')]
    pub(crate) value: bool,
    /// Say nothing about an unknown name
    #[arg(short)]
    pub(crate) quiet: bool,
    /// Taken for the sake of old scripts: a value is set without it, too
    #[arg(short)]
    pub(crate) write: bool,
    /// Not even what was set is shown: what Linux's sysctl(8) means by -q.
    #[arg(skip)]
    pub(crate) silent: bool,
    /// What to show, or to set
    #[arg(value_name = "NAME[=VALUE]")]
    pub(crate) names: Vec<String>,
}

/// One `NAME` or `NAME=VALUE`.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'a> {
    name: &'a str,
    value: Option<u64>,
}

/// Shows, or sets all or nothing.
///
/// # Errors
/// Why it failed, with its exit status.
pub(crate) async fn run(arguments: &Arguments, json: bool, out: &mut impl Write) -> Outcome {
    let wanted = parse(&arguments.names).map_err(Failure::Usage)?;
    let client = Client::connect().await?;
    let all = client.sysctls().await?;
    let mut shown: Vec<&SysctlInfo> = Vec::new();
    let mut set: Vec<(&SysctlInfo, u64)> = Vec::new();
    let mut counters = None;
    if arguments.all || wanted.is_empty() {
        shown.extend(&all);
    }
    for Wanted { name, value } in wanted {
        if name == STATS && value.is_none() {
            counters = Some(client.statistics().await?);
            continue;
        }
        let found: Vec<&SysctlInfo> = all.iter().filter(|oid| below(&oid.name, name)).collect();
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
        let value = netstat::sentence(&counters);
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

/// Whether every argument can be read.
///
/// # Errors
/// One line that names the argument and what would be right.
pub(crate) fn check(names: &[String]) -> Result<(), String> {
    parse(names).map(drop)
}

/// Reads every argument before anything is sent.
fn parse(names: &[String]) -> Result<Vec<Wanted<'_>>, String> {
    names
        .iter()
        .map(|argument| {
            let Some((name, value)) = argument.split_once('=') else {
                return Ok(Wanted {
                    name: argument,
                    value: None,
                });
            };
            match value.parse() {
                Ok(number) if value.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Wanted {
                    name,
                    value: Some(number),
                }),
                Ok(_) | Err(_) => Err(format!("{name}: '{value}' must be a number")),
            }
        })
        .collect()
}

/// Whether `oid` is `name` or stands in the subtree `name`.
fn below(oid: &str, name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    oid.strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Sets one after the other and gives the old values. Puts back what was set if one is refused.
async fn set_all(client: &Client, set: &[(&SysctlInfo, u64)]) -> Result<Vec<u64>, Failure> {
    let mut old = Vec::new();
    for (oid, value) in set {
        match client.sysctl_set(&oid.name, *value).await {
            Ok(before) => old.push(before),
            Err(refused) => {
                for ((oid, _), before) in set.iter().zip(old).rev() {
                    if let Err(error) = client.sysctl_set(&oid.name, before).await {
                        warn(&format!(
                            "{} could not be put back to {before}: {error}",
                            oid.name
                        ));
                    }
                }
                return Err(refused.into());
            }
        }
    }
    Ok(old)
}

/// Writes one line in the form that the flags ask for.
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
    fn a_name_stands_for_itself_and_for_what_is_below_it() {
        assert!(below("net.inet.carp.preempt", "net.inet.carp.preempt"));
        assert!(below("net.inet.carp.preempt", "net.inet.carp"));
        assert!(below("net.inet.carp.preempt", "net.inet.carp."));
        assert!(below("net.inet.carp.preempt", "net"));
        assert!(!below("net.inet.carp.preempt", "net.inet.carp.pre"));
        assert!(!below("net.inet.carp.preempt", "net.inet.carp.preempt.x"));
        assert!(!below(
            "net.inet.carp.replay_window",
            "net.inet.carp.replay"
        ));
    }

    #[test]
    fn a_value_is_a_number() {
        let names = ["a=1".to_owned(), "b".to_owned()];
        let wanted = [
            Wanted {
                name: "a",
                value: Some(1),
            },
            Wanted {
                name: "b",
                value: None,
            },
        ];
        assert_eq!(parse(&names).as_deref(), Ok(wanted.as_slice()));
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
