//! The state of the program, and what messages do to it.
//!
//! **Invariant:** nothing here reads a clock, a terminal or a socket: time comes in as
//! [`Msg::Tick`], and what must be done goes out as [`Effect`].

mod ask;
mod command;
mod edit;
mod input;
mod msg;
mod pointer;
mod polling;
mod rows;
mod selection;

use std::collections::VecDeque;

use carp_dbus::{Change, EventInfo};
use crossterm::event::KeyEventKind;
use jiff::tz::TimeZone;
use ratatui::layout::Size;

pub(crate) use ask::Ask;
pub(crate) use command::shown;
pub(crate) use edit::Editor;
pub use msg::{Effect, Msg, Request};
pub(crate) use msg::{NOT_RUNNING, START};
use polling::Polling;
pub(crate) use rows::{Group, Row, View};

use crate::columns::{self, Context, Placed};
use crate::history::reason;
use crate::layout::{Layout, Panel};
use crate::model::{Interface, Model};
use crate::sort::Sort;
use crate::summary::Summary;
use crate::theme::Theme;
use crate::trouble;

/// How long a message stays, in microseconds.
const MESSAGE: u64 = 4_000_000;

/// How soon after a state was forced its loss is a reply to that, in microseconds.
const AT_ONCE: u64 = 10_000_000;

