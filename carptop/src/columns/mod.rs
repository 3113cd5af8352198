//! Columns of the table: titles, sort keys, widths and cells. The width of the screen decides which
//! columns are shown.

mod bar;
mod cells;
mod context;

use ratatui::text::Span;

pub(crate) use cells::labelled_state;
pub(crate) use context::Context;

use crate::model::{Interface, Model};
use crate::sort::Sort;
use crate::text::{cut, span, total_width};
use crate::theme::{Role, Theme};

/// Width of the marks before the first column: the pointer and the trouble mark.
pub(crate) const MARKS_WIDTH: u16 = 3;

/// From this width of the table on, two blanks separate columns.
const WIDE_GAP_FROM: u16 = 100;

/// Column of the table.
struct Column {
    title: &'static str,
    shown: Shown,
    /// Sort key that a click on the head selects.
    sort: Option<Sort>,
    /// Least and greatest width.
    widths: (u16, u16),
    /// Columns with the greatest rank are left out first.
    rank: u8,
    is_right: bool,
    cell: fn(&Context<'_>, &Interface, u16) -> Vec<Span<'static>>,
}

/// Condition for a column to be shown.
#[derive(Clone, Copy)]
enum Shown {
    Always,
    /// Without groups: a group's row names the physical interface.
    Ungrouped,
    /// If an interface has a description.
    Described,
}

/// All columns, from left to right.
const COLUMNS: [Column; 12] = [
    Column {
        title: "NAME",
        shown: Shown::Always,
        sort: Some(Sort::Name),
        widths: (8, 8),
        rank: 0,
        is_right: false,
        cell: cells::name,
    },
    Column {
        title: "STATE",
        shown: Shown::Always,
        sort: Some(Sort::State),
        widths: (8, 8),
        rank: 0,
        is_right: false,
        cell: cells::state,
    },
    Column {
        title: "VHID",
        shown: Shown::Always,
        sort: Some(Sort::Vhid),
        widths: (4, 4),
        rank: 1,
        is_right: true,
        cell: cells::vhid,
    },
    Column {
        title: "ADDRESSES",
        shown: Shown::Always,
        sort: Some(Sort::Address),
        widths: (18, 44),
        rank: 2,
        is_right: false,
        cell: cells::addresses,
    },
    Column {
        title: "CARPDEV",
        shown: Shown::Ungrouped,
        sort: Some(Sort::Device),
        widths: (7, 15),
        rank: 6,
        is_right: false,
        cell: cells::carpdev,
    },
    Column {
        title: "BASE/SKEW",
        shown: Shown::Always,
        sort: Some(Sort::Priority),
        widths: (9, 10),
        rank: 7,
        is_right: false,
        cell: cells::priority,
    },
    Column {
        title: "MASTER",
        shown: Shown::Always,
        sort: Some(Sort::Master),
        widths: (15, 30),
        rank: 3,
        is_right: false,
        cell: cells::master,
    },
    Column {
        title: "LAST HEARD/SENT",
        shown: Shown::Always,
        sort: Some(Sort::Heard),
        widths: (16, 26),
        rank: 4,
        is_right: false,
        cell: cells::heard,
    },
    Column {
        title: "ADV/S",
        shown: Shown::Always,
        sort: Some(Sort::Rate),
        widths: (13, 25),
        rank: 9,
        is_right: false,
        cell: cells::rate,
    },
    Column {
        title: "BAD",
        shown: Shown::Always,
        sort: Some(Sort::Bad),
        widths: (5, 7),
        rank: 5,
        is_right: true,
        cell: cells::bad,
    },
    Column {
        title: "AGE",
        shown: Shown::Always,
        sort: Some(Sort::Since),
        widths: (4, 7),
        rank: 8,
        is_right: true,
        cell: cells::age,
    },
    Column {
        title: "DESCRIPTION",
        shown: Shown::Described,
        sort: None,
        widths: (12, 60),
        rank: 10,
        is_right: false,
        cell: cells::description,
    },
];

/// Column with its position.
pub(crate) struct Placed {
    column: &'static Column,
    /// Distance from the left edge of the table.
    pub(crate) x: u16,
    pub(crate) width: u16,
}

impl Placed {
    /// Returns the head; its colour shows whether the table is sorted by this column.
    pub(crate) fn head(&self, theme: &Theme, sort: Sort) -> Vec<Span<'static>> {
        let role = if self.column.sort == Some(sort) {
            Role::Key
        } else {
            Role::Dim
        };
        let title = cut(theme, self.column.title, self.width);
        self.aligned(vec![span(theme, role, title)])
    }

    /// Returns the cell of `interface`.
    pub(crate) fn cell(&self, context: &Context<'_>, interface: &Interface) -> Vec<Span<'static>> {
        self.aligned((self.column.cell)(context, interface, self.width))
    }

    /// Returns the sort key of this column.
    pub(crate) fn sort(&self) -> Option<Sort> {
        self.column.sort
    }

    fn aligned(&self, mut spans: Vec<Span<'static>>) -> Vec<Span<'static>> {
        let blanks = self.width.saturating_sub(total_width(&spans));
        if self.column.is_right && blanks > 0 {
            spans.insert(0, Span::raw(" ".repeat(usize::from(blanks))));
        }
        spans
    }
}

/// Places the columns of `model` that fit into `width`, as wide as possible.
pub(crate) fn place(model: &Model, is_grouped: bool, width: u16) -> Vec<Placed> {
    let gap = if width < WIDE_GAP_FROM { 1 } else { 2 };
    let is_described = model
        .interfaces
        .values()
        .any(|interface| !interface.info.description.is_empty());
    let is_shown = |column: &&Column| match column.shown {
        Shown::Always => true,
        Shown::Ungrouped => !is_grouped,
        Shown::Described => is_described,
    };
    let mut ranked: Vec<&'static Column> = COLUMNS.iter().filter(is_shown).collect();
    ranked.sort_by_key(|column| column.rank);
    let mut spare = width.saturating_sub(MARKS_WIDTH);
    let mut greatest_rank = 0;
    for column in ranked {
        let (least, _) = column.widths;
        let Some(rest) = spare.checked_sub(least + gap) else {
            break;
        };
        spare = rest;
        greatest_rank = column.rank;
    }
    let chosen: Vec<&Column> = COLUMNS
        .iter()
        .filter(is_shown)
        .filter(|column| column.rank <= greatest_rank)
        .collect();
    let growing = chosen
        .iter()
        .filter(|column| column.widths.1 > column.widths.0)
        .count();
    let each = spare / u16::try_from(growing).unwrap_or(u16::MAX).max(1);
    let mut x = MARKS_WIDTH;
    let places = chosen.into_iter().map(|column| {
        let (least, greatest) = column.widths;
        let more = each.min(greatest - least).min(spare);
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

/// Distributes the spare width among the columns that can grow, from the left.
fn widen(places: &mut [Placed], mut spare: u16) {
    let mut shift = 0;
    for place in places {
        let more = (place.column.widths.1 - place.width).min(spare);
        place.x += shift;
        place.width += more;
        spare -= more;
        shift += more;
    }
}

/// Returns the name of a sort key: the title of its column in lower case.
pub(crate) fn sort_name(sort: Sort) -> String {
    let column = COLUMNS.iter().find(|column| column.sort == Some(sort));
    column.map_or_else(String::new, |column| column.title.to_lowercase())
}
