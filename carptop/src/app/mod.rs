//! The state of the program, and what messages do to it.
//!
//! **Invariant:** nothing here reads a clock, a terminal or a socket: time comes in as
//! [`Msg::Tick`], and what must be done goes out as [`Effect`].

mod ask;
mod command;
mod edit;
mod msg;
mod pace;
mod pointer;
mod rows;

use std::collections::VecDeque;

use carp_dbus::Change;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind};
use jiff::tz::TimeZone;

pub(crate) use ask::Ask;
use command::Command;
pub(crate) use command::shown;
pub(crate) use edit::Editor;
pub use msg::{Effect, Msg, Order};
use pace::Pace;
pub(crate) use rows::{Choice, Group, Row, Sort, since};

use crate::keys::{self, Act};
use crate::layout::{Layout, Panel};
use crate::picture::{Host, Picture};
use crate::tally::Tally;
use crate::theme::Theme;
use crate::trouble;

/// How long a message stays, in microseconds.
const MESSAGE: u64 = 10_000_000;

/// How many rows are kept free for groups.
const GROUPS: usize = 4;

/// How many lines of the prompt are kept.
const LINES: usize = 50;

/// What an [`App`] is made with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How everything looks.
    pub theme: Theme,
    /// The name of this host.
    pub hostname: String,
    /// Which clock people here read.
    pub zone: TimeZone,
    /// Our effective user id.
    pub uid: u32,
    /// How often counters are read, in microseconds.
    pub interval: u64,
    /// What is shown at first, as typed behind `/`.
    pub filter: String,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
}

/// Whether there is a carpd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not yet known.
    Connecting,
    Live,
    /// Not since then, and why.
    Away(u64, String),
}

/// Who gets the keys.
#[derive(Debug, Default)]
pub(crate) enum Mode {
    #[default]
    Browse,
    /// The filter is being typed; what it was before.
    Filter(Editor, String),
    /// A line is being typed.
    Prompt(Prompt),
    /// A question waits for yes.
    Ask(Ask),
    Help,
}

/// The line at the prompt.
#[derive(Debug, Default)]
pub(crate) struct Prompt {
    pub(crate) editor: Editor,
    /// What may stand here, once Tab was pressed.
    pub(crate) candidates: Vec<(String, String)>,
    /// Which former line is shown, from the newest.
    former: Option<usize>,
}

/// What became of an order, or why a key does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) text: String,
    pub(crate) good: bool,
    until: u64,
}

/// The state of the program.
#[derive(Debug)]
pub struct App {
    pub(crate) theme: Theme,
    pub(crate) hostname: String,
    pub(crate) zone: TimeZone,
    uid: u32,
    /// Columns and rows of the terminal.
    pub(crate) size: (u16, u16),
    /// Microseconds since the epoch.
    pub(crate) now: u64,
    pub(crate) link: Link,
    pub(crate) picture: Picture,
    pub(crate) tally: Tally,
    pub(crate) choice: Choice,
    pub(crate) rows: Vec<Row>,
    /// The selected interface.
    pub(crate) selected: Option<String>,
    /// The first row that is shown.
    pub(crate) top: usize,
    pub(crate) panel: Panel,
    /// By how many lines details, events or help are scrolled.
    pub(crate) scroll: usize,
    pub(crate) mode: Mode,
    pub(crate) message: Option<Message>,
    lines: VecDeque<String>,
    pace: Pace,
    /// Whether the rows and the tally are those of an older picture.
    unsettled: bool,
}

