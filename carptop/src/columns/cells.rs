//! Cells of the table: a function for each column.

use ratatui::text::Span;

use super::bar;
use super::context::Context;
use crate::history::bad_packets;
use crate::model::Interface;
use crate::text::{cut, span};
use crate::theme::{Role, Theme};
use crate::trouble::Trouble;
use crate::when;

/// Returns a state as a letter and a word: `M MASTER`.
pub(crate) fn labelled_state(theme: &Theme, state: &str) -> Span<'static> {
    let letter = match state {
        "MASTER" => "M",
        "BACKUP" => "B",
        "INIT" => "I",
        _ => "?",
    };
    span(theme, Theme::state(state), format!("{letter} {state}"))
}

pub(super) fn name(context: &Context<'_>, interface: &Interface, width: u16) -> Vec<Span<'static>> {
    vec![span(
        context.theme,
        Role::Title,
        cut(context.theme, &interface.info.name, width),
    )]
}

pub(super) fn state(context: &Context<'_>, interface: &Interface, _: u16) -> Vec<Span<'static>> {
    vec![labelled_state(context.theme, &interface.info.state)]
}

pub(super) fn vhid(context: &Context<'_>, interface: &Interface, _: u16) -> Vec<Span<'static>> {
    let text = match interface.info.vhid {
        0 => context.theme.glyphs.none.to_owned(),
        vhid => vhid.to_string(),
    };
    vec![span(context.theme, Role::Text, text)]
}

pub(super) fn carpdev(
    context: &Context<'_>,
    interface: &Interface,
    width: u16,
) -> Vec<Span<'static>> {
    let device = match interface.info.carpdev.as_str() {
        "" => context.theme.glyphs.none,
        device => device,
    };
    vec![span(
        context.theme,
        Role::Text,
        cut(context.theme, device, width),
    )]
}

pub(super) fn age(context: &Context<'_>, interface: &Interface, _: u16) -> Vec<Span<'static>> {
    let text = match interface.last_change() {
        0 => context.theme.glyphs.none.to_owned(),
        time => when::short(context.now.saturating_sub(time)),
    };
    vec![span(context.theme, Role::Text, text)]
}

pub(super) fn description(
    context: &Context<'_>,
    interface: &Interface,
    width: u16,
) -> Vec<Span<'static>> {
    vec![span(
        context.theme,
        Role::Dim,
        cut(context.theme, &interface.info.description, width),
    )]
}

pub(super) fn addresses(
    context: &Context<'_>,
    interface: &Interface,
    width: u16,
) -> Vec<Span<'static>> {
    let theme = context.theme;
    let (first, count) = interface.addresses();
    let Some(first) = first else {
        return vec![span(theme, Role::Dim, theme.glyphs.none)];
    };
    let mut text = first.to_owned();
    let all = interface
        .info
        .addresses
        .iter()
        .map(|address| address.address.as_str());
    let all = all.collect::<Vec<_>>().join(" ");
    if Span::raw(all.as_str()).width() <= usize::from(width) {
        return vec![span(theme, Role::Text, all)];
    }
    let more = match count {
        0 | 1 => String::new(),
        count => format!(" +{}", count - 1),
    };
    let room = width.saturating_sub(u16::try_from(more.len()).unwrap_or(0));
    text = cut(theme, &text, room);
    vec![span(theme, Role::Text, text), span(theme, Role::Dim, more)]
}

pub(super) fn priority(context: &Context<'_>, interface: &Interface, _: u16) -> Vec<Span<'static>> {
    let info = &interface.info;
    let text = format!("{}/{}", info.advbase, info.advskew);
    if info.effective_advskew == info.advskew {
        return vec![span(context.theme, Role::Text, text)];
    }
    let text = format!(
        "{text}{}{}",
        context.theme.glyphs.arrow, info.effective_advskew
    );
    vec![span(context.theme, Role::Warning, text)]
}

pub(super) fn master(
    context: &Context<'_>,
    interface: &Interface,
    width: u16,
) -> Vec<Span<'static>> {
    let theme = context.theme;
    if interface.info.state == "MASTER" {
        return vec![span(theme, Role::Master, "this host")];
    }
    match &interface.info.master {
        Some(master) => {
            let priority = format!(" {}/{}", master.advbase, master.advskew);
            let source = cut(theme, &master.source, width);
            let room = usize::from(width) >= source.len() + priority.len();
            let priority = if room { priority } else { String::new() };
            vec![
                span(theme, Role::Text, source),
                span(theme, Role::Dim, priority),
            ]
        }
        None => vec![span(theme, Role::Dim, theme.glyphs.none)],
    }
}

/// The bar, or in its place why there is none.
pub(super) fn heard(
    context: &Context<'_>,
    interface: &Interface,
    width: u16,
) -> Vec<Span<'static>> {
    let theme = context.theme;
    if interface.info.state != "INIT" {
        if interface.info.state == "BACKUP" && interface.info.master.is_none() {
            return vec![span(theme, Role::Warning, "! none heard")];
        }
        return bar::of(context, interface, width);
    }
    if !interface.info.up {
        return vec![span(theme, Role::Dim, "down")];
    }
    let text = Trouble::short(interface, context.model);
    vec![span(
        theme,
        Role::Warning,
        cut(theme, &format!("! {text}"), width),
    )]
}

pub(super) fn rate(context: &Context<'_>, interface: &Interface, width: u16) -> Vec<Span<'static>> {
    let Some(rate) = interface.history.rate() else {
        return vec![span(context.theme, Role::Dim, context.theme.glyphs.none)];
    };
    let spark = bar::spark(context, interface, width.saturating_sub(5));
    vec![
        span(context.theme, Role::Backup, spark),
        span(context.theme, Role::Text, format!(" {rate:>4.1}")),
    ]
}

pub(super) fn bad(context: &Context<'_>, interface: &Interface, _: u16) -> Vec<Span<'static>> {
    let count = bad_packets(&interface.info);
    if Trouble::BadPackets.is_present(interface, context.model, context.now) {
        return vec![span(context.theme, Role::Warning, format!("{count} !"))];
    }
    let role = if count == 0 { Role::Dim } else { Role::Text };
    vec![span(context.theme, role, format!("{count}  "))]
}
