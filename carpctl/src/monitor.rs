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
}

/// Shows events until carpd is gone, or whoever reads has read enough.
///
/// # Errors
/// Why it ended, with its exit status.
pub(crate) async fn run(arguments: &Arguments, json: bool, out: &mut impl Write) -> Outcome {
    let client = Client::connect().await?;
    // Watched first, so that none falls between what was and what comes.
    let mut changes = client.watch().await?;
    let mut shown = arguments.since;
    if shown.is_some() {
        replay(&client, &mut shown, json, out).await?;
    }
    out.flush()?;
    loop {
        match changes.next().await {
            Some(Change::Event(event)) => {
                if shown.is_none_or(|shown| event.number > shown) {
                    shown = Some(event.number);
                    show(out, &event, json)?;
                }
            }
            Some(Change::Lost) if shown.is_some() => {
                replay(&client, &mut shown, json, out).await?;
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
    json: bool,
    out: &mut impl Write,
) -> Outcome {
    loop {
        let events = client.events(shown.unwrap_or_default(), BATCH).await?;
        let Some(last) = events.last() else {
            return Ok(());
        };
        *shown = Some(last.number);
        for event in &events {
            show(out, event, json)?;
        }
    }
}

fn show(out: &mut impl Write, event: &EventInfo, json: bool) -> io::Result<()> {
    if json {
        return json::line(out, event);
    }
    writeln!(out, "{} {}", time::local(event.time), event.text)
}

fn since(text: &str) -> Result<u64, String> {
    match text {
        "all" => Ok(0),
        number => number
            .parse()
            .map_err(|_| "must be the number of an event, or all".into()),
    }
}
