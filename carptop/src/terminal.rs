//! Terminal: set up for full-screen use, restored on every exit.

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

/// Exit status of a program that panicked.
const PANIC_STATUS: i32 = 101;

/// Terminal in full-screen use; restored when dropped.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Sets up the terminal. From now on a panic restores it, prints its message and ends the
    /// program.
    ///
    /// # Errors
    /// Standard output is not a terminal.
    pub(crate) fn set_up() -> io::Result<Self> {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
            // Other threads must not draw on the restored terminal.
            std::process::exit(PANIC_STATUS);
        }));
        // From here on a failure drops `screen`, which restores the terminal.
        let screen = Self {
            terminal: Terminal::new(CrosstermBackend::new(io::stdout()))?,
        };
        enter()?;
        Ok(screen)
    }

    /// Returns the terminal to draw on.
    pub(crate) fn terminal(&mut self) -> &mut Terminal<CrosstermBackend<Stdout>> {
        &mut self.terminal
    }

    /// Makes the next frame draw every cell.
    ///
    /// # Errors
    /// Those of the terminal.
    pub(crate) fn redraw(&mut self) -> io::Result<()> {
        // `clear` asks for the position of the cursor; the answer would reach the thread that reads
        // keys.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    /// Restores the terminal, stops this process until it is continued, and sets the terminal up
    /// again.
    ///
    /// # Errors
    /// Those of the terminal.
    pub(crate) fn suspend(&mut self) -> io::Result<()> {
        restore();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP)?;
        enter()?;
        self.redraw()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture)
}

/// Undoes [`enter`]. Ignores failures: the terminal may have disappeared.
fn restore() {
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

    /// Environment variable with which this test runs itself as a program that panics.
    const PANICS: &str = "CARPTOP_TEST_PANICS";

    #[test]
    fn panic_restores_the_terminal_before_its_message() {
        if env::var_os(PANICS).is_some() {
            let _screen = Screen::set_up().unwrap();
            panic!("printed after the terminal was restored");
        }
        let itself = env::current_exe().unwrap();
        let name = "panic_restores_the_terminal_before_its_message";
        let line = format!("'{}' --nocapture {name}", itself.display());
        // script(1) provides a terminal.
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
        assert!(at("\x1b[?1049l") < at("printed after the terminal was restored"));
        assert!(at("\x1b[?1000h") < at("\x1b[?1000l"));
        assert_eq!(output.status.code(), Some(PANIC_STATUS));
    }
}
