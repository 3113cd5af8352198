//! `carpctl monitor`: events as they happen, one a line.

use std::io::{self, Write};

use carp_dbus::{Change, Client, EventInfo};
use futures_util::StreamExt;

use crate::exit::{Failure, Outcome};
use crate::{json, time};

/// How many events one call asks for.
const BATCH: u32 = 1000;

/// What stands behind `monitor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// First show the kept events with a number above N, or all of them
    #[arg(long, value_name = "N|all", value_parser = since)]
    since: Option<u64>,
    /// Show changes of state alone, in the words of FreeBSD's devd(8)
    #[arg(long)]
    devd: bool,
}

/// How an event is shown.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Json,
    Devd,
}

/// Shows events until carpd is gone, or whoever reads has read enough.
///
/// # Errors
/// Why it ended, with its exit status.
pub(crate) async fn run(arguments: &Arguments, json: bool, out: &mut impl Write) -> Outcome {
    let form = match (json, arguments.devd) {
        (true, true) => return Err(Failure::Usage("--devd is no JSON".into())),
        (true, false) => Form::Json,
        (false, true) => Form::Devd,
        (false, false) => Form::Text,
    };
    let client = Client::connect().await?;
    // Watched first, so that none falls between what was and what comes.
    let mut changes = client.watch().await?;
    let mut shown = arguments.since;
    if shown.is_some() {
        replay(&client, &mut shown, form, out).await?;
    }
    out.flush()?;
    loop {
        match changes.next().await {
            Some(Change::Event(event)) => {
                if shown.is_none_or(|shown| event.number > shown) {
                    shown = Some(event.number);
                    show(out, &event, form)?;
                }
            }
            Some(Change::Lost) if shown.is_some() => {
                replay(&client, &mut shown, form, out).await?;
            }
            Some(_) => continue,
            None => return Err(Failure::NoDaemon("carpd is gone".into())),
        }
        out.flush()?;
    }
}

/// Shows the kept events with a number above `shown`.
async fn replay(
    client: &Client,
    shown: &mut Option<u64>,
    form: Form,
    out: &mut impl Write,
) -> Outcome {
    loop {
        let events = client.events(shown.unwrap_or_default(), BATCH).await?;
        let Some(last) = events.last() else {
            return Ok(());
        };
        *shown = Some(last.number);
        for event in &events {
            show(out, event, form)?;
        }
    }
}

fn show(out: &mut impl Write, event: &EventInfo, form: Form) -> io::Result<()> {
    match form {
        Form::Text => writeln!(out, "{} {}", time::local(event.time), event.text),
        Form::Json => json::line(out, event),
        Form::Devd => match devd(event) {
            Some(line) => writeln!(out, "{line}"),
            None => Ok(()),
        },
    }
}

/// A change of state as programs read it from devd's pipe (`ip_carp.c`, `carp_set_state()`, which
/// calls `devctl_notify()`); `None` for anything else.
fn devd(event: &EventInfo) -> Option<String> {
    let fact = |name| event.details.get(name);
    let (vhid, device, to) = (fact("vhid")?, fact("device")?, fact("to")?);
    Some(format!("!system=CARP subsystem={vhid}@{device} type={to}"))
}

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
    fn devd_knows_changes_of_state_of_a_vhid_on_an_interface() {
        let facts = [
            ("from", "BACKUP"),
            ("to", "MASTER"),
            ("vhid", "1"),
            ("device", "eth0"),
        ];
        let mut event = EventInfo {
            details: facts
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
