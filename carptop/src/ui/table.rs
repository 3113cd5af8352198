//! The table of interfaces, under their physical interfaces.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::columns::{self, Placed};
use super::{boxed, put, span, under};
use crate::app::{App, Group, Link, Row};
use crate::picture::Host;
use crate::theme::Role;

/// How long a row that changed its state is marked, in microseconds.
const MARKED: u64 = 3_000_000;

/// Draws the table.
pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let inner = boxed(&app.theme, area, title(app), buffer);
    let places = columns::placed(app, inner.width);
    for place in &places {
        let head = Line::from(place.head(&app.theme, &app.choice));
        put(&app.theme, buffer, inner, place.x, 0, &head);
    }
    let rows = Rect {
        y: inner.y + 1,
        height: inner.height.saturating_sub(1),
        ..inner
    };
    for (row, y) in app.visible().iter().zip(0..rows.height) {
        let place = Rect {
            y: rows.y + y,
            height: 1,
            ..rows
        };
        match row {
            Row::Group(group) => draw_group(app, group, place, buffer),
            Row::Host(name) => {
                if let Some(host) = app.picture.hosts.get(name) {
                    draw_host(app, host, &places, place, buffer);
                }
            }
        }
    }
    if app.rows.is_empty() {
        put(&app.theme, buffer, rows, 2, 1, &nothing(app));
    }
}

fn title(app: &App) -> Line<'static> {
    let theme = &app.theme;
    let all = app.picture.hosts.len();
    let shown = app.rows.iter().filter(|row| row.host().is_some()).count();
    let mut spans = vec![span(theme, Role::Title, " interfaces ")];
    if app.choice.filter.is_empty() {
        spans.push(span(theme, Role::Dim, format!("{all} ")));
    } else {
        let text = format!("{shown} of {all} with {} ", app.choice.filter);
        spans.push(span(theme, Role::Warning, text));
    }
    let order = if app.choice.reverse { ", reversed" } else { "" };
    spans.push(span(
        theme,
        Role::Dim,
        format!("by {}{order} ", columns::name(app.choice.sort)),
    ));
    let hidden = app.rows.len().saturating_sub(app.layout().rows());
    if hidden > 0 {
        let at = app.top + 1;
        let last = (app.top + app.layout().rows()).min(app.rows.len());
        spans.push(span(
            theme,
            Role::Dim,
            format!("rows {at}-{last} of {} ", app.rows.len()),
        ));
    }
    Line::from(spans)
}

fn nothing(app: &App) -> Line<'static> {
    let text = if app.link == Link::Connecting {
        "looking for carpd ..."
    } else if !app.has_picture() {
        "carptop shows carp interfaces as soon as carpd runs"
    } else if !app.choice.filter.is_empty() {
        "no interface has all these words; Esc clears the filter"
    } else if matches!(app.link, Link::Live) {
        "no carp interface yet: `:` and carp0 create vhid 1 pass ... 192.0.2.1/24"
    } else {
        ""
    };
    Line::from(span(&app.theme, Role::Dim, text))
}

/// `eth0 ─ 10.1.0.2 ─ 2 MASTER, 1 BACKUP`
fn draw_group(app: &App, group: &Group, area: Rect, buffer: &mut Buffer) {
    let theme = &app.theme;
    let line = theme.glyphs.line;
    let name = match group.device.as_str() {
        "" => "no physical interface",
        device => device,
    };
    let mut spans = vec![
        span(theme, Role::Border, line),
        span(theme, Role::Title, format!(" {name} ")),
    ];
    if !group.backing.is_empty() {
        spans.push(span(
            theme,
            Role::Dim,
            format!("{} ", group.backing.join(" ")),
        ));
    }
    let counts = group.states.iter().zip(["MASTER", "BACKUP", "INIT"]);
    let counts: Vec<String> = counts
        .filter(|(count, _)| **count > 0)
        .map(|(count, state)| format!("{count} {state}"))
        .collect();
    spans.push(span(theme, Role::Dim, format!(" {} ", counts.join(", "))));
    let suppression = app.picture.suppressions.iter();
    let lost = suppression
        .into_iter()
        .find(|cause| cause.who == group.device);
    if let Some(cause) = lost {
        let since = crate::when::clock(cause.since, app.now, &app.zone);
        spans.push(span(
            theme,
            Role::Warning,
            format!(" ! {} since {since} ", cause.why),
        ));
    }
    let rest = area.width.saturating_sub(super::width(&spans));
    spans.push(span(theme, Role::Border, line.repeat(usize::from(rest))));
    put(&app.theme, buffer, area, 0, 0, &Line::from(spans));
}

fn draw_host(app: &App, host: &Host, places: &[Placed], area: Rect, buffer: &mut Buffer) {
    let theme = &app.theme;
    let selected = app.selected.as_deref() == Some(host.info.name.as_str());
    let pointer = if selected { theme.glyphs.pointer } else { " " };
    let worst = crate::trouble::of(host, &app.picture, app.now).next();
    let mark = match worst {
        Some(trouble) if trouble.is_alarm() => span(theme, Role::Alarm, "!"),
        Some(_) => span(theme, Role::Warning, "!"),
        None => Span::raw(" "),
    };
    put(
        &app.theme,
        buffer,
        area,
        0,
        0,
        &Line::from(vec![Span::raw(pointer), mark]),
    );
    for place in places {
        let cell = Rect {
            x: area.x + place.x.min(area.width),
            width: place.width.min(area.width.saturating_sub(place.x)),
            ..area
        };
        put(
            &app.theme,
            buffer,
            cell,
            0,
            0,
            &Line::from(place.cell(app, host)),
        );
    }
    let changed = host.changed > 0 && app.now.saturating_sub(host.changed) < MARKED;
    if changed {
        under(buffer, area, theme.style(Role::Changed));
    }
    if selected {
        under(buffer, area, theme.style(Role::Selected));
    }
}
