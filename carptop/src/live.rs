//! The loop: messages in, effects out, a frame.

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

/// How often the bars move.
const TICK: Duration = Duration::from_millis(250);

/// How soon after a frame the next one may follow.
const FRAME: Duration = Duration::from_millis(30);

/// How many messages are taken between two frames.
const MOST: usize = 10_000;

/// Runs the program until it is to end.
///
/// # Errors
/// Those of the terminal.
pub(crate) fn run(setup: Setup) -> Result<()> {
    let tick = TICK.min(Duration::from_micros(setup.interval));
    let (sender, messages) = channel();
    let source = Source::start(sender.clone())?;
    let mut screen = Screen::take().context("the terminal")?;
    read_keys(sender)?;
    let mut app = App::new(setup);
    let mut pending = app.update(Msg::Tick(now()));
    loop {
        let begun = Instant::now();
        for effect in pending.drain(..) {
            match effect {
                Effect::Request(order) => source.order(order),
                Effect::Redraw => screen.redraw()?,
                Effect::Suspend => screen.suspend()?,
                Effect::Quit => return Ok(()),
            }
        }
        screen.terminal().draw(|frame| render(&mut app, frame))?;
        let first = next(&messages, begun + tick)?;
        // Many messages at once, as in a failover of all interfaces, are one frame.
        thread::sleep(FRAME.saturating_sub(begun.elapsed()));
        pending.extend(app.update(Msg::Tick(now())));
        pending.extend(
            first
                .into_iter()
                .chain(messages.try_iter().take(MOST))
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

/// The next message, or none until `end`.
fn next(messages: &Receiver<Msg>, end: Instant) -> Result<Option<Msg>, RecvTimeoutError> {
    match messages.recv_timeout(end.saturating_duration_since(Instant::now())) {
        Ok(msg) => Ok(Some(msg)),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(gone @ RecvTimeoutError::Disconnected) => Err(gone),
    }
}

/// Reads the keyboard in a thread of its own, which ends with the program.
fn read_keys(messages: Sender<Msg>) -> Result<()> {
    let reading = move || {
        loop {
            let msg = match event::read() {
                Ok(Event::Key(key)) => Msg::Key(key),
                Ok(Event::Mouse(mouse)) => Msg::Mouse(mouse),
                Ok(Event::Resize(width, height)) => Msg::Resize(width, height),
                Ok(Event::FocusGained | Event::FocusLost | Event::Paste(_)) => continue,
                // The terminal is gone.
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
    thread.map(drop).context("no thread")
}
