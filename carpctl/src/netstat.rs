//! `carpctl netstat`: counters in the words of FreeBSD's `netstat -s -p carp`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use carp_dbus::Client;

use crate::device::is_carp_interface;
use crate::exit::{Failure, Outcome};
use crate::json;

/// Arguments of `netstat`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Show the counters of one interface instead of the sums
    #[arg(short = 'I', value_name = "carpN")]
    interface: Option<String>,
}

/// Counter: its name on the bus and its line, where `#` stands for the value and `%s` for the
/// plural `s` (`usr.bin/netstat/inet.c`, `carp_stats()`; `badif` is from NetBSD, `preempt` is
/// carpd's own). No BSD has a line for `ostates`.
struct Row(&'static str, &'static str);

const ROWS: [Row; 15] = [
    Row("ipackets", "\t# packet%s received (IPv4)"),
    Row("ipackets6", "\t# packet%s received (IPv6)"),
    Row("badif", "\t\t# packet%s discarded for bad interface"),
    Row("badttl", "\t\t# packet%s discarded for wrong TTL"),
    Row("hdrops", "\t\t# packet%s shorter than header"),
    Row("badsum", "\t\t# discarded for bad checksum%s"),
    Row("badver", "\t\t# discarded packet%s with a bad version"),
    Row("badlen", "\t\t# discarded because packet too short"),
    Row("badauth", "\t\t# discarded for bad authentication"),
    Row("badvhid", "\t\t# discarded for bad vhid"),
    Row("badaddrs", "\t\t# discarded because of a bad address list"),
    Row("opackets", "\t# packet%s sent (IPv4)"),
    Row("opackets6", "\t# packet%s sent (IPv6)"),
    Row("onomem", "\t\t# send failed due to memory error"),
    Row("preempt", "\t# preemption%s of a slower master"),
];

/// Shows the counters.
///
/// # Errors
/// The failure, with its exit status.
pub(crate) async fn run(arguments: &Arguments, json: bool, out: &mut impl Write) -> Outcome {
    let (heading, counters) = match &arguments.interface {
        Some(name) if !is_carp_interface(name) => {
            return Err(Failure::Usage(format!(
                "-I {name}: must be a carp interface, such as carp0"
            )));
        }
        Some(name) => (
            name.as_str(),
            Client::connect().await?.interface(name).await?.statistics,
        ),
        None => ("carp", Client::connect().await?.statistics().await?),
    };
    if json {
        Ok(json::document(out, &counters)?)
    } else {
        Ok(write(out, heading, &counters)?)
    }
}

/// Writes all counters below `heading`: `carp` or the name of an interface.
fn write(out: &mut impl Write, heading: &str, counters: &BTreeMap<String, u64>) -> io::Result<()> {
    writeln!(out, "{heading}:")?;
    rows(counters).try_for_each(|row| writeln!(out, "{row}"))
}

/// Returns all counters on one line.
pub(crate) fn one_line(counters: &BTreeMap<String, u64>) -> String {
    let rows: Vec<String> = rows(counters).collect();
    let rows: Vec<&str> = rows.iter().map(|row| row.trim_start()).collect();
    rows.join(", ")
}

/// Returns the lines of all counters.
fn rows(counters: &BTreeMap<String, u64>) -> impl Iterator<Item = String> + '_ {
    ROWS.iter().map(|Row(name, words)| {
        let value = counters.get(*name).copied().unwrap_or_default();
        let words = words.replace("%s", if value == 1 { "" } else { "s" });
        words.replacen('#', &value.to_string(), 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_other_values_are_plural() {
        let counters =
            [("ipackets", 1), ("opackets", 2), ("badsum", 1)].map(|(name, n)| (name.to_owned(), n));
        let mut out = Vec::new();
        write(&mut out, "carp", &BTreeMap::from(counters)).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("carp:\n\t1 packet received (IPv4)\n\t0 packets received (IPv6)\n")
        );
        assert!(text.contains("\n\t\t1 discarded for bad checksum\n"));
        assert!(text.contains("\n\t2 packets sent (IPv4)\n"));
    }
}
