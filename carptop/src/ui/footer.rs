//! Last line: keys, a message, or a line that is entered.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::paint::put;
use crate::app::{App, Editor, Mode, without_passwords};
use crate::keys::KEYS;
use crate::text::{span, total_width};
use crate::theme::Role;

/// Draws the footer. Returns the position of the cursor if a line is entered.
pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    match &app.mode {
        Mode::Filter(editor, _) => return Some(entered(app, "/", editor, false, area, buffer)),
        Mode::Prompt(prompt) => {
            return Some(entered(app, ":", &prompt.editor, true, area, buffer));
        }
        Mode::Question(_) => put(&app.theme, buffer, area, 0, 0, &Line::from(answers(app))),
        Mode::Browse | Mode::Help => {
            let line = match &app.message {
                Some(message) => {
                    let role = if message.is_success {
                        Role::Good
                    } else {
                        Role::Alarm
                    };
                    Line::from(span(&app.theme, role, format!(" {} ", message.text)))
                }
                None => Line::from(hints(app, area.width)),
            };
            put(&app.theme, buffer, area, 0, 0, &line);
        }
    }
    None
}

/// Draws the line that is entered, scrolled to the cursor.
fn entered(
    app: &App,
    sign: &str,
    editor: &Editor,
    has_passwords: bool,
    area: Rect,
    buffer: &mut Buffer,
) -> Position {
    let as_seen = |text: &str| {
        if has_passwords {
            without_passwords(text)
        } else {
            text.to_owned()
        }
    };
    let before = as_seen(editor.before());
    let whole = as_seen(&editor.text());
    let place = Span::raw(before.as_str()).width() + sign.len();
    let hidden = (place + 2).saturating_sub(usize::from(area.width));
    let visible: String = whole.chars().skip(hidden).collect();
    let line = Line::from(vec![
        span(&app.theme, Role::Key, sign),
        span(&app.theme, Role::Text, visible),
    ]);
    put(&app.theme, buffer, area, 0, 0, &line);
    let x = u16::try_from(place - hidden).unwrap_or(0);
    Position::new(area.x + x.min(area.width.saturating_sub(1)), area.y)
}

/// Returns the possible answers to a question.
fn answers(app: &App) -> Vec<Span<'static>> {
    let key = |text: &str| span(&app.theme, Role::Key, text);
    let word = |text: &str| span(&app.theme, Role::Text, text);
    vec![
        key(" y"),
        word(" yes   "),
        key("any other key"),
        word(" no"),
    ]
}

/// Returns as many keys as fit, always with `?` and `q`.
fn hints(app: &App, across: u16) -> Vec<Span<'static>> {
    let theme = &app.theme;
    let mut spans = vec![
        span(theme, Role::Key, format!(" {}", theme.glyphs.updown)),
        span(theme, Role::Dim, " select"),
    ];
    let hint = |key: &str, word: &str| {
        vec![
            span(theme, Role::Key, format!("  {key}")),
            span(theme, Role::Dim, format!(" {word}")),
        ]
    };
    let (last, others): (Vec<_>, Vec<_>) = KEYS
        .iter()
        .filter(|binding| !binding.hint.is_empty())
        .filter(|binding| !binding.is_change || app.read_only().is_none())
        .map(|binding| {
            let key = binding.shown.split(' ').next().unwrap_or_default();
            (key, hint(key, binding.hint))
        })
        .partition(|(key, _)| matches!(*key, "?" | "q"));
    let reserved: u16 = last.iter().map(|(_, hint)| total_width(hint)).sum();
    for (_, hint) in others {
        if total_width(&spans) + total_width(&hint) + reserved <= across {
            spans.extend(hint);
        }
    }
    spans.extend(last.into_iter().flat_map(|(_, hint)| hint));
    spans
}
