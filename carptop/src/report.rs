//! Output of `--once` and `--json`.

use std::io::{self, IsTerminal as _, Write};

use carp_dbus::{EventInfo, InterfaceInfo, SuppressionInfo};
use crossterm::style::ContentStyle;
use ratatui::text::Span;
use serde::Serialize;

use crate::app::{App, Msg, Row, Setup};
use crate::columns;
use crate::model::Snapshot;
use crate::when::now;

/// Writes one table, and the troubles below it.
///
/// # Errors
/// Those of `out`.
pub(crate) fn table(setup: Setup, snapshot: Snapshot, out: &mut impl Write) -> io::Result<()> {
    let coloured = io::stdout().is_terminal();
    write_table(&app(setup, snapshot, now()), coloured, out)
}

/// Writes everything as one JSON document.
///
/// # Errors
/// Those of `out`.
pub(crate) fn json(snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: &'a str,
        interfaces: &'a [InterfaceInfo],
        sysctls: std::collections::BTreeMap<&'a str, u64>,
        suppressions: &'a [SuppressionInfo],
        events: &'a [EventInfo],
    }
    let Snapshot {
        version,
        interfaces,
        sysctls,
        suppressions,
        events,
        allowed: _,
    } = snapshot;
    let document = Document {
        version,
        interfaces,
        sysctls: sysctls
            .iter()
            .map(|sysctl| (sysctl.name.as_str(), sysctl.value))
            .collect(),
        suppressions,
        events,
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

fn app(setup: Setup, snapshot: Snapshot, now: u64) -> App {
    let mut app = App::new(setup);
    app.view.grouped = false;
    for msg in [Msg::Tick(now), Msg::Snapshot(Box::new(snapshot))] {
        // There is no loop that performs effects.
        drop(app.update(msg));
    }
    app.settle();
    app
}

fn write_table(app: &App, coloured: bool, out: &mut impl Write) -> io::Result<()> {
    let context = app.context();
    let columns = app.columns_in(app.size.0);
    let indent = columns::MARKS_WIDTH;
    let line = |cells: Vec<(u16, Vec<Span<'static>>)>| {
        let mut text = String::new();
        let mut at = indent;
        for (x, spans) in cells {
            text.push_str(&" ".repeat(usize::from(x.saturating_sub(at))));
            at = at.max(x);
            for span in spans {
                at += u16::try_from(span.width()).unwrap_or(0);
                if coloured {
                    text.push_str(&painted(&span));
                } else {
                    text.push_str(&span.content);
                }
            }
        }
        text
    };
    let heads = columns
        .iter()
        .map(|place| (place.x, place.head(&app.theme, app.view.sort)));
    writeln!(out, "{}", line(heads.collect()).trim_end())?;
    for name in app.rows.iter().filter_map(Row::interface) {
        if let Some(interface) = app.model.interfaces.get(name) {
            let cells = columns
                .iter()
                .map(|place| (place.x, place.cell(&context, interface)));
            writeln!(out, "{}", line(cells.collect()).trim_end())?;
        }
    }
    for line in &app.summary.lines {
        writeln!(out, "! {}", line.text)?;
    }
    Ok(())
}

/// Returns a span with the terminal's codes for its style.
fn painted(span: &Span<'_>) -> String {
    use ratatui::backend::IntoCrossterm as _;
    let style: ContentStyle = span.style.into_crossterm();
    style.apply(&span.content).to_string()
}
