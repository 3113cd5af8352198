//! Stories: messages in, and the screen that follows.
#![expect(clippy::expect_used, reason = "a test may fail")]

mod changes;
#[path = "../common/mod.rs"]
mod common;
mod daemon;
mod layout;
mod shown;
mod trouble;

use std::collections::HashMap;

use carp_dbus::Change;
use carptop::{Effect, Msg};
use common::Stage;
use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

const SIZE: (u16, u16) = (120, 40);

fn change(stage: &mut Stage, change: Change) -> Vec<Effect> {
    stage.send(Msg::Change(Box::new(change)))
}

fn changed_state(name: &str, state: &str) -> Change {
    Change::Properties {
        name: name.to_owned(),
        changed: HashMap::from([(
            "State".to_owned(),
            zbus::Variant::from(state.to_owned())
                .try_into_owned()
                .expect("a string"),
        )]),
    }
}

/// Returns the first line of the screen with `word`, or an empty line.
fn line(stage: &mut Stage, word: &str) -> String {
    let screen = stage.screen();
    screen
        .lines()
        .find(|line| line.contains(word))
        .unwrap_or_default()
        .to_owned()
}

fn click(stage: &mut Stage, column: u16, row: u16) {
    stage.send(Msg::Mouse(MouseEvent {
        kind: MouseEventKind::Down(MouseButton::Left),
        column,
        row,
        modifiers: KeyModifiers::NONE,
    }));
}

/// Returns the position of `word` on the screen.
fn place(stage: &mut Stage, word: &str) -> (u16, u16) {
    let screen = stage.screen();
    let found = screen.lines().enumerate().find_map(|(y, line)| {
        let byte = line.find(word)?;
        Some((line[..byte].chars().count(), y))
    });
    let (x, y) = found.expect("it is on the screen");
    (
        u16::try_from(x).expect("small"),
        u16::try_from(y).expect("small"),
    )
}
