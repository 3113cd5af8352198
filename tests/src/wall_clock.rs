//! Wall clocks that differ from the machine's, each for one program.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::Lab;

const LIBRARY: &str = include_str!("wall_clock.c");

/// Wall clock of the programs that run with its [`WallClock::environment`]. Timers and all other
/// clocks of the programs are the machine's.
#[derive(Debug)]
pub struct WallClock {
    file: File,
    path: PathBuf,
    library: PathBuf,
}

impl WallClock {
    /// Creates a clock with the machine's time. `name` is unique in the lab, whose directory has
    /// the files of the clock.
    pub fn new(lab: &Lab, name: &str) -> Result<Self> {
        let library = lab.path("wall-clock.so");
        if !library.exists() {
            let source = lab.path("wall-clock.c");
            fs::write(&source, LIBRARY)?;
            let mut command = Command::new("cc");
            command.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]);
            let output = command.arg(&library).arg(&source).output().context("cc")?;
            let complaint = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "cc: {complaint}");
        }
        let path = lab.path(&format!("{name}.clock"));
        fs::write(&path, 0_i64.to_ne_bytes())?;
        let file = File::options().write(true).open(&path)?;
        Ok(Self {
            file,
            path,
            library,
        })
    }

    /// Returns the environment variables that give a program this clock.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", self.library.clone().into()),
            ("WALL_CLOCK", self.path.clone().into()),
        ]
    }

    /// Sets the clock this many milliseconds ahead of the machine's.
    pub fn set_ahead(&self, milliseconds: i64) -> Result<()> {
        let nanoseconds = milliseconds * 1_000_000;
        let bytes = nanoseconds.to_ne_bytes();
        self.file.write_all_at(&bytes, 0).context("the wall clock")
    }
}
