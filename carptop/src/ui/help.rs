//! Help, generated from the table of keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Clear, Widget};

use super::paint::{boxed, lines_below, put};
use crate::app::App;
use crate::keys::KEYS;
use crate::text::span;
use crate::theme::Role;

/// Width of the box.
const WIDTH: u16 = 90;

/// Meanings of the signs in the table.
const SIGNS: [(&str, &str); 6] = [
    (
        "M B I",
        "MASTER carries the addresses, BACKUP waits, INIT does not run.",
    ),
    ("!", "Trouble; the details name it and its remedy."),
    (
        "bar",
        "Time until a BACKUP takes over unless it hears its master;",
    ),
    ("", "for a MASTER, the same time of its backups."),
    (
        "1/0>240",
        "Configured advskew, and the advskew that is advertised.",
    ),
    (
        "BAD",
        "Refused packets; with ! if there were any in the last minute.",
    ),
];

/// Draws the help over everything.
pub(super) fn draw(app: &App, screen: Rect, buffer: &mut Buffer) {
    let theme = &app.theme;
    let mut lines: Vec<Line<'static>> = Vec::new();
    let row = |left: &str, right: &str| {
        Line::from(vec![
            span(theme, Role::Key, format!(" {left:<16}")),
            span(theme, Role::Text, right),
        ])
    };
    let refused = app.read_only();
    for binding in KEYS {
        let mut line = row(binding.shown, binding.help);
        if binding.is_change && refused.is_some() {
            line.push_span(span(theme, Role::Dim, " (root)"));
        }
        lines.push(line);
    }
    if let Some(why) = refused {
        lines.push(Line::from(span(theme, Role::Warning, format!(" {why}"))));
    }
    lines.push(Line::default());
    lines.extend(SIGNS.iter().map(|(sign, text)| row(sign, text)));
    let height = u16::try_from(lines.len())
        .unwrap_or(u16::MAX)
        .saturating_add(2);
    let (width, height) = (WIDTH.min(screen.width), height.min(screen.height));
    let area = Rect {
        x: (screen.width - width) / 2,
        y: (screen.height - height) / 2,
        width,
        height,
    };
    Clear.render(area, buffer);
    let hidden = lines
        .len()
        .saturating_sub(usize::from(height.saturating_sub(2)));
    let first = app.scroll.min(hidden);
    let title = if hidden > 0 {
        " keys: arrows scroll, any other key closes "
    } else {
        " keys: any key closes "
    };
    let title = Line::from(span(theme, Role::Title, title));
    let inner = boxed(theme, area, title, buffer);
    lines_below(theme, area, hidden - first, buffer);
    for (line, y) in lines.iter().skip(first).zip(0..inner.height) {
        put(theme, buffer, inner, 0, y, line);
    }
}
