//! List of events, the newest first.

use carp_dbus::EventInfo;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::paint::{boxed, put};
use super::words;
use crate::app::App;
use crate::layout::Panel;
use crate::text::{span, total_width, wrap};
use crate::theme::Role;
use crate::when;

/// Draws the events.
pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let theme = &app.theme;
    let all = app.model.events.len();
    let first = if app.panel == Panel::Events {
        app.scroll
    } else {
        0
    };
    let count = if first == 0 {
        format!("{all} ")
    } else {
        format!(
            "{} older than the newest {first} ",
            all.saturating_sub(first)
        )
    };
    let title = Line::from(vec![
        span(theme, Role::Title, " events "),
        span(theme, Role::Dim, count),
    ]);
    let inner = boxed(theme, area, title, buffer);
    let events = app.model.events.iter().rev().skip(first);
    let lines = events.flat_map(|event| lines(app, event, inner.width));
    for (line, y) in lines.zip(0..inner.height) {
        put(theme, buffer, inner, 0, y, &line);
    }
    if all == 0 && app.was_connected() {
        let text = " no events since carpd started";
        put(
            theme,
            buffer,
            inner,
            0,
            0,
            &Line::from(span(theme, Role::Dim, text)),
        );
    }
}

/// Returns the lines of an event: time, interface and text, wrapped.
fn lines(app: &App, event: &EventInfo, width: u16) -> Vec<Line<'static>> {
    let theme = &app.theme;
    let name = match event.interface.as_str() {
        "" => theme.glyphs.none,
        name => name,
    };
    let time = when::clock(event.time, app.now, &app.zone);
    let mut first = vec![
        span(theme, Role::Dim, format!(" {time:>8}  ")),
        span(theme, Role::Title, format!("{name:<7} ")),
    ];
    let indent = total_width(&first);
    let spans = words::of(app, event);
    let [text] = spans.as_slice() else {
        first.extend(spans);
        return vec![Line::from(first)];
    };
    let parts = wrap(&text.content, width.saturating_sub(indent));
    let mut parts = parts.into_iter().map(|part| Span::styled(part, text.style));
    first.extend(parts.next());
    let blanks = " ".repeat(usize::from(indent));
    let rest = parts.map(|part| Line::from(vec![Span::raw(blanks.clone()), part]));
    std::iter::once(Line::from(first)).chain(rest).collect()
}
