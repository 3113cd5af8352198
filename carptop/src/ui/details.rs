//! Details of the selected interface.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::paint::{boxed, lines_below, put};
use super::timeline;
use crate::app::App;
use crate::columns;
use crate::layout::Panel;
use crate::model::Interface;
use crate::text::{span, wrap};
use crate::theme::Role;
use crate::{trouble, when};

/// Width of the labels at the left of each line.
const LABEL_WIDTH: u16 = 11;

/// Draws the details of the selected interface.
pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let theme = &app.theme;
    let Some(interface) = app.interface() else {
        boxed(theme, area, Line::from(" no interface selected "), buffer);
        return;
    };
    let description = match interface.info.description.as_str() {
        "" => String::new(),
        text => format!("{text} "),
    };
    let title = Line::from(vec![
        span(theme, Role::Title, format!(" {} ", interface.info.name)),
        span(theme, Role::Dim, description),
    ]);
    let inner = boxed(theme, area, title, buffer);
    let full = app.panel == Panel::Details;
    let lines = lines(app, interface, inner.width, full);
    let hidden = lines.len().saturating_sub(usize::from(inner.height));
    let first = if full { app.scroll.min(hidden) } else { 0 };
    for (line, y) in lines.iter().skip(first).zip(0..inner.height) {
        put(theme, buffer, inner, 1, y, line);
    }
    if full {
        lines_below(theme, area, hidden - first, buffer);
    }
}

/// Returns all lines; with `full`, addresses and counters have lines of their own.
fn lines(app: &App, interface: &Interface, width: u16, full: bool) -> Vec<Line<'static>> {
    let theme = &app.theme;
    let text = |label: &str, text: String| wrapped(app, label, &text, width);
    let mut lines = vec![Line::from(headline(app, interface))];
    lines.extend(troubles(app, interface, width.saturating_sub(2)));
    if let Some(last) = &interface.info.last_transition {
        let time = when::clock(last.time, app.now, &app.zone);
        let reason = last.reason.replace('-', " ");
        lines.extend(text(
            "changed",
            format!("{time} from {}: {reason}", last.from),
        ));
    }
    if !interface.info.reason.is_empty() {
        lines.extend(text("reason", interface.info.reason.clone()));
    }
    for warning in &interface.info.warnings {
        lines.extend(text("warning", warning.clone()));
    }
    lines.extend(text("on", link_layer(app, interface)));
    lines.extend(text("advertises", advertises(app, interface)));
    lines.extend(text("master", master(app, interface)));
    lines.extend(addresses(app, interface, width, full));
    let room = width.saturating_sub(LABEL_WIDTH + 12);
    let (mut cells, name) = timeline::of(app, interface, room);
    cells.push(span(theme, Role::Dim, format!("  {name}")));
    lines.push(labelled(app, "timeline", cells));
    lines.extend(text("traffic", traffic(interface)));
    if full {
        lines.extend(counters(app, interface, width));
    }
    lines
}

/// Returns a text with its label, wrapped.
fn wrapped(app: &App, label: &str, text: &str, width: u16) -> Vec<Line<'static>> {
    let lines = wrap(text, width.saturating_sub(LABEL_WIDTH + 2)).into_iter();
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    lines
        .zip(labels)
        .map(|(line, label)| labelled(app, label, vec![span(&app.theme, Role::Text, line)]))
        .collect()
}

/// Returns a line with its label.
fn labelled(app: &App, label: &str, mut spans: Vec<Span<'static>>) -> Line<'static> {
    let label = format!("{label:<width$}", width = usize::from(LABEL_WIDTH));
    spans.insert(0, span(&app.theme, Role::Dim, label));
    Line::from(spans)
}

/// Returns the state and its duration: `M MASTER for 12d 3h`.
fn headline(app: &App, interface: &Interface) -> Vec<Span<'static>> {
    let theme = &app.theme;
    let mut spans = vec![columns::labelled_state(theme, &interface.info.state)];
    if interface.last_change() > 0 {
        let time = when::span(app.now.saturating_sub(interface.last_change()));
        spans.push(span(theme, Role::Text, format!(" for {time}")));
    }
    if !interface.info.up {
        spans.push(span(theme, Role::Warning, "  down"));
    }
    spans
}

/// Returns the troubles with their remedies.
fn troubles(app: &App, interface: &Interface, width: u16) -> Vec<Line<'static>> {
    let theme = &app.theme;
    let mut lines = Vec::new();
    for trouble in trouble::of(interface, &app.model, app.now) {
        let role = if trouble.is_alarm() {
            Role::Alarm
        } else {
            Role::Warning
        };
        let (found, remedy) = trouble.sentences(interface, &app.model, app.now);
        for (text, role, mark) in [(found, role, "! "), (remedy, Role::Text, "  ")] {
            for (line, first) in wrap(&text, width.saturating_sub(2))
                .into_iter()
                .zip([mark].into_iter().chain(std::iter::repeat("  ")))
            {
                lines.push(Line::from(span(theme, role, format!("{first}{line}"))));
            }
        }
    }
    lines
}

/// Returns physical interface, MAC address and MTU.
fn link_layer(app: &App, interface: &Interface) -> String {
    let info = &interface.info;
    let none = app.theme.glyphs.none;
    let or_none = |text: &str| {
        if text.is_empty() {
            none.to_owned()
        } else {
            text.to_owned()
        }
    };
    format!(
        "{}  {} ({})  mtu {}",
        or_none(&info.carpdev),
        or_none(&info.lladdr),
        info.link_layer,
        info.mtu
    )
}

