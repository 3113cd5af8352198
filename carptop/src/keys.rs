//! Keys: the table of their actions, help lines and hints.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Action of a key.
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

/// Keys with the same action.
#[derive(Debug)]
pub struct Binding {
    /// Codes of the keys; `true` with the control key.
    keys: &'static [(KeyCode, bool)],
    pub(crate) action: Action,
    /// Keys as the help names them.
    pub shown: &'static str,
    /// Line of the help.
    pub help: &'static str,
    /// Word after the key in the footer; empty if the footer does not show it.
    pub(crate) hint: &'static str,
    /// The action changes carpd, which requires root or an authorisation.
    pub(crate) is_change: bool,
}

const fn plain(c: char) -> (KeyCode, bool) {
    (KeyCode::Char(c), false)
}

const fn control(c: char) -> (KeyCode, bool) {
    (KeyCode::Char(c), true)
}

/// Returns a row of keys that show something.
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
        is_change: false,
    }
}

/// Returns a row of keys that change something.
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
        is_change: true,
    }
}

/// All keys, in the order of the help.
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
        "Move one page up.",
    ),
    shows(
        &[(KeyCode::PageDown, false), control('f')],
        Action::PageDown,
        "PageDown Ctrl-F",
        "",
        "Move one page down.",
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
        "Select the next interface in trouble.",
    ),
    shows(
        &[(KeyCode::Enter, false)],
        Action::Details,
        "Enter",
        "details",
        "Toggle the details of the selected interface.",
    ),
    shows(
        &[plain('e')],
        Action::Events,
        "e",
        "events",
        "Toggle the list of all events.",
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
        "Filter by words; -word excludes, ! selects trouble.",
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
        "Toggle groups by physical interface.",
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
        "Bring it down: hand over and leave the group.",
    ),
    changes(
        &[plain('m')],
        Action::ForceMaster,
        "m",
        "master",
        "Force it to MASTER.",
    ),
    changes(
        &[plain('b')],
        Action::ForceBackup,
        "b",
        "backup",
        "Force it to BACKUP.",
    ),
    changes(
        &[plain('p')],
        Action::Preempt,
        "p",
        "preempt",
        "Toggle net.inet.carp.preempt.",
    ),
    changes(
        &[plain(':')],
        Action::Command,
        ":",
        "command",
        "Enter a carpctl command line; Tab completes.",
    ),
    shows(
        &[plain('?'), (KeyCode::F(1), false), plain('h')],
        Action::Help,
        "? F1 h",
        "help",
        "Toggle this help.",
    ),
    shows(
        &[(KeyCode::Esc, false)],
        Action::Close,
        "Esc",
        "",
        "Close details or events, else clear the filter.",
    ),
    shows(
        &[control('l')],
        Action::Redraw,
        "Ctrl-L",
        "",
        "Redraw the screen.",
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

/// Returns the row of a key.
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
    fn key_stands_in_one_row_only() {
        let mut all: Vec<_> = KEYS.iter().flat_map(|row| row.keys).collect();
        let count = all.len();
        all.sort_by_key(|key| format!("{key:?}"));
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn key_is_found_only_with_its_modifiers() {
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
    fn every_row_has_a_short_sentence_of_help() {
        for row in KEYS {
            assert!(
                row.help.ends_with('.') && row.help.len() < 60,
                "{}",
                row.shown
            );
        }
    }
}
