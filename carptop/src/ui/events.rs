//! The events, the newest first.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::{boxed, put, span, words};
use crate::app::App;
use crate::layout::Panel;
use crate::theme::Role;
use crate::when;

/// Draws the events.
pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let theme = &app.theme;
    let all = app.picture.events.len();
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
    let events = app.picture.events.iter().rev().skip(first);
    for (event, y) in events.zip(0..inner.height) {
        let name = match event.interface.as_str() {
            "" => theme.glyphs.none,
            name => name,
        };
        let mut spans = vec![
            span(
                theme,
                Role::Dim,
                format!(" {:>8}  ", when::clock(event.time, app.now, &app.zone)),
            ),
            span(theme, Role::Title, format!("{name:<7} ")),
        ];
        spans.extend(words::of(app, event));
        put(buffer, inner, 0, y, &Line::from(spans));
    }
    if all == 0 {
        let text = " nothing has happened since carpd was started";
        put(
            buffer,
            inner,
            0,
            0,
            &Line::from(span(theme, Role::Dim, text)),
        );
    }
}
