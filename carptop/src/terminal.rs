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

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::Command;

    use super::*;

    /// Set where this test runs itself as a program that panics.
    const PANICS: &str = "CARPTOP_TEST_PANICS";

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_is_told() {
        if env::var_os(PANICS).is_some() {
            let _screen = Screen::take().unwrap();
            panic!("told after the terminal was given back");
        }
        let itself = env::current_exe().unwrap();
        let name = "a_panic_gives_the_terminal_back_before_it_is_told";
        let line = format!("'{}' --nocapture {name}", itself.display());
        // script(1) runs it on a terminal of its own.
        let output = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env(PANICS, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let at = |what: &str| {
            text.find(what)
                .unwrap_or_else(|| panic!("no {what:?} in {text:?}"))
        };
        assert!(at("\x1b[?1049h") < at("\x1b[?1049l"));
        assert!(at("\x1b[?1049l") < at("told after the terminal was given back"));
        assert!(at("\x1b[?1000h") < at("\x1b[?1000l"));
        assert_eq!(output.status.code(), Some(PANICKED));
    }
}
