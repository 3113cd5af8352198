//! Drawing of lines and boxes.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Widget};

use crate::text::span;
use crate::theme::{Role, Theme};

/// Writes `line` at a position in `area`; a mark ends a line that is cut.
pub(super) fn put(theme: &Theme, buffer: &mut Buffer, area: Rect, x: u16, y: u16, line: &Line<'_>) {
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

/// Draws a box with a title. Returns the area inside.
pub(super) fn boxed(theme: &Theme, area: Rect, title: Line<'static>, buffer: &mut Buffer) -> Rect {
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

/// Writes at the bottom of a box how many lines are below.
pub(super) fn lines_below(theme: &Theme, area: Rect, below: usize, buffer: &mut Buffer) {
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

/// Removes colours from an area, which shows that its data are old.
pub(super) fn dim(buffer: &mut Buffer, area: Rect, theme: &Theme) {
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
