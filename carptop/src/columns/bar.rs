//! Bar of the time until a backup takes over, and sparkline of the advertisements.

use ratatui::text::Span;

use super::context::Context;
use crate::model::Interface;
use crate::text::span;
use crate::theme::Role;
use crate::when;

/// Width of the time after the bar, with the blank before it.
const TIME_WIDTH: u16 = 6;

/// Returns the bar and the time since the last advertisement, in `width` columns.
pub(super) fn of(context: &Context<'_>, interface: &Interface, width: u16) -> Vec<Span<'static>> {
    let glyphs = context.theme.glyphs;
    let Some(last) = interface.last_advertisement() else {
        return vec![span(context.theme, Role::Dim, glyphs.none)];
    };
    let age = context.read_at.saturating_sub(last);
    let total = interface.info.master_down_time;
    let cells = u64::from(width.saturating_sub(TIME_WIDTH));
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
        span(context.theme, role, repeat(glyphs.bar, full)),
        span(
            context.theme,
            Role::Border,
            repeat(glyphs.rest, cells - full),
        ),
        span(
            context.theme,
            Role::Text,
            format!(" {:>5}", when::seconds(age)),
        ),
    ]
}

/// Returns the number of advertisements in each of the last periods as a line of `width` columns.
pub(super) fn spark(context: &Context<'_>, interface: &Interface, width: u16) -> String {
    let width = usize::from(width);
    let counts: Vec<u16> = interface
        .history
        .complete_periods()
        .rev()
        .take(width)
        .collect();
    // The median has half the height, so that more and fewer are equally visible.
    let mut sorted = counts.clone();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    let most = usize::from(median.max(1)) * 2;
    let glyphs = &context.theme.glyphs.spark;
    let mut line = " ".repeat(width - counts.len().min(width));
    for count in counts.into_iter().rev() {
        // One advertisement is visible already.
        let height = (usize::from(count) * 8).div_ceil(most).min(8);
        line.push_str(glyphs.get(height).unwrap_or(&" "));
    }
    line
}
