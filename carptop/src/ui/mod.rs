//! The screen as a function of the state: one file a widget.
//!
//! **Invariant:** drawing awaits nothing and reads no clock; [`draw`] alone changes the state, and
//! only to what the frame and the last messages make of it.

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
pub(crate) fn draw(app: &App, frame: &mut Frame<'_>) {
    let area = frame.area();
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
        Mode::Ask(ask) => popup::ask(app, ask, layout.footer, buffer),
        Mode::Prompt(prompt) => popup::candidates(app, prompt, layout.footer, buffer),
        Mode::Browse | Mode::Filter(..) => {}
    }
    if let Some(cursor) = cursor {
        frame.set_cursor_position(cursor);
    }
}
