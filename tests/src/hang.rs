//! Stops one thread of carpd while the others run.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{Carpd, Process};

/// Script that stops a thread with ptrace(2) until the script is killed.
const SCRIPT: &str = "\
import ctypes, os, sys, time
SEIZE, INTERRUPT = 0x4206, 0x4207
thread = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
for request in (SEIZE, INTERRUPT):
    if libc.ptrace(request, thread, None, None) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(thread, 0x40000000)
print('hangs', flush=True)
time.sleep(3600)
";

impl Carpd {
    /// Stops the thread with this name (`protocol`, `kernel`) until the returned process is killed
    /// or dropped.
    pub fn hang(&self, thread: &str) -> Result<Process> {
        let id = self.thread(thread)?;
        let mut command = self.host().command("python3");
        command.args(["-c", SCRIPT, &id]);
        let tracer = self.host().spawn("tracer", command)?;
        tracer.wait_for_log("hangs", Duration::from_secs(10))?;
        Ok(tracer)
    }

    /// Returns the ID of the thread with this name.
    fn thread(&self, name: &str) -> Result<String> {
        for task in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            let path = task?.path();
            if fs::read_to_string(path.join("comm"))?.trim() == name {
                let id = path.file_name().context("a thread ID")?;
                return Ok(id.to_string_lossy().into_owned());
            }
        }
        anyhow::bail!("carpd has no thread {name}")
    }
}
