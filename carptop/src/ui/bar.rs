//! A bar that empties: what is left of the time a backup waits.

use ratatui::text::Span;

use super::span;
use crate::app::App;
use crate::picture::Host;
use crate::theme::Role;
use crate::when;

/// The columns of the time behind the bar, with the blank before it.
const TIME: u16 = 6;

/// The bar and the time since the last advertisement, in `width` columns.
pub(super) fn of(app: &App, host: &Host, width: u16) -> Vec<Span<'static>> {
    let glyphs = app.theme.glyphs;
    let Some(last) = host.last_advertisement() else {
        return vec![span(&app.theme, Role::Dim, glyphs.none)];
    };
    // Of a picture of the past the time stands still.
    let now = app.stale().unwrap_or(app.now);
    let age = now.saturating_sub(last);
    let total = host.info.master_down_time;
    let cells = u64::from(width.saturating_sub(TIME));
    let left = total.saturating_sub(age);
    let full = (left * cells).div_ceil(total.max(1)).min(cells);
    let role = if left == 0 {
        Role::Alarm
    } else if left * 3 < total {
        Role::Warning
    } else {
        Role::Bar
    };
    let repeat = |glyph: &str, count: u64| glyph.repeat(usize::try_from(count).unwrap_or(0));
    vec![
        span(&app.theme, role, repeat(glyphs.bar, full)),
        span(&app.theme, Role::Border, repeat(glyphs.rest, cells - full)),
        span(
            &app.theme,
            Role::Text,
            format!(" {:>5}", when::seconds(age)),
        ),
    ]
}

/// Advertisements in each of the last stretches of time, in `width` columns.
pub(super) fn spark(app: &App, host: &Host, width: u16) -> String {
    let width = usize::from(width);
    let counts: Vec<u16> = host
        .history
        .complete_stretches()
        .rev()
        .take(width)
        .collect();
    // What is usual is half as high as can be: more and less are seen alike.
    let mut sorted = counts.clone();
    sorted.sort_unstable();
    let usual = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    let most = usize::from(usual.max(1)) * 2;
    let glyphs = &app.theme.glyphs.spark;
    let mut line = " ".repeat(width - counts.len().min(width));
    for count in counts.into_iter().rev() {
        // What is there at all is seen.
        let height = (usize::from(count) * 8).div_ceil(most).min(8);
        line.push_str(glyphs.get(height).unwrap_or(&" "));
    }
    line
}
