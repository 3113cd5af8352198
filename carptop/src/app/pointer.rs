//! Actions of the mouse.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::{App, Mode, Row};
use crate::columns::Placed;
use crate::layout::Panel;
use crate::sort::Sort;

impl App {
    /// Applies a mouse event.
    pub(super) fn mouse(&mut self, event: MouseEvent) {
        if !matches!(self.mode, Mode::Browse) {
            return;
        }
        let position = Position::new(event.column, event.row);
        let layout = self.layout();
        match (event.kind, layout.table.contains(position)) {
            (MouseEventKind::Down(MouseButton::Left), _) => self.click(position),
            (MouseEventKind::ScrollUp, true) => self.step(-1),
            (MouseEventKind::ScrollDown, true) => self.step(1),
            (MouseEventKind::ScrollUp, false) => self.scroll_up(),
            (MouseEventKind::ScrollDown, false) => self.scroll_down(),
            _ => {}
        }
    }

    /// Returns the sort key of the column at `x` of the screen.
    fn sort_at(&self, x: u16) -> Option<Sort> {
        let x = x.checked_sub(self.layout().table.x + 1)?;
        let columns = self.columns();
        let at = |column: &&Placed| (column.x..column.x + column.width).contains(&x);
        columns.iter().find(at)?.sort()
    }

    fn click(&mut self, position: Position) {
        let layout = self.layout();
        if layout.is_heads(position) {
            if let Some(sort) = self.sort_at(position.x) {
                self.view.reverse = self.view.sort == sort && !self.view.reverse;
                self.view.sort = sort;
                self.rebuild();
            }
        } else if let Some(row) = layout.row_at(position) {
            let name = self.rows.get(self.top + row).and_then(Row::interface);
            let Some(name) = name.map(str::to_owned) else {
                return;
            };
            if self.selected.as_ref() == Some(&name) {
                self.toggle(Panel::Details);
            } else {
                self.selected = Some(name);
                self.scroll = 0;
            }
        }
    }
}
