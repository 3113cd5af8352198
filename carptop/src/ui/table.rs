//! Table of interfaces, grouped by physical interface.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::paint::{boxed, put};
use crate::app::{App, Connection, Group, Row};
use crate::columns::{self, Placed};
use crate::model::Interface;
use crate::text::{span, total_width};
use crate::theme::Role;
use crate::when;

/// Time for which a row is marked after a change of state, in microseconds.
const CHANGE_MARK_TIME: u64 = 3_000_000;

/// Draws the table.
pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let inner = boxed(&app.theme, area, title(app), buffer);
    let columns = app.columns();
    for place in &columns {
        let head = Line::from(place.head(&app.theme, app.view.sort));
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
            Row::Interface(name) => {
                if let Some(interface) = app.model.interfaces.get(name) {
                    draw_interface(app, interface, &columns, place, buffer);
                }
            }
        }
    }
    if app.rows.is_empty() {
        put(&app.theme, buffer, rows, 2, 1, &empty_text(app));
    }
}

/// Returns the title: number of interfaces, filter and order.
fn title(app: &App) -> Line<'static> {
    let theme = &app.theme;
    let all = app.model.interfaces.len();
    let shown = app
        .rows
        .iter()
        .filter(|row| row.interface().is_some())
        .count();
    let mut spans = vec![span(theme, Role::Title, " interfaces ")];
    if app.view.filter.is_empty() {
        spans.push(span(theme, Role::Dim, format!("{all} ")));
    } else {
        let text = format!("{shown} of {all} with {} ", app.view.filter);
        spans.push(span(theme, Role::Warning, text));
    }
    let order = if app.view.reverse { ", reversed" } else { "" };
    spans.push(span(
        theme,
        Role::Dim,
        format!("by {}{order} ", columns::sort_name(app.view.sort)),
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

/// Returns the text of a table without rows.
fn empty_text(app: &App) -> Line<'static> {
    let text = if app.connection == Connection::Connecting {
        "looking for carpd ..."
    } else if !app.was_connected() {
        "carptop shows carp interfaces as soon as carpd runs"
    } else if !app.view.filter.is_empty() {
        "no interface matches; Esc clears the filter"
    } else if matches!(app.connection, Connection::Live) {
        "no carp interface yet: `:` and carp0 create vhid 1 pass ... 192.0.2.1/24"
    } else {
        ""
    };
    Line::from(span(&app.theme, Role::Dim, text))
}

/// Draws the row of a group: `eth0 ─ 10.1.0.2 ─ 2 MASTER, 1 BACKUP`.
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
    let suppression = app.model.suppressions.iter();
    let lost = suppression
        .into_iter()
        .find(|cause| cause.who == group.device);
    if let Some(cause) = lost {
        let since = when::clock(cause.since, app.now, &app.zone);
        spans.push(span(
            theme,
            Role::Warning,
            format!(" ! {} since {since} ", cause.why),
        ));
    }
    let rest = area.width.saturating_sub(total_width(&spans));
    spans.push(span(theme, Role::Border, line.repeat(usize::from(rest))));
    put(&app.theme, buffer, area, 0, 0, &Line::from(spans));
}

/// Draws the row of an interface.
fn draw_interface(
    app: &App,
    interface: &Interface,
    columns: &[Placed],
    area: Rect,
    buffer: &mut Buffer,
) {
    let theme = &app.theme;
    let is_selected = app.selected.as_deref() == Some(interface.info.name.as_str());
    let pointer = if is_selected {
        theme.glyphs.pointer
    } else {
        " "
    };
    let worst = crate::trouble::of(interface, &app.model, app.now).next();
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
    let context = app.context();
    for place in columns {
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
            &Line::from(place.cell(&context, interface)),
        );
    }
    let is_changed = interface.change_seen > 0
        && app.now.saturating_sub(interface.change_seen) < CHANGE_MARK_TIME;
    if is_changed {
        buffer.set_style(area, theme.style(Role::Changed));
    }
    if is_selected {
        buffer.set_style(area, theme.style(Role::Selected));
    }
}
