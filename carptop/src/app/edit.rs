//! Editor for one line of text.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Line with a cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Editor {
    before: String,
    after: String,
}

impl Editor {
    /// Returns a line with the cursor at its end.
    pub(crate) fn new(text: &str) -> Self {
        Self {
            before: text.to_owned(),
            after: String::new(),
        }
    }

    /// Returns the whole line.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.before, self.after)
    }

    /// Returns the text before the cursor.
    pub(crate) fn before(&self) -> &str {
        &self.before
    }

    /// Replaces the text before the cursor.
    pub(crate) fn set_before(&mut self, text: String) {
        self.before = text;
    }

    /// Applies a key as readline(3) does. Returns whether the line or the cursor changed.
    pub(crate) fn key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match (key.code, control) {
            (KeyCode::Char('a'), true) | (KeyCode::Home, _) => {
                self.after = self.text();
                self.before.clear();
            }
            (KeyCode::Char('e'), true) | (KeyCode::End, _) => {
                self.before = self.text();
                self.after.clear();
            }
            (KeyCode::Char('u'), true) => self.before.clear(),
            (KeyCode::Char('k'), true) => self.after.clear(),
            (KeyCode::Char('w'), true) => {
                let kept = self.before.trim_end();
                let end = kept.rfind(' ').map_or(0, |blank| blank + 1);
                self.before.truncate(end);
            }
            (KeyCode::Char(_), true) => return false,
            (KeyCode::Char(c), false) if !c.is_control() => self.before.push(c),
            (KeyCode::Backspace, _) => {
                self.before.pop();
            }
            (KeyCode::Delete, _) => self.after = self.after.chars().skip(1).collect(),
            (KeyCode::Left, _) => {
                if let Some(c) = self.before.pop() {
                    self.after.insert(0, c);
                }
            }
            (KeyCode::Right, _) => {
                let mut rest = self.after.chars();
                self.before.extend(rest.next());
                self.after = rest.collect();
            }
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[(KeyCode, KeyModifiers)], text: &str) -> Editor {
        let mut editor = Editor::new(text);
        for (code, modifiers) in keys {
            editor.key(KeyEvent::new(*code, *modifiers));
        }
        editor
    }

    #[test]
    fn line_is_edited_with_the_keys_of_readline() {
        let (none, control) = (KeyModifiers::NONE, KeyModifiers::CONTROL);
        let editor = typed(
            &[
                (KeyCode::Left, none),
                (KeyCode::Char('x'), none),
                (KeyCode::Delete, none),
            ],
            "carp0",
        );
        assert_eq!(
            (editor.text().as_str(), editor.before()),
            ("carpx", "carpx")
        );
        let word = typed(&[(KeyCode::Char('w'), control)], "carp0 state mas");
        assert_eq!(word.text(), "carp0 state ");
        let start = typed(
            &[(KeyCode::Char('a'), control), (KeyCode::Char('k'), control)],
            "carp0",
        );
        assert_eq!(start.text(), "");
    }
}
