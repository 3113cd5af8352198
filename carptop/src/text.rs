//! Pieces of text: styled spans, their widths, cutting and wrapping.

use ratatui::text::Span;

use crate::theme::{Role, Theme};

/// Returns text in the style of `role`.
pub(crate) fn span(theme: &Theme, role: Role, text: impl Into<String>) -> Span<'static> {
    Span::styled(text.into(), theme.style(role))
}

/// Returns the sum of the widths of `spans`.
pub(crate) fn total_width(spans: &[Span<'_>]) -> u16 {
    u16::try_from(spans.iter().map(Span::width).sum::<usize>()).unwrap_or(u16::MAX)
}

/// Returns `text` in at most `width` columns; a mark ends text that is cut.
pub(crate) fn cut(theme: &Theme, text: &str, width: u16) -> String {
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

/// Breaks `text` at blanks into lines of at most `width` columns.
pub(crate) fn wrap(text: &str, width: u16) -> Vec<String> {
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