impl App {
    /// A program that has just begun.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let Setup {
            theme,
            hostname,
            zone,
            uid,
            interval,
            filter,
            size,
        } = setup;
        Self {
            theme,
            hostname,
            zone,
            uid,
            size,
            now: 0,
            link: Link::Connecting,
            picture: Picture::default(),
            tally: Tally::default(),
            choice: Choice {
                filter,
                grouped: true,
                ..Choice::default()
            },
            rows: Vec::new(),
            selected: None,
            top: 0,
            panel: Panel::default(),
            scroll: 0,
            mode: Mode::default(),
            message: None,
            lines: VecDeque::new(),
            pace: Pace::new(interval),
            unsettled: false,
        }
    }

    /// Takes over what happened, and says what must be done about it.
    ///
    /// Before the next drawing the state must be [settled](App::settle).
    #[must_use]
    pub fn update(&mut self, msg: Msg) -> Vec<Effect> {
        if matches!(msg, Msg::Tick(_) | Msg::Key(_) | Msg::Mouse(_)) {
            self.settle();
        }
        match msg {
            Msg::Tick(now) => return self.tick(now),
            Msg::Key(key) if key.kind != KeyEventKind::Release => return self.key(key),
            Msg::Key(_) => {}
            Msg::Mouse(event) => self.mouse(event),
            Msg::Resize(width, height) => {
                self.size = (width, height);
                self.follow();
            }
            Msg::Found(snapshot) => {
                self.link = Link::Live;
                self.pace.answered(self.now);
                self.picture.replace(*snapshot, self.now);
                self.unsettled = true;
            }
            Msg::Away(why) => {
                self.pace.answered(self.now);
                match &mut self.link {
                    Link::Away(_, before) => *before = why,
                    Link::Connecting | Link::Live => self.link = Link::Away(self.now, why),
                }
            }
            Msg::Listed { interfaces, took } => {
                let asked = self.pace.listed(self.now, took);
                self.picture.list(interfaces, asked, self.now);
                self.unsettled = true;
            }
            Msg::Looked { interfaces, took } => {
                let asked = self.pace.looked(self.now, took);
                self.picture.refresh(interfaces, asked, self.now);
                self.unsettled = true;
            }
            Msg::Unread(why) => {
                self.pace.failed();
                self.say(why, false);
            }
            Msg::Change(change) => return self.change(*change),
            Msg::Suppressions(suppressions) => {
                self.picture.suppressions = suppressions;
                self.unsettled = true;
            }
            Msg::Done(Ok(text)) => self.say(text, true),
            Msg::Done(Err(text)) => self.say(text, false),
            Msg::End => return vec![Effect::Quit],
        }
        Vec::new()
    }

    /// Makes the rows and the tally those of the present picture: once for any number of
    /// messages, as in a failover of thousands of interfaces.
    pub fn settle(&mut self) {
        if std::mem::take(&mut self.unsettled) {
            self.rebuild();
        }
    }

    /// Whether what is shown may be out of date: since when.
    pub(crate) fn stale(&self) -> Option<u64> {
        match &self.link {
            Link::Connecting => None,
            Link::Live => self.pace.silent_since(self.now),
            Link::Away(since, _) => Some(*since),
        }
    }

    /// Why nothing can be changed by us.
    pub(crate) fn read_only(&self) -> Option<String> {
        (self.uid != 0).then(|| {
            format!(
                "only root may change carp interfaces, and you are user {}",
                self.uid
            )
        })
    }

    /// The areas of the screen.
    pub(crate) fn layout(&self) -> Layout {
        let (width, height) = self.size;
        // Filtering does not move things about.
        let rows = self.picture.hosts.len() + if self.choice.grouped { GROUPS } else { 0 };
        Layout::new(width, height, self.panel, self.tally.lines.len(), rows)
    }

    /// The selected interface.
    pub(crate) fn host(&self) -> Option<&Host> {
        self.picture.hosts.get(self.selected.as_ref()?)
    }

    /// The rows that are on the screen.
    pub(crate) fn visible(&self) -> &[Row] {
        let end = (self.top + self.layout().rows()).min(self.rows.len());
        self.rows.get(self.top..end).unwrap_or_default()
    }

    fn tick(&mut self, now: u64) -> Vec<Effect> {
        self.now = now;
        if self
            .message
            .as_ref()
            .is_some_and(|message| message.until < now)
        {
            self.message = None;
        }
        self.count();
        if self
            .choice
            .filter
            .split_whitespace()
            .any(|word| word == "!")
        {
            self.rebuild();
        }
        if self.link != Link::Live {
            return Vec::new();
        }
        let names = || -> Vec<String> {
            let names = self.visible().iter().filter_map(Row::host);
            names.map(str::to_owned).collect()
        };
        let hosts: Vec<&Host> = self
            .visible()
            .iter()
            .filter_map(|row| self.picture.hosts.get(row.host()?))
            .collect();
        let turn = self.pace.turn(now, &hosts);
        let order = match turn {
            pace::Turn::Rest => None,
            pace::Turn::List => Some(Order::List),
            pace::Turn::Look => Some(Order::Look(names())),
        };
        if order.is_some() {
            self.pace.asked(now);
        }
        order.map(Effect::Order).into_iter().collect()
    }

    fn change(&mut self, change: Change) -> Vec<Effect> {
        let order = match &change {
            Change::Sysctls(values) if values.contains_key("SuppressPreempt") => {
                Some(Order::Suppressions)
            }
            Change::Lost => Some(Order::Reread),
            Change::Event(event) if event.kind == "suppression" => Some(Order::Suppressions),
            Change::Event(_)
            | Change::Added(_)
            | Change::Removed(_)
            | Change::Properties { .. }
            | Change::Sysctls(_) => None,
        };
        self.picture.change(change, self.now);
        self.unsettled = true;
        order.map(Effect::Order).into_iter().collect()
    }

    fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        let binding = keys::find(key);
        let act = binding.map(|binding| binding.act);
        if key
            .modifiers
            .contains(crossterm::event::KeyModifiers::CONTROL)
            && matches!(act, Some(Act::Quit | Act::Redraw | Act::Suspend))
        {
            return self.act(act);
        }
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
                self.choice.sort = self.choice.sort.next();
                self.rebuild();
            }
            Act::Reverse => {
                self.choice.reverse = !self.choice.reverse;
                self.rebuild();
            }
            Act::Group => {
                self.choice.grouped = !self.choice.grouped;
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

    fn say(&mut self, text: String, good: bool) {
        self.message = Some(Message {
            text,
            good,
            until: self.now + MESSAGE,
        });
    }

    fn toggle(&mut self, panel: Panel) {
        self.panel = if self.panel == panel {
            Panel::Overview
        } else {
            panel
        };
        self.scroll = 0;
        self.follow();
    }

    fn scroll_up(&mut self) {
        self.scroll = self.scroll.saturating_sub(1);
    }

    fn scroll_down(&mut self) {
        self.scroll = (self.scroll + 1).min(self.scrollable());
    }

    /// How many lines there can be to scroll over.
    fn scrollable(&self) -> usize {
        match self.panel {
            Panel::Events => self.picture.events.len(),
            Panel::Overview | Panel::Details => self.host().map_or(0, |host| {
                host.info.addresses.len() + host.info.statistics.len() + 40
            }),
        }
    }

    /// Selects the interface this many rows away.
    fn step(&mut self, rows: isize) {
        let at = self.selected_row().unwrap_or(0);
        let last = self.rows.len().saturating_sub(1);
        let target = at.saturating_add_signed(rows).min(last);
        self.select(target, rows >= 0);
    }

    /// Selects the interface at row `target`, or the next one forwards or backwards.
    fn select(&mut self, target: usize, forwards: bool) {
        let ahead = || {
            self.rows
                .get(target..)
                .unwrap_or_default()
                .iter()
                .find_map(Row::host)
        };
        let behind = || {
            let before = self.rows.get(..=target).unwrap_or(&self.rows);
            before.iter().rev().find_map(Row::host)
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
        self.follow();
    }

    fn next_trouble(&mut self) {
        let at = self.selected_row().map_or(0, |row| row + 1);
        let order = (at..self.rows.len()).chain(0..at);
        let mut hosts = order.filter_map(|row| self.rows.get(row)?.host());
        let found = hosts.find(|name| {
            let host = self.picture.hosts.get(*name);
            host.is_some_and(|host| self.is_troubled(host))
        });
        match found.map(str::to_owned) {
            Some(name) => {
                self.selected = Some(name);
                self.scroll = 0;
                self.follow();
            }
            None => self.say(
                "nothing is wrong with the interfaces shown".to_owned(),
                true,
            ),
        }
    }

    /// Whether anything is wrong with `host`.
    pub(crate) fn is_troubled(&self, host: &Host) -> bool {
        trouble::of(host, &self.picture, self.now).next().is_some()
    }

    fn selected_row(&self) -> Option<usize> {
        let selected = self.selected.as_deref()?;
        self.rows
            .iter()
            .position(|row| row.host() == Some(selected))
    }

    /// Builds the rows anew. What was selected stays selected, or else what stands in its place.
    fn rebuild(&mut self) {
        let before = self.selected_row();
        self.rows = self.choice.rows(&self.picture, self.now);
        if self.selected_row().is_none() {
            let at = before.unwrap_or(0).min(self.rows.len().saturating_sub(1));
            self.select(at, true);
        }
        self.count();
        self.follow();
    }

    /// Scrolls the table so that the selected row is on the screen, its group's row too if that
    /// stands right above.
    fn follow(&mut self) {
        let rows = self.layout().rows();
        let last = self.rows.len().saturating_sub(rows);
        if let Some(at) = self.selected_row() {
            let above = at.checked_sub(1).and_then(|above| self.rows.get(above));
            let with_group = at - usize::from(above.is_some_and(|row| row.host().is_none()));
            self.top = self.top.clamp(
                (at + 1).saturating_sub(rows),
                with_group.max((at + 1).saturating_sub(rows)),
            );
        }
        self.top = self.top.min(last);
    }

    fn count(&mut self) {
        self.tally = Tally::of(&self.picture, self.now, &self.zone);
    }
}
