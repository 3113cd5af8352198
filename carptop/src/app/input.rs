//! Actions of keys: in the table, in a question, and in a line that is entered.

use carp_dbus::{Setting, ifconfig};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::command::{self, Command, without_passwords};
use super::{
    App, Editor, Effect, FORCED_STATE_TIME, Forced, Mode, Prompt, Question, Request, question,
};
use crate::keys::{self, Action};
use crate::layout::Panel;
use crate::model::{Interface, Model};
use crate::sort::Sort;

/// Number of kept lines of the prompt.
const KEPT_LINES: usize = 50;

impl App {
    /// Applies a key.
    pub(super) fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        let binding = keys::find(key);
        let action = binding.map(|binding| binding.action);
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && matches!(action, Some(Action::Redraw | Action::Suspend)) {
            return self.perform(action);
        }
        let key = match (action, &self.mode) {
            (Some(Action::Quit), Mode::Browse | Mode::Help) if control => {
                return self.perform(action);
            }
            // Ctrl-C leaves a line or a question, as in a shell.
            (Some(Action::Quit), _) if control => KeyEvent::from(KeyCode::Esc),
            _ => key,
        };
        match std::mem::take(&mut self.mode) {
            Mode::Browse => {
                if binding.is_some_and(|binding| binding.is_change)
                    && let Some(why) = self.read_only()
                {
                    self.show_message(why, false);
                    return Vec::new();
                }
                self.perform(action)
            }
            Mode::Help => {
                match action {
                    Some(Action::Up | Action::ScrollUp | Action::PageUp) => {
                        self.scroll = self.scroll.saturating_sub(1);
                        self.mode = Mode::Help;
                    }
                    Some(Action::Down | Action::ScrollDown | Action::PageDown) => {
                        self.scroll = (self.scroll + 1).min(keys::KEYS.len());
                        self.mode = Mode::Help;
                    }
                    _ => self.scroll = 0,
                }
                Vec::new()
            }
            Mode::Question(question) => {
                if key.code == KeyCode::Char('y') || key.code == KeyCode::Char('Y') {
                    self.show_message(format!("{} ...", question.text.trim_end_matches('?')), true);
                    self.forced = forced(&question.request, self.now);
                    return vec![Effect::Request(question.request)];
                }
                self.show_message("nothing changed".to_owned(), true);
                Vec::new()
            }
            Mode::Filter(editor, before) => {
                self.edit_filter(key, editor, before);
                Vec::new()
            }
            Mode::Prompt(prompt) => self.edit_line(key, prompt),
        }
    }

    /// Performs the action of a key.
    fn perform(&mut self, action: Option<Action>) -> Vec<Effect> {
        let page = self.layout().rows().max(2) - 1;
        let Some(action) = action else {
            return Vec::new();
        };
        match action {
            Action::Up => self.step(-1),
            Action::Down => self.step(1),
            Action::PageUp => self.step(isize::try_from(page).unwrap_or(1).saturating_neg()),
            Action::PageDown => self.step(isize::try_from(page).unwrap_or(1)),
            Action::First => self.step(isize::MIN),
            Action::Last => self.step(isize::MAX),
            Action::NextTrouble => self.next_trouble(),
            Action::Details => self.toggle(Panel::Details),
            Action::Events => self.toggle(Panel::Events),
            Action::ScrollUp => self.scroll_up(),
            Action::ScrollDown => self.scroll_down(),
            Action::Filter => {
                let before = self.view.filter.clone();
                self.mode = Mode::Filter(Editor::new(&before), before);
            }
            Action::Sort => {
                self.view.sort = next(&self.sort_keys(), self.view.sort);
                self.rebuild();
            }
            Action::Reverse => {
                self.view.reverse = !self.view.reverse;
                self.rebuild();
            }
            Action::Group => {
                self.view.grouped = !self.view.grouped;
                self.keep_sort_visible();
                self.rebuild();
            }
            Action::RaiseInterface => self.ask(|interface, _| question::set_up(interface, true)),
            Action::LowerInterface => self.ask(|interface, _| question::set_up(interface, false)),
            Action::ForceMaster => self.ask(|interface, _| question::force(interface, "MASTER")),
            Action::ForceBackup => self.ask(|interface, _| question::force(interface, "BACKUP")),
            Action::Preempt => match question::toggle_preempt(&self.model) {
                Ok(question) => self.mode = Mode::Question(question),
                Err(why) => self.show_message(why, false),
            },
            Action::Command => self.mode = Mode::Prompt(Prompt::default()),
            Action::Help => {
                self.scroll = 0;
                self.mode = Mode::Help;
            }
            Action::Close => {
                if self.panel != Panel::Overview {
                    self.toggle(self.panel);
                } else if !self.view.filter.is_empty() {
                    self.view.filter.clear();
                    self.rebuild();
                }
            }
            Action::Redraw => return vec![Effect::Redraw],
            Action::Suspend => return vec![Effect::Suspend],
            Action::Quit => return vec![Effect::Quit],
        }
        Vec::new()
    }

    /// Applies a key to the filter.
    fn edit_filter(&mut self, key: KeyEvent, mut editor: Editor, before: String) {
        if key.code == KeyCode::Enter {
            return;
        }
        if key.code == KeyCode::Esc {
            self.view.filter = before;
        } else {
            editor.key(key);
            self.view.filter = editor.text();
            self.mode = Mode::Filter(editor, before);
        }
        self.rebuild();
    }

    /// Applies a key to the line at the prompt.
    fn edit_line(&mut self, key: KeyEvent, mut prompt: Prompt) -> Vec<Effect> {
        match (key.code, prompt.editor.text().is_empty()) {
            (KeyCode::Enter, _) => return self.enter(&prompt.editor.text()),
            (KeyCode::Esc, _) | (KeyCode::Backspace, true) => return Vec::new(),
            (KeyCode::Tab, _) => self.complete(&mut prompt),
            (KeyCode::Up, _) => self.recall(&mut prompt, 1),
            (KeyCode::Down, _) => self.recall(&mut prompt, -1),
            _ => {
                if prompt.editor.key(key) && !prompt.candidates.is_empty() {
                    prompt.candidates = command::candidates(prompt.editor.before(), &self.model);
                }
            }
        }
        self.mode = Mode::Prompt(prompt);
        Vec::new()
    }

    /// Runs a line of the prompt.
    fn enter(&mut self, line: &str) -> Vec<Effect> {
        // A line with a password is not kept.
        if without_passwords(line) == line && self.lines.front().is_none_or(|last| last != line) {
            self.lines.push_front(line.to_owned());
            self.lines.truncate(KEPT_LINES);
        }
        match command::parse(line, &self.model) {
            Ok(Command::Question(question)) => self.mode = Mode::Question(question),
            Ok(Command::Show(name)) => {
                self.selected = Some(name);
                self.panel = Panel::Details;
                self.scroll_to_selected();
            }
            Ok(Command::Message(text)) => self.show_message(text, true),
            Ok(Command::Quit) => return vec![Effect::Quit],
            Err(why) if why.is_empty() => {}
            Err(why) => self.show_message(why, false),
        }
        Vec::new()
    }

    /// Completes the last word before the cursor.
    fn complete(&self, prompt: &mut Prompt) {
        let before = prompt.editor.before().to_owned();
        prompt.candidates = command::candidates(&before, &self.model);
        let start = before.rfind(' ').map_or(0, |blank| blank + 1);
        let mut common = command::common_prefix(&prompt.candidates);
        if prompt.candidates.len() == 1 && !common.ends_with('=') {
            common.push(' ');
            prompt.candidates.clear();
        }
        if !common.is_empty() {
            let kept = before.get(..start).unwrap_or_default();
            prompt.editor.set_before(format!("{kept}{common}"));
        }
    }

    /// Recalls an older or newer line.
    fn recall(&self, prompt: &mut Prompt, step: isize) {
        let recalled = match prompt.recalled {
            None if step > 0 => Some(0),
            None => None,
            Some(at) => at.checked_add_signed(step),
        };
        let line = recalled.map(|at| self.lines.get(at));
        match line {
            Some(Some(line)) => prompt.editor = Editor::new(line),
            Some(None) => return,
            None => prompt.editor = Editor::default(),
        }
        prompt.recalled = recalled;
        prompt.candidates.clear();
    }

    /// Asks about the selected interface.
    fn ask(&mut self, build: impl FnOnce(&Interface, &Model) -> Result<Question, String>) {
        let question = match self.interface() {
            Some(interface) => build(interface, &self.model),
            None => Err("no interface selected".to_owned()),
        };
        match question {
            Ok(question) => self.mode = Mode::Question(question),
            Err(why) => self.show_message(why, false),
        }
    }

    /// Opens a panel, or closes it if it is open.
    pub(super) fn toggle(&mut self, panel: Panel) {
        self.panel = if self.panel == panel {
            Panel::Overview
        } else {
            panel
        };
        self.scroll = 0;
        self.scroll_to_selected();
    }
}

/// Returns the sort key after `sort`, after the last one the first.
fn next(keys: &[Sort], sort: Sort) -> Sort {
    let mut after = keys.iter().cycle().skip_while(|other| **other != sort);
    let count = keys.len();
    if keys.contains(&sort) && count > 1 {
        return after.nth(1).copied().unwrap_or_default();
    }
    keys.first().copied().unwrap_or_default()
}

/// Returns the state that `request` forces.
fn forced(request: &Request, now: u64) -> Option<Forced> {
    let Request::Configure(name, changes) = request else {
        return None;
    };
    let state = changes.settings.iter().find_map(|change| {
        if let ifconfig::Change::Set(Setting::State(state)) = change {
            Some(state.clone())
        } else {
            None
        }
    })?;
    Some(Forced {
        interface: name.clone(),
        state,
        until: now + FORCED_STATE_TIME,
    })
}
