//! Terminal for carptop or a shell: tmux, with keys and screen.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::{Carpd, Host, program, wait_until};

/// Longest time for a screen to show a change, in addition to the protocol's times.
const SCREEN_TIMEOUT: Duration = Duration::from_secs(20);

/// Terminal with a program; ended when dropped.
#[derive(Debug)]
pub struct Terminal {
    host: Host,
    socket: PathBuf,
}

impl Terminal {
    /// Starts `carptop ARGUMENTS` on the host of `carpd`, in a terminal of `size` columns and rows.
    /// After its end, the terminal shows `ended` and its exit status.
    pub fn start(carpd: &Carpd, size: (u16, u16), arguments: &str) -> Result<Self> {
        // With job control, so that carptop can be suspended.
        let line = format!(
            "exec bash -mc 'CARPD_BUS_ADDRESS={} {} {arguments}; echo ended $?; cat'",
            carpd.address(),
            program("carptop")?.display()
        );
        Self::run(carpd.host(), size, &line)
    }

    /// Starts a shell command on a host, in a terminal of `size` columns and rows.
    pub fn run(host: &Host, size: (u16, u16), line: &str) -> Result<Self> {
        let socket = host.file("tmux", "socket");
        let terminal = Self {
            host: host.clone(),
            socket,
        };
        let (width, height) = (size.0.to_string(), size.1.to_string());
        let session = [
            "-u",
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-s",
            "carptop",
            "-x",
            &width,
            "-y",
            &height,
            line,
        ];
        terminal.tmux(&session)?;
        Ok(terminal)
    }

    /// Presses keys, by their names in tmux, such as `j`, `Enter` and `C-c`.
    pub fn press(&self, keys: &[&str]) -> Result<()> {
        self.tmux(&[&["send-keys", "-t", "carptop"], keys].concat())?;
        Ok(())
    }

    /// Types text.
    pub fn type_in(&self, text: &str) -> Result<()> {
        self.tmux(&["send-keys", "-t", "carptop", "-l", text])?;
        Ok(())
    }

    /// Returns the screen.
    pub fn screen(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p", "-t", "carptop"])
    }

    /// Returns the screen, with the codes for colours.
    pub fn coloured_screen(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-e", "-p", "-t", "carptop"])
    }

    /// Returns a tmux format of the terminal, such as `alternate_on`.
    pub fn state(&self, name: &str) -> Result<String> {
        let format = format!("#{{{name}}}");
        let text = self.tmux(&["display-message", "-p", "-t", "carptop", &format])?;
        Ok(text.trim().to_owned())
    }

    /// Changes the size of the terminal.
    pub fn resize(&self, width: u16, height: u16) -> Result<()> {
        let (width, height) = (width.to_string(), height.to_string());
        self.tmux(&[
            "resize-window",
            "-t",
            "carptop",
            "-x",
            &width,
            "-y",
            &height,
        ])?;
        Ok(())
    }

    /// Waits until all `texts` are on the screen. Returns the screen. `bound` is the protocol's
    /// time.
    pub fn wait_for(&self, texts: &[&str], bound: Duration) -> Result<String> {
        let what = format!("{texts:?} on the screen");
        wait_until(&what, bound + SCREEN_TIMEOUT, || {
            let screen = self.screen()?;
            Ok(texts
                .iter()
                .all(|text| screen.contains(text))
                .then_some(screen))
        })
        .with_context(|| format!("the screen:\n{}", self.screen().unwrap_or_default()))
    }

    /// Returns the process ID of carptop.
    pub fn pid(&self) -> Result<i32> {
        let shell = self.state("pane_pid")?;
        let children = self.host.run(&format!("pgrep -P {shell} -x carptop"));
        let children = children.with_context(|| {
            let screen = self.screen().unwrap_or_default();
            format!("carptop does not run; the screen:\n{screen}")
        })?;
        children.trim().parse().context("carptop does not run")
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        let mut command: Command = self.host.command("tmux");
        let output = command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs([
                ("LC_ALL", "C.UTF-8"),
                ("TERM", "xterm-256color"),
                ("COLORTERM", "truecolor"),
            ])
            .env("TZ", "UTC")
            .arg("-S")
            .arg(&self.socket)
            .args(arguments)
            .output()
            .context("tmux")?;
        ensure!(
            output.status.success(),
            "tmux {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Err(error) = self.tmux(&["kill-server"]) {
            eprintln!("terminal: cannot end it: {error:#}");
        }
    }
}
