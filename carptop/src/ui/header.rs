//! Header: counts, troubles, last change.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::paint::put;
use super::words;
use crate::app::{App, Connection, NOT_RUNNING, START};
use crate::text::{cut, span, total_width};
use crate::theme::{Role, Theme};
use crate::when;

/// Draws the header.
pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.theme;
    let troubles = &app.summary.lines;
    let room = usize::from(area.height.saturating_sub(3));
    let mut second = counts(app);
    let is_stale =
        matches!(app.connection, Connection::Disconnected(..)) || app.stale_since().is_some();
    let rest = if is_stale {
        second = vec![Span::raw(" "), not_live(app)];
        troubles.as_slice()
    } else if let Some((first, more)) = troubles.split_first() {
        let others = match more.len().saturating_sub(room) {
            0 => String::new(),
            several => format!(" (+{several})"),
        };
        let taken = total_width(&second) + u16::try_from(others.len()).unwrap_or(0) + 2;
        let text = cut(theme, &first.text, area.width.saturating_sub(taken));
        second.push(trouble_line(theme, first.is_alarm, &text));
        second.push(span(theme, Role::Warning, others));
        more
    } else {
        if app.connection == Connection::Live {
            second.push(span(theme, Role::Good, "nothing wrong"));
        }
        &[]
    };
    let mut lines = vec![first_line(app, area.width)];
    if area.height == 1 {
        lines.clear();
    }
    lines.push(Line::from(second));
    let indent = total_width(&counts(app));
    for trouble in rest.iter().take(room) {
        let blanks = " ".repeat(usize::from(indent));
        let text = trouble_line(theme, trouble.is_alarm, &trouble.text);
        lines.push(Line::from(vec![Span::raw(blanks), text]));
    }
    // The last change is always on the last line.
    let free = usize::from(area.height.saturating_sub(1)).saturating_sub(lines.len());
    lines.extend(std::iter::repeat_n(Line::default(), free));
    lines.push(match &app.connection {
        Connection::Disconnected(_, why) if why == NOT_RUNNING => {
            Line::from(span(theme, Role::Text, format!(" {START}")))
        }
        Connection::Disconnected(..) | Connection::Connecting | Connection::Live => {
            last_change(app)
        }
    });
    for (line, y) in lines.iter().zip(0..area.height) {
        put(theme, buffer, area, 0, y, line);
    }
}

/// Returns the first line: host and sysctls, and at the right whether the data are live.
fn first_line(app: &App, across: u16) -> Line<'static> {
    let theme = &app.theme;
    let mut spans = vec![
        span(theme, Role::Title, " carptop "),
        span(theme, Role::Text, format!(" {} ", app.hostname)),
    ];
    if !app.model.version.is_empty() {
        spans.push(span(
            theme,
            Role::Dim,
            format!(" carpd {} ", app.model.version),
        ));
    }
    let clock = when::minute(app.now, &app.zone);
    let mut right = Vec::new();
    if app.read_only().is_some() {
        right.push(span(theme, Role::Dim, "read-only  "));
    }
    right.push(match (&app.connection, app.stale_since()) {
        (Connection::Connecting, _) => span(theme, Role::Dim, "connecting"),
        (Connection::Disconnected(..), _) | (_, Some(_)) => span(theme, Role::Alarm, " not live "),
        (_, None) => span(theme, Role::Good, format!("{} live", theme.glyphs.live)),
    });
    right.push(span(theme, Role::Dim, format!("  {clock} ")));
    let room = across.saturating_sub(total_width(&spans) + total_width(&right) + 3);
    let values = span(theme, Role::Text, sysctls(app, room));
    let free = room.saturating_sub(total_width(std::slice::from_ref(&values)));
    let left = if across >= 110 { free / 2 } else { 0 };
    spans.push(Span::raw(" ".repeat(usize::from(left) + 1)));
    spans.push(values);
    let gap = across.saturating_sub(total_width(&spans) + total_width(&right));
    spans.push(Span::raw(" ".repeat(usize::from(gap))));
    spans.extend(right);
    Line::from(spans)
}

/// Returns the sysctls that fit, the most important first.
fn sysctls(app: &App, room: u16) -> String {
    let mut text = String::new();
    for name in ["preempt", "allow", "log", "arpbalance"] {
        let Some(value) = app.model.sysctl(name) else {
            continue;
        };
        let more = format!("{name} {value}");
        let dot = match text.as_str() {
            "" => String::new(),
            _ => format!(" {} ", app.theme.glyphs.dot),
        };
        if Span::raw(format!("{text}{dot}{more}")).width() <= usize::from(room) {
            text = format!("{text}{dot}{more}");
        }
    }
    text
}

/// Returns the numbers of interfaces in each state.
fn counts(app: &App) -> Vec<Span<'static>> {
    let theme = &app.theme;
    let mut spans = vec![Span::raw(" ")];
    for (count, state) in app.summary.states.iter().zip(["MASTER", "BACKUP", "INIT"]) {
        let role = if *count == 0 {
            Role::Dim
        } else {
            Theme::state(state)
        };
        spans.push(span(theme, role, format!("{count} {state}")));
        spans.push(Span::raw("  "));
    }
    spans.push(Span::raw(" "));
    spans
}

/// Returns the warning that the data are old.
fn not_live(app: &App) -> Span<'static> {
    let why = match &app.connection {
        Connection::Disconnected(_, why) => why.as_str(),
        Connection::Connecting | Connection::Live => "carpd does not answer",
    };
    let text = app.stale_since().map_or_else(
        || format!(" ! {why} "),
        |since| {
            let since = when::clock(since, app.now, &app.zone);
            format!(" ! {why}; data from {since} ")
        },
    );
    span(&app.theme, Role::Alarm, text)
}

/// Returns a line about a trouble.
fn trouble_line(theme: &Theme, is_alarm: bool, text: &str) -> Span<'static> {
    let role = if is_alarm { Role::Alarm } else { Role::Warning };
    span(theme, role, format!("! {text}"))
}

/// Returns the last change: `last change 12:03:51, 13s ago: carp2 MASTER → INIT  carrier lost`.
fn last_change(app: &App) -> Line<'static> {
    let theme = &app.theme;
    if !app.was_connected() {
        return Line::default();
    }
    let mut events = app.model.events.iter().rev();
    let Some(event) = events.find(|event| event.kind == "transition") else {
        return Line::from(span(theme, Role::Dim, " no state has changed yet"));
    };
    let text = format!(
        " last change {}, {} ago: ",
        when::clock(event.time, app.now, &app.zone),
        when::short(app.now.saturating_sub(event.time))
    );
    let mut spans = vec![
        span(theme, Role::Dim, text),
        span(theme, Role::Title, format!("{} ", event.interface)),
    ];
    spans.extend(words::of(app, event));
    Line::from(spans)
}
