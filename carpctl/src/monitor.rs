//! `carpctl monitor`: events as they happen, one per line.

use std::io::{self, Write};

use carp_dbus::{Change, Client, EventInfo};
use futures_util::StreamExt;

use crate::exit::{Failure, Outcome};
use crate::{json, time};

/// Most events that one call requests.
const EVENTS_PER_CALL: u32 = 1000;

/// Arguments of `monitor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// First show the kept events with numbers above N, or all kept events
    #[arg(long, value_name = "N|all", value_parser = since)]
    since: Option<u64>,
    /// Show only changes of state, in the format of FreeBSD's devd(8)
    #[arg(long)]
    devd: bool,
}

/// Output format of events.
#[derive(Clone, Copy)]
enum Format {
    Text,
    Json,
    Devd,
}

/// Shows events until carpd ends or the reader closes standard output.
///
/// # Errors
/// The reason of the end, with its exit status.
pub(crate) async fn run(arguments: &Arguments, json: bool, out: &mut impl Write) -> Outcome {
    let format = match (json, arguments.devd) {
        (true, true) => {
            return Err(Failure::Usage(
                "--devd and --json: cannot be used together".into(),
            ));
        }
        (true, false) => Format::Json,
        (false, true) => Format::Devd,
        (false, false) => Format::Text,
    };
    let client = Client::connect().await?;
    // Subscribe before the replay, so that no event is lost between the two.
    let mut changes = client.watch().await?;
    let mut shown = arguments.since;
    if shown.is_some() {
        replay(&client, &mut shown, format, out).await?;
    }
    out.flush()?;
    loop {
        match changes.next().await {
            Some(Change::Event(event)) => {
                if shown.is_none_or(|shown| event.number > shown) {
                    shown = Some(event.number);
                    show(out, &event, format)?;
                }
            }
            Some(Change::Lost) if shown.is_some() => {
                replay(&client, &mut shown, format, out).await?;
            }
            Some(_) => continue,
            None => return Err(Failure::NoDaemon("carpd has closed the connection".into())),
        }
        out.flush()?;
    }
}

/// Shows the kept events with numbers above `shown`.
async fn replay(
    client: &Client,
    shown: &mut Option<u64>,
    format: Format,
    out: &mut impl Write,
) -> Outcome {
    loop {
        let events = client
            .events(shown.unwrap_or_default(), EVENTS_PER_CALL)
            .await?;
        let Some(last) = events.last() else {
            return Ok(());
        };
        *shown = Some(last.number);
        for event in &events {
            show(out, event, format)?;
        }
    }
}

fn show(out: &mut impl Write, event: &EventInfo, format: Format) -> io::Result<()> {
    match format {
        Format::Text => writeln!(out, "{} {}", time::local(event.time), event.text),
        Format::Json => json::line(out, event),
        Format::Devd => match devd(event) {
            Some(line) => writeln!(out, "{line}"),
            None => Ok(()),
        },
    }
}

/// Returns a change of state in the format of devd's pipe (`ip_carp.c`: `carp_set_state()` calls
/// `devctl_notify()`), `None` for other events.
fn devd(event: &EventInfo) -> Option<String> {
    let detail = |name| event.details.get(name);
    let (vhid, device, to) = (detail("vhid")?, detail("device")?, detail("to")?);
    Some(format!("!system=CARP subsystem={vhid}@{device} type={to}"))
}

/// Parses the value of `--since`.
fn since(text: &str) -> Result<u64, String> {
    match text {
        "all" => Ok(0),
        number => number
            .parse()
            .map_err(|_| "must be the number of an event, or all".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devd_line_exists_for_a_transition_with_a_vhid_alone() {
        let details = [
            ("from", "BACKUP"),
            ("to", "MASTER"),
            ("vhid", "1"),
            ("device", "eth0"),
        ];
        let mut event = EventInfo {
            details: details
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            ..EventInfo::default()
        };
        assert_eq!(
            devd(&event).as_deref(),
            Some("!system=CARP subsystem=1@eth0 type=MASTER")
        );
        event.details.remove("vhid");
        assert_eq!(devd(&event), None);
    }
}
