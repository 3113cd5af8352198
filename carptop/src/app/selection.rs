//! Selected interface, and scrolling of the table and the panels.

use super::{App, Row};
use crate::layout::Panel;

impl App {
    /// Scrolls the panel up by a line.
    pub(super) fn scroll_up(&mut self) {
        self.scroll = self.scroll.saturating_sub(1);
    }

    /// Scrolls the panel down by a line.
    pub(super) fn scroll_down(&mut self) {
        self.scroll = (self.scroll + 1).min(self.max_scroll());
    }

    /// Returns an upper bound of the lines to scroll over.
    fn max_scroll(&self) -> usize {
        match self.panel {
            Panel::Events => self.model.events.len(),
            Panel::Overview | Panel::Details => self.interface().map_or(0, |interface| {
                interface.info.addresses.len() + interface.info.statistics.len() + 40
            }),
        }
    }

    /// Selects the interface this many rows away.
    pub(super) fn step(&mut self, rows: isize) {
        let at = self.selected_row().unwrap_or(0);
        let last = self.rows.len().saturating_sub(1);
        let target = at.saturating_add_signed(rows).min(last);
        self.select(target, rows >= 0);
    }

    /// Selects the interface at row `target`, or the next one in the given direction.
    pub(super) fn select(&mut self, target: usize, forwards: bool) {
        let ahead = || {
            self.rows
                .get(target..)
                .unwrap_or_default()
                .iter()
                .find_map(Row::interface)
        };
        let behind = || {
            let before = self.rows.get(..=target).unwrap_or(&self.rows);
            before.iter().rev().find_map(Row::interface)
        };
        let found = if forwards {
            ahead().or_else(behind)
        } else {
            behind().or_else(ahead)
        };
        let found = found.map(str::to_owned);
        if found != self.selected {
            self.selected = found;
            if self.panel != Panel::Events {
                self.scroll = 0;
            }
        }
        self.scroll_to_selected();
    }

    /// Selects the next interface in trouble.
    pub(super) fn next_trouble(&mut self) {
        let at = self.selected_row().map_or(0, |row| row + 1);
        let order = (at..self.rows.len()).chain(0..at);
        let mut interfaces = order.filter_map(|row| self.rows.get(row)?.interface());
        let found = interfaces.find(|name| {
            let interface = self.model.interfaces.get(*name);
            interface.is_some_and(|interface| self.is_troubled(interface))
        });
        match found.map(str::to_owned) {
            Some(name) => {
                self.selected = Some(name);
                self.scroll = 0;
                self.scroll_to_selected();
            }
            None => self.show_message(
                "none of the interfaces shown is in trouble".to_owned(),
                true,
            ),
        }
    }

    /// Returns the row of the selected interface.
    pub(super) fn selected_row(&self) -> Option<usize> {
        let selected = self.selected.as_deref()?;
        self.rows
            .iter()
            .position(|row| row.interface() == Some(selected))
    }

    /// Scrolls the table so that it shows the selected row, and the row of its group if that is
    /// directly above.
    pub(super) fn scroll_to_selected(&mut self) {
        let rows = self.layout().rows();
        let last = self.rows.len().saturating_sub(rows);
        if let Some(at) = self.selected_row() {
            let above = at.checked_sub(1).and_then(|above| self.rows.get(above));
            let with_group = at - usize::from(above.is_some_and(|row| row.interface().is_none()));
            self.top = self.top.clamp(
                (at + 1).saturating_sub(rows),
                with_group.max((at + 1).saturating_sub(rows)),
            );
        }
        self.top = self.top.min(last);
    }
}