/// How many rows are kept free for groups.
const GROUPS: usize = 4;

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
pub(crate) enum Connection {
    /// Not yet known.
    Connecting,
    Live,
    /// Not since then, and why.
    Disconnected(u64, String),
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

/// A state that was forced, and not lost since.
#[derive(Debug)]
struct Forced {
    interface: String,
    state: &'static str,
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
    pub(crate) link: Connection,
    pub(crate) model: Model,
    pub(crate) summary: Summary,
    pub(crate) view: View,
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
    forced: Option<Forced>,
    lines: VecDeque<String>,
    polling: Polling,
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
            link: Connection::Connecting,
            model: Model::default(),
            summary: Summary::default(),
            view: View {
                filter,
                grouped: true,
                ..View::default()
            },
            rows: Vec::new(),
            selected: None,
            top: 0,
            panel: Panel::default(),
            scroll: 0,
            mode: Mode::default(),
            message: None,
            forced: None,
            lines: VecDeque::new(),
            polling: Polling::new(interval),
            unsettled: false,
        }
    }

    /// Takes over what happened, and says what must be done about it.
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
            Msg::Resize(width, height) => self.resize((width, height)),
            Msg::Snapshot(snapshot) => {
                self.link = Connection::Live;
                self.polling.answered(self.now);
                self.model.replace(*snapshot, self.now);
                self.unsettled = true;
            }
            Msg::Disconnected(why) => {
                self.polling.answered(self.now);
                match &mut self.link {
                    Connection::Disconnected(_, before) => *before = why,
                    Connection::Connecting | Connection::Live => {
                        self.link = Connection::Disconnected(self.now, why);
                    }
                }
            }
            Msg::Listed { interfaces, took } => {
                let asked = self.polling.listed(self.now, took);
                self.model.list(interfaces, asked, self.now);
                self.unsettled = true;
            }
            Msg::Refreshed { interfaces, took } => {
                let asked = self.polling.looked(self.now, took);
                self.model.refresh(interfaces, asked, self.now);
                self.unsettled = true;
            }
            Msg::ReadFailed(why) => {
                self.polling.failed();
                self.say(why, false);
            }
            Msg::Change(change) => return self.change(*change),
            Msg::Suppressions(suppressions) => {
                self.model.suppressions = suppressions;
                self.unsettled = true;
            }
            // A success is no news where something worse was said since the order.
            Msg::Done(Ok(_)) if self.message.as_ref().is_some_and(|last| !last.good) => {}
            Msg::Done(Ok(text)) => self.say(text, true),
            Msg::Done(Err(text)) => self.say(text, false),
            Msg::End => return vec![Effect::Quit],
        }
        Vec::new()
    }

    /// Makes everything ready to be drawn in this size. The terminal may have changed it, and its
    /// message not be here yet.
    pub(crate) fn fit(&mut self, size: Size) {
        self.settle();
        if self.size != size.into() {
            self.resize(size.into());
        }
    }

    fn resize(&mut self, size: (u16, u16)) {
        self.size = size;
        self.keep_order_visible();
        self.follow();
    }

    /// Makes the rows and the tally those of the present picture: once for any number of
    /// messages, as in a failover of thousands of interfaces.
    pub(crate) fn settle(&mut self) {
        if std::mem::take(&mut self.unsettled) {
            self.rebuild();
        }
    }

    /// Whether what is shown may be out of date: since when. What was never read is not.
    pub(crate) fn stale(&self) -> Option<u64> {
        match &self.link {
            Connection::Connecting => None,
            Connection::Live => self.polling.silent_since(self.now),
            Connection::Disconnected(since, _) => Some(*since).filter(|_| self.was_connected()),
        }
    }

    /// Whether carpd was ever there.
    pub(crate) fn was_connected(&self) -> bool {
        !self.model.version.is_empty()
    }

    /// Sorts by name where the column that the table was sorted by has no place any more.
    fn keep_order_visible(&mut self) {
        if !self.sort_keys().contains(&self.view.sort) {
            self.view.sort = Sort::default();
            self.view.reverse = false;
            self.unsettled = true;
        }
    }

    /// Why nothing can be changed by us.
    pub(crate) fn read_only(&self) -> Option<String> {
        (self.uid != 0 && !self.model.allowed).then(|| {
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
        let rows = self.model.interfaces.len() + if self.view.grouped { GROUPS } else { 0 };
        Layout::new(width, height, self.panel, self.summary.lines.len(), rows)
    }

    /// The selected interface.
    pub(crate) fn interface(&self) -> Option<&Interface> {
        self.model.interfaces.get(self.selected.as_ref()?)
    }

    /// Returns the columns of the table.
    pub(crate) fn columns(&self) -> Vec<Placed> {
        let inner = self.layout().table.width.saturating_sub(2);
        self.columns_in(inner)
    }

    /// Returns the columns of a table of this width.
    pub(crate) fn columns_in(&self, width: u16) -> Vec<Placed> {
        columns::place(&self.model, self.view.grouped, width)
    }

    /// Returns the sort keys of the columns of the table.
    fn sort_keys(&self) -> Vec<Sort> {
        self.columns().iter().filter_map(Placed::sort).collect()
    }

    /// Returns the data of the screen that cells need.
    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            theme: &self.theme,
            model: &self.model,
            now: self.now,
            read_at: self.stale().unwrap_or(self.now),
        }
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
            .is_some_and(|message| message.until <= now)
        {
            self.message = None;
        }
        self.count();
        if self.view.filter.split_whitespace().any(|word| word == "!") {
            self.rebuild();
        }
        if self.link != Connection::Live {
            return Vec::new();
        }
        let names = || -> Vec<String> {
            let names = self.visible().iter().filter_map(Row::interface);
            names.map(str::to_owned).collect()
        };
        let interfaces: Vec<&Interface> = self
            .visible()
            .iter()
            .filter_map(|row| self.model.interfaces.get(row.interface()?))
            .collect();
        let turn = self.polling.turn(now, &interfaces);
        let order = match turn {
            polling::Poll::Nothing => None,
            polling::Poll::List => Some(Request::List),
            polling::Poll::Visible => Some(Request::Refresh(names())),
        };
        if order.is_some() {
            self.polling.asked(now);
        }
        order.map(Effect::Request).into_iter().collect()
    }

    fn change(&mut self, change: Change) -> Vec<Effect> {
        let order = match &change {
            Change::Sysctls(values) if values.contains_key("SuppressPreempt") => {
                Some(Request::Suppressions)
            }
            Change::Lost => Some(Request::ReadAll),
            Change::Event(event) if event.kind == "suppression" => Some(Request::Suppressions),
            Change::Event(_)
            | Change::Added(_)
            | Change::Removed(_)
            | Change::Properties { .. }
            | Change::Sysctls(_) => None,
        };
        if let Change::Event(event) = &change {
            self.notice_lost_state(event);
        }
        self.model.change(change, self.now);
        self.unsettled = true;
        order.map(Effect::Request).into_iter().collect()
    }

    /// Says that a state that was forced did not last.
    fn notice_lost_state(&mut self, event: &EventInfo) {
        let detail = |name: &str| event.details.get(name).map(String::as_str);
        let Some(forced) = &self.forced else {
            return;
        };
        if event.kind != "transition"
            || event.interface != forced.interface
            || detail("from") != Some(forced.state)
        {
            return;
        }
        if self.now < forced.until {
            let Forced {
                interface, state, ..
            } = forced;
            let now = detail("to").unwrap_or_default();
            let why = reason(event);
            self.say(
                format!("{interface} was forced to {state} and is {now} again: {why}"),
                false,
            );
        }
        self.forced = None;
    }

    fn say(&mut self, text: String, good: bool) {
        self.message = Some(Message {
            text,
            good,
            until: self.now + MESSAGE,
        });
    }

    /// Whether anything is wrong with `host`.
    pub(crate) fn is_troubled(&self, interface: &Interface) -> bool {
        trouble::of(interface, &self.model, self.now)
            .next()
            .is_some()
    }

    /// Builds the rows anew. What was selected stays selected, or else what stands in its place.
    fn rebuild(&mut self) {
        let before = self.selected_row();
        self.rows = self.view.rows(&self.model, self.now);
        if self.selected_row().is_none() {
            let at = before.unwrap_or(0).min(self.rows.len().saturating_sub(1));
            self.select(at, true);
        }
        self.count();
        self.follow();
    }

    fn count(&mut self) {
        self.summary = Summary::of(&self.model, self.now, &self.zone);
    }
}
