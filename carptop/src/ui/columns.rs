//! The columns of the table: one table of them, chosen by width.

use ratatui::text::Span;

use super::{bar, cut, span, width};
use crate::app::{App, Choice, Sort, since};
use crate::history::bad_packets;
use crate::picture::Host;
use crate::theme::{Role, Theme};
use crate::trouble::Trouble;
use crate::when;

/// Columns before the first one: the pointer and the mark of trouble.
pub(crate) const MARKS: u16 = 3;

/// One column.
pub(crate) struct Column {
    title: &'static str,
    /// What clicking on its head sorts by.
    sort: Option<Sort>,
    /// The least and the most columns of the screen.
    width: (u16, u16),
    /// Which ones go first where there is no room: the greatest.
    rank: u8,
    right: bool,
    cell: fn(&App, &Host, u16) -> Vec<Span<'static>>,
}

/// Every column, from left to right.
const COLUMNS: [Column; 12] = [
    Column {
        title: "NAME",
        sort: Some(Sort::Name),
        width: (8, 8),
        rank: 0,
        right: false,
        cell: |app, host, width| {
            vec![span(
                &app.theme,
                Role::Title,
                cut(&app.theme, &host.info.name, width),
            )]
        },
    },
    Column {
        title: "STATE",
        sort: Some(Sort::State),
        width: (8, 8),
        rank: 0,
        right: false,
        cell: |app, host, _| vec![state(&app.theme, &host.info.state)],
    },
    Column {
        title: "VHID",
        sort: Some(Sort::Vhid),
        width: (4, 4),
        rank: 1,
        right: true,
        cell: |app, host, _| {
            let text = match host.info.vhid {
                0 => app.theme.glyphs.none.to_owned(),
                vhid => vhid.to_string(),
            };
            vec![span(&app.theme, Role::Text, text)]
        },
    },
    Column {
        title: "ADDRESSES",
        sort: Some(Sort::Address),
        width: (18, 44),
        rank: 2,
        right: false,
        cell: addresses,
    },
    Column {
        title: "CARPDEV",
        sort: Some(Sort::Device),
        width: (7, 15),
        rank: 6,
        right: false,
        cell: |app, host, width| {
            let device = match host.info.carpdev.as_str() {
                "" => app.theme.glyphs.none,
                device => device,
            };
            vec![span(&app.theme, Role::Text, cut(&app.theme, device, width))]
        },
    },
    Column {
        title: "BASE/SKEW",
        sort: Some(Sort::Priority),
        width: (9, 10),
        rank: 7,
        right: false,
        cell: priority,
    },
    Column {
        title: "MASTER",
        sort: Some(Sort::Master),
        width: (15, 30),
        rank: 3,
        right: false,
        cell: master,
    },
    Column {
        title: "LAST HEARD/SENT",
        sort: Some(Sort::Heard),
        width: (16, 26),
        rank: 4,
        right: false,
        cell: heard,
    },
    Column {
        title: "ADV/S",
        sort: Some(Sort::Rate),
        width: (13, 25),
        rank: 9,
        right: false,
        cell: rate,
    },
    Column {
        title: "BAD",
        sort: Some(Sort::Bad),
        width: (5, 7),
        rank: 5,
        right: true,
        cell: bad,
    },
    Column {
        title: "AGE",
        sort: Some(Sort::Since),
        width: (4, 7),
        rank: 8,
        right: true,
        cell: |app, host, _| {
            let text = match since(host) {
                0 => app.theme.glyphs.none.to_owned(),
                time => when::short(app.now.saturating_sub(time)),
            };
            vec![span(&app.theme, Role::Text, text)]
        },
    },
    Column {
        title: "DESCRIPTION",
        sort: None,
        width: (12, 60),
        rank: 10,
        right: false,
        cell: |app, host, width| {
            vec![span(
                &app.theme,
                Role::Dim,
                cut(&app.theme, &host.info.description, width),
            )]
        },
    },
];

/// A column with its place.
pub(crate) struct Placed {
    column: &'static Column,
    /// Columns of the screen from the left of the table.
    pub(crate) x: u16,
    pub(crate) width: u16,
}

impl Placed {
    /// The head, with a mark if the table is sorted by it.
    pub(crate) fn head(&self, theme: &Theme, choice: &Choice) -> Vec<Span<'static>> {
        let role = if self.column.sort == Some(choice.sort) {
            Role::Key
        } else {
            Role::Dim
        };
        self.aligned(vec![span(
            theme,
            role,
            cut(theme, self.column.title, self.width),
        )])
    }

    /// What it shows of `host`.
    pub(crate) fn cell(&self, app: &App, host: &Host) -> Vec<Span<'static>> {
        self.aligned((self.column.cell)(app, host, self.width))
    }

    fn aligned(&self, mut spans: Vec<Span<'static>>) -> Vec<Span<'static>> {
        let blanks = self.width.saturating_sub(width(&spans));
        if self.column.right && blanks > 0 {
            spans.insert(0, Span::raw(" ".repeat(usize::from(blanks))));
        }
        spans
    }
}

