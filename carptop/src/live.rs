//! Main loop: takes messages, performs effects, draws frames.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use crossterm::event::{self, Event};
use ratatui::Frame;

use crate::app::{App, Effect, Msg, Setup};
use crate::source::Source;
use crate::terminal::Screen;
use crate::ui;
use crate::when::now;

/// Interval between movements of the bars.
const TICK_INTERVAL: Duration = Duration::from_millis(250);

/// Shortest interval between two frames.
const FRAME_INTERVAL: Duration = Duration::from_millis(30);

/// Most messages between two frames.
const MESSAGES_PER_FRAME: usize = 10_000;

/// Runs the program until a message ends it.
///
/// # Errors
/// Those of the terminal.
pub(crate) fn run(setup: Setup) -> Result<()> {
    let tick = TICK_INTERVAL.min(Duration::from_micros(setup.interval));
    let (sender, messages) = channel();
    let source = Source::start(sender.clone())?;
    let mut screen = Screen::set_up().context("terminal")?;
    read_keys(sender)?;
    let mut app = App::new(setup);
    let mut pending = app.update(Msg::Tick(now()));
    loop {
        let begun = Instant::now();
        for effect in pending.drain(..) {
            match effect {
                Effect::Request(request) => source.send(request),
                Effect::Redraw => screen.redraw()?,
                Effect::Suspend => screen.suspend()?,
                Effect::Quit => return Ok(()),
            }
        }
        screen.terminal().draw(|frame| render(&mut app, frame))?;
        let first = next(&messages, begun + tick)?;
        // One frame for many messages, as in a failover of all interfaces.
        thread::sleep(FRAME_INTERVAL.saturating_sub(begun.elapsed()));
        pending.extend(app.update(Msg::Tick(now())));
        pending.extend(
            first
                .into_iter()
                .chain(messages.try_iter().take(MESSAGES_PER_FRAME))
                .flat_map(|msg| app.update(msg)),
        );
    }
}

/// Draws `app` in the size of `frame`, which the terminal may have changed before [`Msg::Resize`]
/// arrives.
pub fn render(app: &mut App, frame: &mut Frame<'_>) {
    app.fit(frame.area().as_size());
    ui::draw(app, frame);
}

/// Returns the next message, or `None` if there is none until `end`.
fn next(messages: &Receiver<Msg>, end: Instant) -> Result<Option<Msg>, RecvTimeoutError> {
    match messages.recv_timeout(end.saturating_duration_since(Instant::now())) {
        Ok(msg) => Ok(Some(msg)),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(gone @ RecvTimeoutError::Disconnected) => Err(gone),
    }
}

/// Starts the thread that reads the keyboard; it ends with the program.
fn read_keys(messages: Sender<Msg>) -> Result<()> {
    let reading = move || {
        loop {
            let msg = match event::read() {
                Ok(Event::Key(key)) => Msg::Key(key),
                Ok(Event::Mouse(mouse)) => Msg::Mouse(mouse),
                Ok(Event::Resize(width, height)) => Msg::Resize(width, height),
                Ok(Event::FocusGained | Event::FocusLost | Event::Paste(_)) => continue,
                // The terminal has disappeared.
                Err(_) => Msg::End,
            };
            let end = matches!(msg, Msg::End);
            if messages.send(msg).is_err() || end {
                return;
            }
        }
    };
    let thread = thread::Builder::new()
        .name("keys".to_owned())
        .spawn(reading);
    thread.map(drop).context("cannot start a thread")
}
