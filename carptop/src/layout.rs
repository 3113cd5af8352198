//! Areas of the screen, from its size and the open panel.

use ratatui::layout::{Position, Rect};

/// From this width on, events and details stand side by side.
const SIDE_BY_SIDE_FROM: u16 = 110;

/// Lines of the table that are not rows: its border and the heads of its columns.
const TABLE_FRAME: u16 = 3;

/// Most lines of the lower part of the overview.
const MAX_LOWER: u16 = 24;

/// Contents of the lower part of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Panel {
    /// The last events beside the selected interface.
    #[default]
    Overview,
    /// The selected interface in full.
    Details,
    /// All events.
    Events,
}

/// Areas of one screen; an area that is not shown is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) header: Rect,
    pub(crate) table: Rect,
    pub(crate) events: Rect,
    pub(crate) details: Rect,
    pub(crate) footer: Rect,
}

impl Layout {
    /// Returns the layout of a screen of this size with `troubles` lines of troubles and, if
    /// possible, room for `rows`.
    pub(crate) fn new(width: u16, height: u16, panel: Panel, troubles: usize, rows: usize) -> Self {
        let more = u16::try_from(troubles)
            .unwrap_or(u16::MAX)
            .saturating_sub(1);
        let header = match height {
            0..=11 => 1,
            12..=29 => 3,
            _ => 3 + more.min(height / 12),
        };
        let footer = height.saturating_sub(1);
        let main = Rect {
            x: 0,
            y: header,
            width,
            height: footer.saturating_sub(header),
        };
        let layout = Self {
            header: Rect::new(0, 0, width, header.min(height)),
            footer: Rect::new(0, footer, width, height.min(1)),
            ..Self::default()
        };
        let spare = u16::try_from(rows + usize::from(TABLE_FRAME)).unwrap_or(u16::MAX);
        let spare = main.height.saturating_sub(spare);
        let lower = match panel {
            Panel::Overview if main.height < 12 => 0,
            Panel::Overview => (main.height / 3).max(spare).clamp(5, MAX_LOWER),
            Panel::Details => (main.height * 3 / 5).max(main.height.min(8)).max(spare),
            Panel::Events => main.height,
        };
        let table = Rect {
            height: main.height - lower,
            ..main
        };
        let lower = Rect {
            y: table.bottom(),
            height: lower,
            ..main
        };
        let left = match panel {
            Panel::Events => width,
            Panel::Overview if width >= SIDE_BY_SIDE_FROM => width / 2,
            Panel::Overview => width,
            Panel::Details if width >= SIDE_BY_SIDE_FROM => width * 2 / 5,
            Panel::Details => 0,
        };
        Self {
            table,
            events: Rect {
                width: left,
                ..lower
            },
            details: Rect {
                x: left,
                width: width - left,
                ..lower
            },
            ..layout
        }
    }

    /// Returns the number of rows that the table shows.
    pub(crate) fn rows(&self) -> usize {
        usize::from(self.table.height.saturating_sub(TABLE_FRAME))
    }

    /// Returns the row of the table at a position, counted from the first row shown.
    pub(crate) fn row_at(&self, position: Position) -> Option<usize> {
        let first = self.table.y + 2;
        let is_inside = self.table.contains(position) && position.y >= first;
        (is_inside && position.y + 1 < self.table.bottom()).then(|| usize::from(position.y - first))
    }

    /// Returns whether a position is on the heads of the columns.
    pub(crate) fn is_heads(&self, position: Position) -> bool {
        self.table.contains(position) && position.y == self.table.y + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_cover_the_screen_at_every_size() {
        for (width, height) in [(1, 1), (20, 5), (80, 24), (120, 40), (200, 60), (300, 100)] {
            for panel in [Panel::Overview, Panel::Details, Panel::Events] {
                let layout = Layout::new(width, height, panel, 3, 9);
                let Layout {
                    header,
                    table,
                    events,
                    details,
                    footer,
                } = layout;
                let lower = events.area() + details.area();
                let area = header.area() + table.area() + lower + footer.area();
                assert!(
                    area >= u32::from(width) * u32::from(height),
                    "{width}x{height} {layout:?}"
                );
                assert!(footer.bottom() <= height && footer.right() <= width);
            }
        }
    }

    #[test]
    fn position_is_mapped_to_heads_and_rows() {
        let layout = Layout::new(80, 24, Panel::Overview, 0, 99);
        let top = layout.table.y;
        assert_eq!(layout.row_at(Position::new(5, top + 1)), None);
        assert!(layout.is_heads(Position::new(5, top + 1)));
        assert_eq!(layout.row_at(Position::new(5, top + 2)), Some(0));
        assert_eq!(
            layout.row_at(Position::new(5, layout.table.bottom() - 1)),
            None
        );
    }
}
