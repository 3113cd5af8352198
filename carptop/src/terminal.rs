//! The terminal: taken, and given back on every way out.

use std::io::{self, Stdout, Write as _};
use std::panic;

use crossterm::cursor::Show;
use crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

/// What a program that panicked ends with.
const PANICKED: i32 = 101;

/// The terminal while it is ours. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal. From now on a panic gives it back, prints, and ends the program.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn take() -> io::Result<Self> {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
            // Whichever thread it was, the others are not to draw on what is no longer ours.
            std::process::exit(PANICKED);
        }));
        // From here on whatever fails gives back what was taken.
        let screen = Self {
            terminal: Terminal::new(CrosstermBackend::new(io::stdout()))?,
        };
        enter()?;
        Ok(screen)
    }

    /// The terminal to draw on.
    pub(crate) fn terminal(&mut self) -> &mut Terminal<CrosstermBackend<Stdout>> {
        &mut self.terminal
    }

    /// Draws everything anew the next time, whatever is on the screen.
    ///
    /// # Errors
    /// Those of the terminal.
    pub(crate) fn redraw(&mut self) -> io::Result<()> {
        // `clear` would ask where the cursor is, and the answer goes to whoever reads the keys.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    /// Gives the terminal back, stops this process until it is continued, and takes it again.
    ///
    /// # Errors
    /// Those of the terminal.
    pub(crate) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP)?;
        enter()?;
        self.redraw()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture)
}

/// Undoes [`enter`], as much of it as goes: a terminal that is gone needs nothing.
fn give_back() {
    let mut out = io::stdout();
    let _ = execute!(out, DisableMouseCapture, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
    let _ = out.flush();
}
