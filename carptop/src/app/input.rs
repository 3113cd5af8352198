//! What keys do: in the table, in a question, and in a line that is being typed.

use carp_dbus::ifconfig;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::command::{self, Command, shown};
use super::{AT_ONCE, App, Ask, Editor, Effect, Forced, Mode, Order, Prompt, Sort, ask};
use crate::keys::{self, Act};
use crate::layout::Panel;
use crate::picture::{Host, Picture};
use crate::ui::columns;

/// How many lines of the prompt are kept.
const LINES: usize = 50;

impl App {
    pub(super) fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        let binding = keys::find(key);
        let act = binding.map(|binding| binding.act);
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && matches!(act, Some(Act::Redraw | Act::Suspend)) {
            return self.act(act);
        }
        let key = match (act, &self.mode) {
            (Some(Act::Quit), Mode::Browse | Mode::Help) if control => return self.act(act),
            // Ctrl-C leaves what is being typed or asked, as in a shell.
            (Some(Act::Quit), _) if control => KeyEvent::from(KeyCode::Esc),
            _ => key,
        };
        match std::mem::take(&mut self.mode) {
            Mode::Browse => {
                if binding.is_some_and(|binding| binding.changes)
                    && let Some(why) = self.read_only()
                {
                    self.say(why, false);
                    return Vec::new();
                }
                self.act(act)
            }
            Mode::Help => {
                match act {
                    Some(Act::Up | Act::ScrollUp | Act::PageUp) => {
                        self.scroll = self.scroll.saturating_sub(1);
                        self.mode = Mode::Help;
                    }
                    Some(Act::Down | Act::ScrollDown | Act::PageDown) => {
                        self.scroll = (self.scroll + 1).min(keys::KEYS.len());
                        self.mode = Mode::Help;
                    }
                    _ => self.scroll = 0,
                }
                Vec::new()
            }
            Mode::Ask(ask) => {
                if key.code == KeyCode::Char('y') || key.code == KeyCode::Char('Y') {
                    self.say(format!("{} ...", ask.question.trim_end_matches('?')), true);
                    self.forced = forced(&ask.order, self.now);
                    return vec![Effect::Order(ask.order)];
                }
                self.say("nothing changed".to_owned(), true);
                Vec::new()
            }
            Mode::Filter(editor, before) => {
                self.type_filter(key, editor, before);
                Vec::new()
            }
            Mode::Prompt(prompt) => self.type_line(key, prompt),
        }
    }

    fn act(&mut self, act: Option<Act>) -> Vec<Effect> {
        let page = self.layout().rows().max(2) - 1;
        let Some(act) = act else {
            return Vec::new();
        };
        match act {
            Act::Up => self.step(-1),
            Act::Down => self.step(1),
            Act::PageUp => self.step(isize::try_from(page).unwrap_or(1).saturating_neg()),
            Act::PageDown => self.step(isize::try_from(page).unwrap_or(1)),
            Act::First => self.step(isize::MIN),
            Act::Last => self.step(isize::MAX),
            Act::NextTrouble => self.next_trouble(),
            Act::Details => self.toggle(Panel::Details),
            Act::Events => self.toggle(Panel::Events),
            Act::ScrollUp => self.scroll_up(),
            Act::ScrollDown => self.scroll_down(),
            Act::Filter => {
                let before = self.choice.filter.clone();
                self.mode = Mode::Filter(Editor::new(&before), before);
            }
            Act::Sort => {
                self.choice.sort = next(&columns::orders(self), self.choice.sort);
                self.rebuild();
            }
            Act::Reverse => {
                self.choice.reverse = !self.choice.reverse;
                self.rebuild();
            }
            Act::Group => {
                self.choice.grouped = !self.choice.grouped;
                self.keep_order_visible();
                self.rebuild();
            }
            Act::RaiseInterface => self.ask(|host, _| ask::set_up(host, true)),
            Act::LowerInterface => self.ask(|host, _| ask::set_up(host, false)),
            Act::ForceMaster => self.ask(|host, _| ask::force(host, "MASTER")),
            Act::ForceBackup => self.ask(|host, _| ask::force(host, "BACKUP")),
            Act::Preempt => match ask::turn_preempt(&self.picture) {
                Ok(ask) => self.mode = Mode::Ask(ask),
                Err(why) => self.say(why, false),
            },
            Act::Command => self.mode = Mode::Prompt(Prompt::default()),
            Act::Help => {
                self.scroll = 0;
                self.mode = Mode::Help;
            }
            Act::Close => {
                if self.panel != Panel::Overview {
                    self.toggle(self.panel);
                } else if !self.choice.filter.is_empty() {
                    self.choice.filter.clear();
                    self.rebuild();
                }
            }
            Act::Redraw => return vec![Effect::Redraw],
            Act::Suspend => return vec![Effect::Suspend],
            Act::Quit => return vec![Effect::Quit],
        }
        Vec::new()
    }

    fn type_filter(&mut self, key: KeyEvent, mut editor: Editor, before: String) {
        if key.code == KeyCode::Enter {
            return;
        }
        if key.code == KeyCode::Esc {
            self.choice.filter = before;
        } else {
            editor.key(key);
            self.choice.filter = editor.text();
            self.mode = Mode::Filter(editor, before);
        }
        self.rebuild();
    }

    fn type_line(&mut self, key: KeyEvent, mut prompt: Prompt) -> Vec<Effect> {
        match (key.code, prompt.editor.text().is_empty()) {
            (KeyCode::Enter, _) => return self.enter(&prompt.editor.text()),
            (KeyCode::Esc, _) | (KeyCode::Backspace, true) => return Vec::new(),
            (KeyCode::Tab, _) => self.complete(&mut prompt),
            (KeyCode::Up, _) => self.recall(&mut prompt, 1),
            (KeyCode::Down, _) => self.recall(&mut prompt, -1),
            _ => {
                if prompt.editor.key(key) && !prompt.candidates.is_empty() {
                    prompt.candidates = command::candidates(prompt.editor.before(), &self.picture);
                }
            }
        }
        self.mode = Mode::Prompt(prompt);
        Vec::new()
    }

    fn enter(&mut self, line: &str) -> Vec<Effect> {
        // A line with a password is not kept.
        if shown(line) == line && self.lines.front().is_none_or(|last| last != line) {
            self.lines.push_front(line.to_owned());
            self.lines.truncate(LINES);
        }
        match command::read(line, &self.picture) {
            Ok(Command::Ask(ask)) => self.mode = Mode::Ask(ask),
            Ok(Command::Show(name)) => {
                self.selected = Some(name);
                self.panel = Panel::Details;
                self.follow();
            }
            Ok(Command::Say(text)) => self.say(text, true),
            Ok(Command::Quit) => return vec![Effect::Quit],
            Err(why) if why.is_empty() => {}
            Err(why) => self.say(why, false),
        }
        Vec::new()
    }

    fn complete(&self, prompt: &mut Prompt) {
        let before = prompt.editor.before().to_owned();
        prompt.candidates = command::candidates(&before, &self.picture);
        let start = before.rfind(' ').map_or(0, |blank| blank + 1);
        let mut common = command::common(&prompt.candidates);
        if prompt.candidates.len() == 1 && !common.ends_with('=') {
            common.push(' ');
            prompt.candidates.clear();
        }
        if !common.is_empty() {
            let kept = before.get(..start).unwrap_or_default();
            prompt.editor.set_before(format!("{kept}{common}"));
        }
    }

    fn recall(&self, prompt: &mut Prompt, step: isize) {
        let former = match prompt.former {
            None if step > 0 => Some(0),
            None => None,
            Some(at) => at.checked_add_signed(step),
        };
        let line = former.map(|at| self.lines.get(at));
        match line {
            Some(Some(line)) => prompt.editor = Editor::new(line),
            Some(None) => return,
            None => prompt.editor = Editor::default(),
        }
        prompt.former = former;
        prompt.candidates.clear();
    }

    fn ask(&mut self, of: impl FnOnce(&Host, &Picture) -> Result<Ask, String>) {
        let asked = match self.host() {
            Some(host) => of(host, &self.picture),
            None => Err("no interface is selected".to_owned()),
        };
        match asked {
            Ok(ask) => self.mode = Mode::Ask(ask),
            Err(why) => self.say(why, false),
        }
    }

    pub(super) fn toggle(&mut self, panel: Panel) {
        self.panel = if self.panel == panel {
            Panel::Overview
        } else {
            panel
        };
        self.scroll = 0;
        self.follow();
    }
}

/// The order after `sort`, around.
fn next(orders: &[Sort], sort: Sort) -> Sort {
    let mut after = orders.iter().cycle().skip_while(|other| **other != sort);
    let count = orders.len();
    if orders.contains(&sort) && count > 1 {
        return after.nth(1).copied().unwrap_or_default();
    }
    orders.first().copied().unwrap_or_default()
}

/// The state that `order` forces, if it does.
fn forced(order: &Order, now: u64) -> Option<Forced> {
    let Order::Configure(name, changes) = order else {
        return None;
    };
    let state = changes.settings.iter().find_map(|change| {
        if let ifconfig::Change::State(state) = change {
            Some(*state)
        } else {
            None
        }
    })?;
    Some(Forced {
        interface: name.clone(),
        state,
        until: now + AT_ONCE,
    })
}
