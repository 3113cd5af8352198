//! Screen as a function of the state: one file per widget.
//!
//! **Invariant:** drawing neither waits, nor reads a clock, nor changes the state.

mod details;
mod events;
mod footer;
mod header;
mod help;
mod paint;
mod popup;
mod table;
mod timeline;
mod words;

use ratatui::Frame;
use ratatui::text::Line;

use crate::app::{App, Mode};
use paint::put;

/// Least size of a screen: columns and rows. A smaller screen shows an error only.
const MIN_SIZE: (u16, u16) = (40, 8);

/// Draws the whole screen.
///
/// ```text
/// header   counts, troubles, last change
/// table    a row for each interface, under its physical interface
/// events   | details of the selected interface
/// footer   keys, or a message, a question, a line that is entered
/// ```
pub(crate) fn draw(app: &App, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    if area.width < MIN_SIZE.0 || area.height < MIN_SIZE.1 {
        let text = format!(
            "{}x{} is too small: {}x{} needed",
            area.width, area.height, MIN_SIZE.0, MIN_SIZE.1
        );
        put(&app.theme, buffer, area, 0, 0, &Line::raw(text));
        return;
    }
    let layout = app.layout();
    table::draw(app, layout.table, buffer);
    events::draw(app, layout.events, buffer);
    details::draw(app, layout.details, buffer);
    if app.stale_since().is_some() {
        paint::dim(
            buffer,
            layout.table.union(layout.events).union(layout.details),
            &app.theme,
        );
    }
    header::draw(app, layout.header, buffer);
    let cursor = footer::draw(app, layout.footer, buffer);
    match &app.mode {
        Mode::Help => help::draw(app, area, buffer),
        Mode::Question(question) => popup::question(app, question, layout.footer, buffer),
        Mode::Prompt(prompt) => popup::candidates(app, prompt, layout.footer, buffer),
        Mode::Browse | Mode::Filter(..) => {}
    }
    if let Some(cursor) = cursor {
        frame.set_cursor_position(cursor);
    }
}
