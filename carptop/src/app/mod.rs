//! State of the program, changed by messages.
//!
//! **Invariant:** this module reads no clock, terminal or socket. Time arrives as [`Msg::Tick`];
//! effects leave as [`Effect`].

mod command;
mod edit;
mod input;
mod msg;
mod pointer;
mod polling;
mod question;
mod rows;
mod selection;

use std::collections::VecDeque;

use carp_dbus::{Change, EventInfo};
use crossterm::event::KeyEventKind;
use jiff::tz::TimeZone;
use ratatui::layout::Size;

pub(crate) use command::without_passwords;
pub(crate) use edit::Editor;
pub use msg::{Effect, Msg, Request};
pub(crate) use msg::{NOT_RUNNING, START};
use polling::Polling;
pub(crate) use question::Question;
pub(crate) use rows::{Group, Row, View};

use crate::columns::{self, Context, Placed};
use crate::history::reason;
use crate::layout::{Layout, Panel};
use crate::model::{Interface, Model};
use crate::sort::Sort;
use crate::summary::Summary;
use crate::theme::Theme;
use crate::trouble;

/// Time for which a message is shown, in microseconds.
const MESSAGE_TIME: u64 = 4_000_000;

/// Time after a forced state in which its loss is reported, in microseconds.
const FORCED_STATE_TIME: u64 = 10_000_000;

/// Rows of the table that are reserved for groups.
const GROUP_ROWS: usize = 4;

/// Parameters of an [`App`].
#[derive(Clone, Debug)]
pub struct Setup {
    /// Colours and characters.
    pub theme: Theme,
    /// Name of this host.
    pub hostname: String,
    /// Time zone of the times shown.
    pub zone: TimeZone,
    /// Effective user ID.
    pub uid: u32,
    /// Interval between readings of the counters, in microseconds.
    pub interval: u64,
    /// Initial filter, as entered after `/`.
    pub filter: String,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
}

/// State of the connection to carpd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    /// Before the first connection.
    Connecting,
    Live,
    /// Time of the loss, and its reason.
    Disconnected(u64, String),
}

/// Receiver of the keys.
#[derive(Debug, Default)]
pub(crate) enum Mode {
    #[default]
    Browse,
    /// The filter is edited; the text is the former filter.
    Filter(Editor, String),
    /// A line is entered.
    Prompt(Prompt),
    /// A question waits for an answer.
    Question(Question),
    Help,
}

/// Line at the prompt.
#[derive(Debug, Default)]
pub(crate) struct Prompt {
    pub(crate) editor: Editor,
    /// Completions, after Tab.
    pub(crate) candidates: Vec<(String, String)>,
    /// Index of the former line that is shown, from the newest.
    recalled: Option<usize>,
}

/// Result of a request, or the reason why a key does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) text: String,
    pub(crate) is_success: bool,
    until: u64,
}

/// Forced state that the interface still has.
#[derive(Debug)]
struct Forced {
    interface: String,
    state: String,
    until: u64,
}

/// State of the program.
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
    pub(crate) connection: Connection,
    pub(crate) model: Model,
    pub(crate) summary: Summary,
    pub(crate) view: View,
    pub(crate) rows: Vec<Row>,
    /// Name of the selected interface.
    pub(crate) selected: Option<String>,
    /// First row that is shown.
    pub(crate) top: usize,
    pub(crate) panel: Panel,
    /// Lines by which details, events or help are scrolled.
    pub(crate) scroll: usize,
    pub(crate) mode: Mode,
    pub(crate) message: Option<Message>,
    forced: Option<Forced>,
    /// Former lines of the prompt, the newest first.
    lines: VecDeque<String>,
    polling: Polling,
    /// The rows and the summary are older than the model.
    is_unsettled: bool,
}