/// Returns the parameters of advertisements.
fn advertises(app: &App, interface: &Interface) -> String {
    let info = &interface.info;
    let skew = if info.effective_advskew == info.advskew {
        info.advskew.to_string()
    } else {
        format!(
            "{}{}{}",
            info.advskew, app.theme.glyphs.arrow, info.effective_advskew
        )
    };
    let password = if info.has_password {
        "password set"
    } else {
        "no password"
    };
    format!(
        "vhid {}  base {}  skew {skew}  demotion {}  {password}",
        info.vhid, info.advbase, info.demotion
    )
}

/// Returns the master.
fn master(app: &App, interface: &Interface) -> String {
    let timeout = when::seconds(interface.info.master_down_time);
    let age = interface
        .last_advertisement()
        .map(|last| when::seconds(app.stale_since().unwrap_or(app.now).saturating_sub(last)));
    match (interface.info.state.as_str(), &interface.info.master, age) {
        ("MASTER", _, Some(age)) => {
            let other = interface
                .history
                .last_master
                .as_ref()
                .map_or_else(String::new, |other| {
                    format!(
                        "; previous master {} ({}/{})",
                        other.source, other.advbase, other.advskew
                    )
                });
            format!("this host, advertised {age} ago{other}")
        }
        ("BACKUP", Some(master), Some(age)) => format!(
            "{} ({}/{}), heard {age} ago; takeover after {timeout} of silence",
            master.source, master.advbase, master.advskew
        ),
        _ => app.theme.glyphs.none.to_owned(),
    }
}

/// Returns the addresses: on two lines at most, or with `full` each on its own line with its flags.
fn addresses(app: &App, interface: &Interface, width: u16, full: bool) -> Vec<Line<'static>> {
    let theme = &app.theme;
    let all = &interface.info.addresses;
    if all.is_empty() {
        return vec![labelled(
            app,
            "addresses",
            vec![span(theme, Role::Dim, theme.glyphs.none)],
        )];
    }
    let label = |at: usize| if at == 0 { "addresses" } else { "" };
    if !full {
        let text: Vec<&str> = all.iter().map(|address| address.address.as_str()).collect();
        let lines = wrap(&text.join("  "), width.saturating_sub(LABEL_WIDTH + 2));
        let rest = lines.len().saturating_sub(2);
        let mut shown: Vec<Line<'static>> = lines
            .into_iter()
            .take(2)
            .enumerate()
            .map(|(at, line)| labelled(app, label(at), vec![span(theme, Role::Text, line)]))
            .collect();
        if rest > 0
            && let Some(last) = shown.last_mut()
        {
            last.push_span(span(theme, Role::Dim, format!(" {}", theme.glyphs.more)));
        }
        return shown;
    }
    let wide = all
        .iter()
        .map(|address| address.address.len() + 4)
        .max()
        .unwrap_or(0);
    let line = |(at, address): (usize, &carp_dbus::AddressInfo)| {
        let name = format!("{}/{}", address.address, address.prefixlen);
        let has = |flag| address.flags.contains(flag);
        let active = if has('A') { "active" } else { "not active" };
        let owner = if has('O') { "  owner" } else { "" };
        let backing = match address.backing.as_str() {
            "" => "no backing address".to_owned(),
            backing => format!("by {backing}"),
        };
        let role = if has('A') { Role::Master } else { Role::Dim };
        labelled(
            app,
            label(at),
            vec![
                span(theme, Role::Text, format!("{name:<wide$}  ")),
                span(theme, role, format!("{active:<10}")),
                span(theme, Role::Dim, format!("  {backing}{owner}")),
            ],
        )
    };
    all.iter().enumerate().map(line).collect()
}

/// Returns numbers, rate and jitter of advertisements.
fn traffic(interface: &Interface) -> String {
    let count = |names: [&str; 2]| -> u64 {
        let values = names
            .iter()
            .filter_map(|name| interface.info.statistics.get(*name));
        values.sum()
    };
    let sent = count(["opackets", "opackets6"]);
    let heard = count(["ipackets", "ipackets6"]);
    let rate = interface
        .history
        .rate()
        .map_or_else(String::new, |rate| format!("  {rate:.1}/s"));
    let jitter = interface
        .history
        .jitter()
        .map_or_else(String::new, |(micros, of)| {
            let late = interface.history.late;
            format!(
                "  jitter p99 {} of {of}  late {late}",
                when::milliseconds(micros)
            )
        });
    format!("sent {sent}  heard {heard}{rate}{jitter}")
}

/// Returns all counters, in columns.
fn counters(app: &App, interface: &Interface, width: u16) -> Vec<Line<'static>> {
    let theme = &app.theme;
    let across = usize::from((width.saturating_sub(LABEL_WIDTH + 1) / 20).max(1));
    let all: Vec<(&String, &u64)> = interface.info.statistics.iter().collect();
    let chunks = all.chunks(across).enumerate();
    let line = |(at, chunk): (usize, &[(&String, &u64)])| {
        let cells = chunk.iter().map(|(name, value)| {
            let is_bad = name.starts_with("bad") || matches!(name.as_str(), "hdrops" | "onomem");
            let role = match (is_bad, value) {
                (true, 1..) => Role::Warning,
                (_, 0) => Role::Dim,
                (false, _) => Role::Text,
            };
            span(theme, role, format!("{name:<9} {value:>8}  "))
        });
        labelled(app, if at == 0 { "counters" } else { "" }, cells.collect())
    };
    chunks.map(line).collect()
}
