//! Boxes above the footer: a question, or the candidates of a completion.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Clear, Widget};

use super::paint::{boxed, put};
use crate::app::{App, Prompt, Question};
use crate::text::{cut, span, wrap};
use crate::theme::Role;

/// Greatest width of a box.
const MAX_WIDTH: u16 = 90;

/// Number of candidates shown.
const MAX_SHOWN: usize = 10;

/// Draws a question.
pub(super) fn question(app: &App, question: &Question, footer: Rect, buffer: &mut Buffer) {
    let theme = &app.theme;
    let width = footer.width.min(MAX_WIDTH);
    let mut lines = wrap(&question.text, width.saturating_sub(4));
    let text_lines = lines.len();
    lines.extend(wrap(
        &format!("{}.", question.consequence),
        width.saturating_sub(4),
    ));
    let inner = above(app, footer, width, lines.len(), " y/N ", buffer);
    for ((at, line), y) in lines.into_iter().enumerate().zip(0..inner.height) {
        let role = if at < text_lines {
            Role::Question
        } else {
            Role::Text
        };
        put(
            theme,
            buffer,
            inner,
            1,
            y,
            &Line::from(span(theme, role, line)),
        );
    }
}

/// Draws the candidates for the word at the cursor.
pub(super) fn candidates(app: &App, prompt: &Prompt, footer: Rect, buffer: &mut Buffer) {
    let theme = &app.theme;
    let all = &prompt.candidates;
    if all.is_empty() {
        return;
    }
    let wide = all.iter().map(|(word, _)| word.len()).max().unwrap_or(0);
    let hidden = all.len().saturating_sub(MAX_SHOWN);
    let lines = all.len().min(MAX_SHOWN) + usize::from(hidden > 0);
    let inner = above(app, footer, footer.width.min(MAX_WIDTH), lines, "", buffer);
    for ((word, help), y) in all.iter().take(MAX_SHOWN).zip(0..inner.height) {
        let line = Line::from(vec![
            span(theme, Role::Key, format!("{word:<wide$}  ")),
            span(
                theme,
                Role::Dim,
                cut(theme, help, inner.width.saturating_sub(3)),
            ),
        ]);
        put(theme, buffer, inner, 1, y, &line);
    }
    if hidden > 0 {
        let last = inner.height.saturating_sub(1);
        let line = Line::from(span(theme, Role::Dim, format!("and {hidden} more")));
        put(theme, buffer, inner, 1, last, &line);
    }
}

/// Draws an empty box of `lines` lines directly above the footer. Returns the area inside.
fn above(
    app: &App,
    footer: Rect,
    width: u16,
    lines: usize,
    title: &'static str,
    buffer: &mut Buffer,
) -> Rect {
    let height = (u16::try_from(lines).unwrap_or(u16::MAX).saturating_add(2)).min(footer.y);
    let area = Rect {
        x: footer.x,
        y: footer.y - height,
        width,
        height,
    };
    Clear.render(area, buffer);
    let title = Line::from(span(&app.theme, Role::Question, title));
    boxed(&app.theme, area, title, buffer)
}
