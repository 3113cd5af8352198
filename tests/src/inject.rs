//! Frames made by hand, put on a host's cable as they are.

use std::io::{BufWriter, Write as _};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::Host;

/// Sends what it reads, a frame in hexadecimal a line, from the interface that it is told.
const SCRIPT: &str = "\
import socket, sys
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind((sys.argv[1], 0))
for line in sys.stdin:
    sender.send(bytes.fromhex(line))
";

impl Host {
    /// Sends whole Ethernet frames from `interface`, in their order.
    pub fn inject(&self, interface: &str, frames: &[Vec<u8>]) -> Result<()> {
        let mut python = self
            .command("python3")
            .args(["-c", SCRIPT, interface])
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot run python3")?;
        let mut input = BufWriter::new(python.stdin.take().context("no pipe")?);
        for frame in frames {
            for byte in frame {
                write!(input, "{byte:02x}")?;
            }
            writeln!(input)?;
        }
        input.flush()?;
        drop(input);
        let status = python.wait()?;
        ensure!(status.success(), "{}: cannot send: {status}", self.name());
        Ok(())
    }
}
