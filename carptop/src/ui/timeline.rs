//! Timeline of one interface: a letter for the state in each period.

use ratatui::text::Span;

use crate::app::App;
use crate::model::Interface;
use crate::text::span;
use crate::theme::{Role, Theme};

const MINUTE: u64 = 60_000_000;

/// Durations of a timeline, with their names.
const DURATIONS: [(u64, &str); 5] = [
    (10 * MINUTE, "10 min"),
    (60 * MINUTE, "1 h"),
    (6 * 60 * MINUTE, "6 h"),
    (24 * 60 * MINUTE, "24 h"),
    (7 * 24 * 60 * MINUTE, "7 d"),
];

/// Returns the timeline in `width` columns and the name of its duration: the shortest one that
/// contains all known changes.
pub(super) fn of(
    app: &App,
    interface: &Interface,
    width: u16,
) -> (Vec<Span<'static>>, &'static str) {
    let transitions = &interface.history.transitions;
    let oldest = transitions.front().map_or(app.now, |step| step.time);
    let age = app.now.saturating_sub(oldest);
    let last = DURATIONS.last().copied().unwrap_or((MINUTE, ""));
    let (whole, name) = DURATIONS
        .into_iter()
        .find(|(span, _)| age <= *span)
        .unwrap_or(last);
    let begin = app.now.saturating_sub(whole);
    let cells = u64::from(width.max(1));
    let mut spans: Vec<Span<'static>> = Vec::new();
    for cell in 0..cells {
        let start = begin + whole * cell / cells;
        let end = begin + whole * (cell + 1) / cells;
        let (letter, role) = letter(interface, start, end);
        spans.push(span(&app.theme, role, letter));
    }
    (spans, name)
}

/// Returns the letter of the state at the end of a period, or `*` after more than two changes in
/// it.
fn letter(interface: &Interface, start: u64, end: u64) -> (&'static str, Role) {
    let transitions = &interface.history.transitions;
    let within = transitions
        .iter()
        .filter(|step| step.time > start && step.time <= end);
    if within.count() > 2 {
        return ("*", Role::Warning);
    }
    let before = transitions.iter().rev().find(|step| step.time <= end);
    let state = match (before, transitions.front()) {
        (Some(step), _) => step.to.as_str(),
        (None, Some(first)) => first.from.as_str(),
        (None, None) => interface.info.state.as_str(),
    };
    let role = Theme::state(state);
    match state {
        "MASTER" => ("M", role),
        "BACKUP" => ("B", role),
        "INIT" => (".", role),
        _ => ("?", role),
    }
}
