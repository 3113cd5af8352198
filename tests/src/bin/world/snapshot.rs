//! Snapshot of a host, to be compared: devices, addresses, routes, rules and sysctls.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use carp_tests::Host;
use serde_json::Value;

use crate::recipe::Recipe;

/// Compared attributes of a device.
const COMPARED: [&str; 7] = [
    "ifname",
    "flags",
    "mtu",
    "operstate",
    "address",
    "master",
    "altnames",
];

/// Compared attributes of a device that is up: one that is down keeps requests until it is set up
/// (`__dev_set_rx_mode()`).
const WHILE_UP: [&str; 2] = ["promiscuity", "allmulti"];

const LISTS: &str = "ip -o address show; echo; ip route show table all; ip -6 route show table all; \
     ip rule; ip -6 rule; ip maddress show | grep -v -e ^[0-9]; \
     sysctl -ae -r '^net[.]ipv[46][.](conf|ip_forward|igmp)'";

/// Returns sorted lines.
pub(crate) fn snapshot(host: &Host) -> Result<Vec<String>> {
    let json = host.run("ip -j -d link show")?;
    let devices: Vec<BTreeMap<String, Value>> =
        serde_json::from_str(&json).context("ip -j link")?;
    let mut lines: Vec<String> = devices
        .iter()
        .map(|link| {
            let flags = link.get("flags").and_then(Value::as_array);
            let is_up = flags.is_some_and(|flags| flags.contains(&Value::from("UP")));
            let while_up: &[&str] = if is_up { &WHILE_UP } else { &[] };
            let of_it = COMPARED
                .iter()
                .chain(while_up)
                .filter_map(|key| Some(format!("{key} {}", link.get(*key)?)));
            of_it.collect::<Vec<_>>().join(", ")
        })
        .collect();
    let output = host.command("sh").args(["-c", LISTS]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.extend(text.lines().map(without_numbers));
    lines.sort();
    Ok(lines)
}

/// Returns a line without the number of a device and without times.
fn without_numbers(line: &str) -> String {
    // The tunnels of the three hosts end at one switch.
    let line = line
        .replace("172.30.2.", "172.30.1.")
        .replace("172.30.3.", "172.30.1.");
    let line = match line.split_once(": ") {
        Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => &line,
    };
    let mut words = line.split_whitespace();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if matches!(word, "expires" | "valid_lft" | "preferred_lft") {
            words.next();
        } else if !word.ends_with("linkdown") {
            kept.push(word);
        }
    }
    kept.join(" ")
}

/// Returns the lines that only one snapshot has, the first's with `-` and the second's with `+`.
pub(crate) fn difference(before: &[String], after: &[String]) -> Vec<String> {
    let gone = before
        .iter()
        .filter(|line| !after.contains(line))
        .map(|line| format!("-{line}"));
    let new = after
        .iter()
        .filter(|line| !before.contains(line))
        .map(|line| format!("+{line}"));
    gone.chain(new).collect()
}

/// Returns whether the line is an IPv4 route that the kernel has removed with the last IPv4 address
/// of the carpdev, a virtual one. carp(4) and the log describe that.
pub(crate) fn is_lost_with_the_last_address(recipe: &Recipe, line: &str) -> bool {
    let own = [recipe.own.early, recipe.own.late].concat();
    let has_v4 = own.iter().any(|address| address.contains('.'));
    let route = format!(" dev {}", recipe.kind.device());
    recipe.parent && !has_v4 && line.starts_with("-10.") && line.contains(&route)
}
