//! Texts of events.

use carp_dbus::EventInfo;
use ratatui::text::Span;

use crate::app::App;
use crate::history::{reason, without_name};
use crate::text::span;
use crate::theme::{Role, Theme};

/// Returns the text of an event without time and interface: `MASTER → INIT  carrier lost`.
pub(super) fn of(app: &App, event: &EventInfo) -> Vec<Span<'static>> {
    let theme = &app.theme;
    let detail = |name: &str| event.details.get(name).map(String::as_str);
    if let ("transition", Some(from), Some(to)) =
        (event.kind.as_str(), detail("from"), detail("to"))
    {
        return vec![
            span(theme, Theme::state(from), from),
            span(theme, Role::Dim, format!(" {} ", theme.glyphs.arrow)),
            span(theme, Theme::state(to), to),
            span(theme, Role::Text, format!("  {}", reason(event))),
        ];
    }
    if let ("suppression", Some(from), Some(to)) =
        (event.kind.as_str(), detail("from"), detail("to"))
    {
        let role = if to == "0" { Role::Good } else { Role::Warning };
        let cause = detail("cause").unwrap_or_default();
        let arrow = theme.glyphs.arrow;
        let text = format!("suppression {from} {arrow} {to}  {cause}");
        return vec![span(theme, role, text)];
    }
    let role = match event.kind.as_str() {
        "sending" if detail("works") == Some("true") => Role::Good,
        "kernel-refused" | "not-running" | "sending" => Role::Alarm,
        "two-masters" | "bad-packet" | "suppression" | "clock" | "lost" => Role::Warning,
        _ => Role::Text,
    };
    vec![span(theme, role, without_name(event))]
}
