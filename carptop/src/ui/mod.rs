//! The screen as a function of the state: one file a widget.
//!
//! **Invariant:** drawing awaits nothing and reads no clock; [`draw`] alone changes the state, and
//! only to what the frame and the last messages make of it.

mod bar;
pub(crate) mod columns;
mod details;
mod events;
mod footer;
mod header;
mod help;
mod popup;
mod table;
mod timeline;
mod words;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Widget};

use crate::app::{App, Mode};
use crate::theme::{Role, Theme};

/// Smaller screens show nothing but that they are too small.
const LEAST: (u16, u16) = (40, 8);

/// Draws the whole screen.
///
/// ```text
/// header   counts, what is wrong, what changed last
/// table    a row for each interface, under its physical interface
/// events   | details of the selected interface
/// footer   keys, or a message, a question, a line being typed
/// ```
pub fn draw(app: &mut App, frame: &mut Frame<'_>) {
    let area = frame.area();
    app.fit(area.as_size());
    let app = &*app;
    let buffer = frame.buffer_mut();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!(
            "{}x{} is too small, {}x{} is not",
            area.width, area.height, LEAST.0, LEAST.1
        );
        put(&app.theme, buffer, area, 0, 0, &Line::raw(text));
        return;
    }
    let layout = app.layout();
    table::draw(app, layout.table, buffer);
    events::draw(app, layout.events, buffer);
    details::draw(app, layout.details, buffer);
    if app.stale().is_some() {
        grey(
            buffer,
            layout.table.union(layout.events).union(layout.details),
            &app.theme,
        );
    }
    header::draw(app, layout.header, buffer);
    let cursor = footer::draw(app, layout.footer, buffer);
    match &app.mode {
        Mode::Help => help::draw(app, area, buffer),
        Mode::Ask(ask) => popup::ask(app, ask, layout.footer, buffer),
        Mode::Prompt(prompt) => popup::candidates(app, prompt, layout.footer, buffer),
        Mode::Browse | Mode::Filter(..) => {}
    }
    if let Some(cursor) = cursor {
        frame.set_cursor_position(cursor);
    }
}

/// Writes `line` at a place of `area`, as far as it fits; a line that is cut ends with a mark.
fn put(theme: &Theme, buffer: &mut Buffer, area: Rect, x: u16, y: u16, line: &Line<'_>) {
    if x >= area.width || y >= area.height {
        return;
    }
    let room = area.width - x;
    buffer.set_line(area.x + x, area.y + y, line, room);
    let text: String = line.iter().map(|span| span.content.as_ref()).collect();
    if Span::raw(text.trim_end()).width() > usize::from(room)
        && let Some(last) = buffer.cell_mut((area.x + area.width - 1, area.y + y))
    {
        last.set_symbol(theme.glyphs.more);
    }
}

/// Text in a role.
fn span(theme: &Theme, role: Role, text: impl Into<String>) -> Span<'static> {
    Span::styled(text.into(), theme.style(role))
}

/// A box with a title, and the area within it.
fn boxed(theme: &Theme, area: Rect, title: Line<'static>, buffer: &mut Buffer) -> Rect {
    let block = Block::new()
        .borders(Borders::ALL)
        .border_set(theme.glyphs.border)
        .border_style(theme.style(Role::Border))
        .title_style(Style::new().fg(Color::Reset))
        .title(title);
    let inner = block.inner(area);
    block.render(area, buffer);
    inner
}

/// Says at the foot of a box how many lines are below.
fn more(theme: &Theme, area: Rect, below: usize, buffer: &mut Buffer) {
    if below == 0 {
        return;
    }
    let text = format!(" J: {below} more ");
    let wide = u16::try_from(text.len()).unwrap_or(0);
    let x = area.width.saturating_sub(wide + 2);
    let last = area.height.saturating_sub(1);
    let line = Line::from(span(theme, Role::Dim, text));
    put(theme, buffer, area, x, last, &line);
}

/// Lets a picture look like one of the past.
fn grey(buffer: &mut Buffer, area: Rect, theme: &Theme) {
    let dim = theme.style(Role::Dim);
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            if let Some(cell) = buffer.cell_mut((x, y)) {
                cell.modifier.remove(Modifier::BOLD);
                cell.fg = Color::Reset;
                cell.bg = Color::Reset;
            }
        }
    }
    buffer.set_style(area, dim);
}

/// The widths of all spans together.
fn width(spans: &[Span<'_>]) -> u16 {
    u16::try_from(spans.iter().map(Span::width).sum::<usize>()).unwrap_or(u16::MAX)
}

/// `text` in no more than `width` columns; what is cut is marked.
fn cut(theme: &Theme, text: &str, width: u16) -> String {
    let width = usize::from(width);
    if Span::raw(text).width() <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        short.push(c);
        if Span::raw(short.as_str()).width() >= width {
            short.pop();
            break;
        }
    }
    short.push_str(theme.glyphs.more);
    short
}

/// `text` in lines of no more than `width` columns, broken at blanks.
fn wrap(text: &str, width: u16) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if let Some(line) = lines.last_mut() {
            let wide = Span::raw(line.as_str()).width() + 1 + Span::raw(word).width();
            if line.is_empty() {
                line.push_str(word);
            } else if wide <= usize::from(width) {
                line.push(' ');
                line.push_str(word);
            } else {
                lines.push(word.to_owned());
            }
        }
    }
    lines
}

/// A style that lies under whatever has one of its own.
fn under(buffer: &mut Buffer, area: Rect, style: Style) {
    buffer.set_style(area, style);
}