/// The columns that fit into `width`, as wide as there is room.
pub(crate) fn placed(app: &App, width: u16) -> Vec<Placed> {
    let gap = if width < 100 { 1 } else { 2 };
    let room = width.saturating_sub(MARKS);
    let used = app
        .picture
        .hosts
        .values()
        .any(|host| !host.info.description.is_empty());
    let wanted = |column: &&Column| match column.title {
        // Where there are groups their rows say it.
        "CARPDEV" => !app.choice.grouped,
        "DESCRIPTION" => used,
        _ => true,
    };
    let mut ranked: Vec<&'static Column> = COLUMNS.iter().filter(wanted).collect();
    ranked.sort_by_key(|column| column.rank);
    let mut left = room;
    let mut most_rank = 0;
    for column in ranked {
        let (least, _) = column.width;
        let Some(rest) = left.checked_sub(least + gap) else {
            break;
        };
        left = rest;
        most_rank = column.rank;
    }
    let chosen: Vec<&Column> = COLUMNS
        .iter()
        .filter(wanted)
        .filter(|column| column.rank <= most_rank)
        .collect();
    let growing = chosen
        .iter()
        .filter(|column| column.width.1 > column.width.0)
        .count();
    let each = left / u16::try_from(growing).unwrap_or(u16::MAX).max(1);
    let mut x = MARKS;
    let mut spare = left;
    let places = chosen.into_iter().map(|column| {
        let (least, most) = column.width;
        let more = each.min(most - least).min(spare);
        spare -= more;
        let place = Placed {
            column,
            x,
            width: least + more,
        };
        x += place.width + gap;
        place
    });
    let mut places: Vec<Placed> = places.collect();
    widen(&mut places, spare);
    places
}

/// Gives what is still left over to those that can use it, from the left.
fn widen(places: &mut [Placed], mut spare: u16) {
    let mut shift = 0;
    for place in places {
        let more = (place.column.width.1 - place.width).min(spare);
        place.x += shift;
        place.width += more;
        spare -= more;
        shift += more;
    }
}

/// What the table can be sorted by, in the order of the columns: what is shown.
pub(crate) fn orders(app: &App) -> Vec<Sort> {
    placed(app, app.layout().table.width.saturating_sub(2))
        .iter()
        .filter_map(|place| place.column.sort)
        .collect()
}

/// The order's name: its column's, in small letters.
pub(super) fn name(sort: Sort) -> String {
    let column = COLUMNS.iter().find(|column| column.sort == Some(sort));
    column.map_or_else(String::new, |column| column.title.to_lowercase())
}

/// What the head at this column of the screen sorts by.
pub(crate) fn sort_at(app: &App, x: u16) -> Option<Sort> {
    let table = app.layout().table;
    let x = x.checked_sub(table.x + 1)?;
    let places = placed(app, table.width.saturating_sub(2));
    let found = places
        .iter()
        .find(|place| (place.x..place.x + place.width).contains(&x))?;
    found.column.sort
}

/// A letter and a word: `M MASTER`.
pub(super) fn state(theme: &Theme, state: &str) -> Span<'static> {
    let letter = match state {
        "MASTER" => "M",
        "BACKUP" => "B",
        "INIT" => "I",
        _ => "?",
    };
    span(theme, Theme::state(state), format!("{letter} {state}"))
}

fn addresses(app: &App, host: &Host, width: u16) -> Vec<Span<'static>> {
    let theme = &app.theme;
    let (first, count) = host.addresses();
    let Some(first) = first else {
        return vec![span(theme, Role::Dim, theme.glyphs.none)];
    };
    let mut text = first.to_owned();
    let all = host
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

fn priority(app: &App, host: &Host, _: u16) -> Vec<Span<'static>> {
    let info = &host.info;
    let text = format!("{}/{}", info.advbase, info.advskew);
    if info.effective_advskew == info.advskew {
        return vec![span(&app.theme, Role::Text, text)];
    }
    let text = format!("{text}{}{}", app.theme.glyphs.arrow, info.effective_advskew);
    vec![span(&app.theme, Role::Warning, text)]
}

fn master(app: &App, host: &Host, width: u16) -> Vec<Span<'static>> {
    let theme = &app.theme;
    if host.info.state == "MASTER" {
        return vec![span(theme, Role::Master, "this host")];
    }
    match &host.info.master {
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
fn heard(app: &App, host: &Host, width: u16) -> Vec<Span<'static>> {
    let theme = &app.theme;
    if host.info.state != "INIT" {
        if host.info.state == "BACKUP" && host.info.master.is_none() {
            return vec![span(theme, Role::Warning, "! nobody yet")];
        }
        return bar::of(app, host, width);
    }
    if !host.info.up {
        return vec![span(theme, Role::Dim, "down")];
    }
    let text = Trouble::short(host, &app.picture);
    vec![span(
        theme,
        Role::Warning,
        cut(theme, &format!("! {text}"), width),
    )]
}

fn rate(app: &App, host: &Host, width: u16) -> Vec<Span<'static>> {
    let Some(rate) = host.history.rate() else {
        return vec![span(&app.theme, Role::Dim, app.theme.glyphs.none)];
    };
    let spark = bar::spark(app, host, width.saturating_sub(5));
    vec![
        span(&app.theme, Role::Backup, spark),
        span(&app.theme, Role::Text, format!(" {rate:>4.1}")),
    ]
}

fn bad(app: &App, host: &Host, _: u16) -> Vec<Span<'static>> {
    let count = bad_packets(&host.info);
    if Trouble::BadPackets.is_present(host, &app.picture, app.now) {
        return vec![span(&app.theme, Role::Warning, format!("{count} !"))];
    }
    let role = if count == 0 { Role::Dim } else { Role::Text };
    vec![span(&app.theme, role, format!("{count}  "))]
}
