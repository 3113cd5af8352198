//! The keys: one table from which what they do, the help and the footer all follow.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    NextTrouble,
    Details,
    Events,
    ScrollUp,
    ScrollDown,
    Filter,
    Sort,
    Reverse,
    Group,
    RaiseInterface,
    LowerInterface,
    ForceMaster,
    ForceBackup,
    Preempt,
    Command,
    Help,
    Close,
    Redraw,
    Suspend,
    Quit,
}

/// One row: the keys that do the same.
#[derive(Debug)]
pub struct Binding {
    /// The keys, without modifiers but for control.
    keys: &'static [(KeyCode, bool)],
    pub(crate) action: Action,
    /// The keys in the help.
    pub shown: &'static str,
    /// One line in the help.
    pub help: &'static str,
    /// The word in the footer, after the key; empty if it is not shown there.
    pub(crate) hint: &'static str,
    /// Whether it changes something, which only root may.
    pub(crate) changes: bool,
}

const fn plain(c: char) -> (KeyCode, bool) {
    (KeyCode::Char(c), false)
}

const fn control(c: char) -> (KeyCode, bool) {
    (KeyCode::Char(c), true)
}

/// A key that shows something.
const fn shows(
    keys: &'static [(KeyCode, bool)],
    action: Action,
    shown: &'static str,
    hint: &'static str,
    help: &'static str,
) -> Binding {
    Binding {
        keys,
        action,
        shown,
        help,
        hint,
        changes: false,
    }
}

/// A key that changes something.
const fn changes(
    keys: &'static [(KeyCode, bool)],
    action: Action,
    shown: &'static str,
    hint: &'static str,
    help: &'static str,
) -> Binding {
    Binding {
        keys,
        action,
        shown,
        help,
        hint,
        changes: true,
    }
}

/// Every key, in the order of the help.
pub const KEYS: &[Binding] = &[
    shows(
        &[(KeyCode::Up, false), plain('k')],
        Action::Up,
        "Up k",
        "",
        "Select the interface above.",
    ),
    shows(
        &[(KeyCode::Down, false), plain('j')],
        Action::Down,
        "Down j",
        "",
        "Select the interface below.",
    ),
    shows(
        &[(KeyCode::PageUp, false), control('b')],
        Action::PageUp,
        "PageUp Ctrl-B",
        "",
        "One page up.",
    ),
    shows(
        &[(KeyCode::PageDown, false), control('f')],
        Action::PageDown,
        "PageDown Ctrl-F",
        "",
        "One page down.",
    ),
    shows(
        &[(KeyCode::Home, false), plain('0')],
        Action::First,
        "Home 0",
        "",
        "Select the first interface.",
    ),
    shows(
        &[(KeyCode::End, false), plain('G')],
        Action::Last,
        "End G",
        "",
        "Select the last interface.",
    ),
    shows(
        &[plain('!'), (KeyCode::Tab, false)],
        Action::NextTrouble,
        "! Tab",
        "trouble",
        "Select the next interface with something wrong.",
    ),
    shows(
        &[(KeyCode::Enter, false)],
        Action::Details,
        "Enter",
        "details",
        "Show the selected interface in full, or no longer.",
    ),
    shows(
        &[plain('e')],
        Action::Events,
        "e",
        "events",
        "Show all events, or no longer.",
    ),
    shows(
        &[plain('K')],
        Action::ScrollUp,
        "K",
        "",
        "Scroll details, events or help up.",
    ),
    shows(
        &[plain('J')],
        Action::ScrollDown,
        "J",
        "",
        "Scroll details, events or help down.",
    ),
    shows(
        &[plain('/')],
        Action::Filter,
        "/",
        "filter",
        "Show what has all words; -word excludes, ! is trouble.",
    ),
    shows(
        &[plain('s')],
        Action::Sort,
        "s",
        "sort",
        "Sort by the next column.",
    ),
    shows(
        &[plain('S')],
        Action::Reverse,
        "S",
        "",
        "Reverse the order.",
    ),
    shows(
        &[plain('g')],
        Action::Group,
        "g",
        "group",
        "Group by physical interface, or not.",
    ),
    changes(
        &[plain('u')],
        Action::RaiseInterface,
        "u",
        "up",
        "Bring the selected interface up.",
    ),
    changes(
        &[plain('d')],
        Action::LowerInterface,
        "d",
        "down",
        "Bring it down: hand over, and take no part.",
    ),
    changes(
        &[plain('m')],
        Action::ForceMaster,
        "m",
        "master",
        "Force it to be MASTER.",
    ),
    changes(
        &[plain('b')],
        Action::ForceBackup,
        "b",
        "backup",
        "Force it to be BACKUP.",
    ),
    changes(
        &[plain('p')],
        Action::Preempt,
        "p",
        "preempt",
        "Turn net.inet.carp.preempt on or off.",
    ),
    changes(
        &[plain(':')],
        Action::Command,
        ":",
        "command",
        "Type a line as for carpctl; Tab completes.",
    ),
    shows(
        &[plain('?'), (KeyCode::F(1), false), plain('h')],
        Action::Help,
        "? F1 h",
        "help",
        "Show this help, or no longer.",
    ),
    shows(
        &[(KeyCode::Esc, false)],
        Action::Close,
        "Esc",
        "",
        "Close what is open; then clear the filter.",
    ),
    shows(
        &[control('l')],
        Action::Redraw,
        "Ctrl-L",
        "",
        "Draw the screen anew.",
    ),
    shows(
        &[control('z')],
        Action::Suspend,
        "Ctrl-Z",
        "",
        "Suspend carptop.",
    ),
    shows(
        &[plain('q'), control('c')],
        Action::Quit,
        "q Ctrl-C",
        "quit",
        "Quit.",
    ),
];

/// The row of a key.
pub(crate) fn find(key: KeyEvent) -> Option<&'static Binding> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if key.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    KEYS.iter()
        .find(|binding| binding.keys.contains(&(key.code, control)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_stands_in_two_rows() {
        let mut all: Vec<_> = KEYS.iter().flat_map(|row| row.keys).collect();
        let count = all.len();
        all.sort_by_key(|key| format!("{key:?}"));
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn a_key_is_found_with_its_modifiers_alone() {
        let key = |code, modifiers| find(KeyEvent::new(code, modifiers)).map(|row| row.action);
        assert_eq!(
            key(KeyCode::Char('q'), KeyModifiers::NONE),
            Some(Action::Quit)
        );
        assert_eq!(
            key(KeyCode::Char('G'), KeyModifiers::SHIFT),
            Some(Action::Last)
        );
        assert_eq!(
            key(KeyCode::Char('b'), KeyModifiers::CONTROL),
            Some(Action::PageUp)
        );
        assert_eq!(
            key(KeyCode::Char('b'), KeyModifiers::NONE),
            Some(Action::ForceBackup)
        );
        assert_eq!(key(KeyCode::Char('b'), KeyModifiers::ALT), None);
    }

    #[test]
    fn every_row_has_a_sentence() {
        for row in KEYS {
            assert!(
                row.help.ends_with('.') && row.help.len() < 60,
                "{}",
                row.shown
            );
        }
    }
}