impl App {
    /// Returns the state at the start of the program.
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
            connection: Connection::Connecting,
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
            is_unsettled: false,
        }
    }

    /// Applies a message. Returns its effects.
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
                self.connection = Connection::Live;
                self.polling.answered(self.now);
                self.model.replace(*snapshot, self.now);
                self.is_unsettled = true;
            }
            Msg::Disconnected(why) => {
                self.polling.answered(self.now);
                match &mut self.connection {
                    Connection::Disconnected(_, before) => *before = why,
                    Connection::Connecting | Connection::Live => {
                        self.connection = Connection::Disconnected(self.now, why);
                    }
                }
            }
            Msg::Listed { interfaces, took } => {
                let requested = self.polling.list_arrived(self.now, took);
                self.model.list(interfaces, requested, self.now);
                self.is_unsettled = true;
            }
            Msg::Refreshed { interfaces, took } => {
                let requested = self.polling.visible_arrived(self.now, took);
                self.model.refresh(interfaces, requested, self.now);
                self.is_unsettled = true;
            }
            Msg::ReadFailed(why) => {
                self.polling.failed();
                self.show_message(why, false);
            }
            Msg::Change(change) => return self.change(*change),
            Msg::Suppressions(suppressions) => {
                self.model.suppressions = suppressions;
                self.is_unsettled = true;
            }
            // A success does not replace a worse message that came after the request.
            Msg::Done(Ok(_)) if self.message.as_ref().is_some_and(|last| !last.is_success) => {}
            Msg::Done(Ok(text)) => self.show_message(text, true),
            Msg::Done(Err(text)) => self.show_message(text, false),
            Msg::End => return vec![Effect::Quit],
        }
        Vec::new()
    }

    /// Prepares the state for a frame of this size.
    pub(crate) fn fit(&mut self, size: Size) {
        self.settle();
        if self.size != size.into() {
            self.resize(size.into());
        }
    }

    fn resize(&mut self, size: (u16, u16)) {
        self.size = size;
        self.keep_sort_visible();
        self.scroll_to_selected();
    }

    /// Updates the rows and the summary to the model: once for any number of messages, as in a
    /// failover of thousands of interfaces.
    pub(crate) fn settle(&mut self) {
        if std::mem::take(&mut self.is_unsettled) {
            self.rebuild();
        }
    }

    /// Returns the time of the data shown if they may be out of date.
    pub(crate) fn stale_since(&self) -> Option<u64> {
        match &self.connection {
            Connection::Connecting => None,
            Connection::Live => self.polling.silent_since(self.now),
            Connection::Disconnected(since, _) => Some(*since).filter(|_| self.was_connected()),
        }
    }

    /// Returns whether carpd has ever answered.
    pub(crate) fn was_connected(&self) -> bool {
        !self.model.version.is_empty()
    }

    /// Sorts by name if the column of the sort key is no longer shown.
    fn keep_sort_visible(&mut self) {
        if !self.sort_keys().contains(&self.view.sort) {
            self.view.sort = Sort::default();
            self.view.reverse = false;
            self.is_unsettled = true;
        }
    }

    /// Returns the reason why this user cannot change anything.
    pub(crate) fn read_only(&self) -> Option<String> {
        (self.uid != 0 && !self.model.allowed).then(|| {
            format!(
                "changes require root or a polkit authorisation, and you are user {}",
                self.uid
            )
        })
    }

    /// Returns the areas of the screen.
    pub(crate) fn layout(&self) -> Layout {
        let (width, height) = self.size;
        // The filter does not count, so that filtering does not move areas.
        let rows = self.model.interfaces.len() + if self.view.grouped { GROUP_ROWS } else { 0 };
        Layout::new(width, height, self.panel, self.summary.lines.len(), rows)
    }

    /// Returns the selected interface.
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
            read_at: self.stale_since().unwrap_or(self.now),
        }
    }

    /// Returns the rows on the screen.
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
        self.summarise();
        if self.view.filter.split_whitespace().any(|word| word == "!") {
            self.rebuild();
        }
        if self.connection != Connection::Live {
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
        let poll = self.polling.next(now, &interfaces);
        let request = match poll {
            polling::Poll::Nothing => None,
            polling::Poll::List => Some(Request::List),
            polling::Poll::Visible => Some(Request::Refresh(names())),
        };
        if request.is_some() {
            self.polling.requested(now);
        }
        request.map(Effect::Request).into_iter().collect()
    }

    fn change(&mut self, change: Change) -> Vec<Effect> {
        let request = match &change {
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
            self.report_lost_state(event);
        }
        self.model.change(change, self.now);
        self.is_unsettled = true;
        request.map(Effect::Request).into_iter().collect()
    }

    /// Reports that a forced state did not last.
    fn report_lost_state(&mut self, event: &EventInfo) {
        let detail = |name: &str| event.details.get(name).map(String::as_str);
        let Some(forced) = &self.forced else {
            return;
        };
        if event.kind != "transition"
            || event.interface != forced.interface
            || detail("from") != Some(forced.state.as_str())
        {
            return;
        }
        if self.now < forced.until {
            let Forced {
                interface, state, ..
            } = forced;
            let now = detail("to").unwrap_or_default();
            let why = reason(event);
            self.show_message(
                format!("{interface}: forced to {state}, but {now} again: {why}"),
                false,
            );
        }
        self.forced = None;
    }

    fn show_message(&mut self, text: String, is_success: bool) {
        self.message = Some(Message {
            text,
            is_success,
            until: self.now + MESSAGE_TIME,
        });
    }

    /// Returns whether `interface` has a trouble.
    pub(crate) fn is_troubled(&self, interface: &Interface) -> bool {
        trouble::of(interface, &self.model, self.now)
            .next()
            .is_some()
    }

    /// Rebuilds the rows. The selected interface stays selected, or else the one in its row.
    fn rebuild(&mut self) {
        let before = self.selected_row();
        self.rows = self.view.rows(&self.model, self.now);
        if self.selected_row().is_none() {
            let at = before.unwrap_or(0).min(self.rows.len().saturating_sub(1));
            self.select(at, true);
        }
        self.summarise();
        self.scroll_to_selected();
    }

    fn summarise(&mut self) {
        self.summary = Summary::of(&self.model, self.now, &self.zone);
    }
}
