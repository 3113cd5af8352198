//! More frames than anybody should have to look at.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::{Host, Process};

/// Sends the frames of a file, a line each in hexadecimal, over and over, in bursts of a
/// millisecond's worth, as fast as told or as fast as it can; says at the end how many.
const SCRIPT: &str = "\
import socket, sys, time
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind((sys.argv[1], 0))
frames = [bytes.fromhex(line) for line in open(sys.argv[2])]
rate, seconds = int(sys.argv[3]), float(sys.argv[4])
begin = time.monotonic()
print('flooding', flush=True)
sent = failed = 0
send, count = sender.send, len(frames)
while (now := time.monotonic() - begin) < seconds:
    due = int(now * rate) - sent - failed
    for _ in range(min(due, 1000)):
        try:
            send(frames[(sent + failed) % count])
            sent += 1
        except OSError:
            failed += 1
    if due < 1:
        time.sleep(0.0005)
print('sent', sent, flush=True)
";

/// A running flood.
#[derive(Debug)]
pub struct Flood {
    process: Process,
    seconds: u32,
}

impl Host {
    /// Starts to send `frames` from `interface`, `rate` a second if the machine can, for so many
    /// seconds.
    pub fn flood(
        &self,
        interface: &str,
        frames: &[Vec<u8>],
        rate: u32,
        seconds: u32,
    ) -> Result<Flood> {
        let mut lines = String::new();
        for frame in frames {
            for byte in frame {
                write!(lines, "{byte:02x}")?;
            }
            lines.push('\n');
        }
        let file = self.file("flood", "hex");
        fs::write(&file, lines)?;
        let mut command = self.command("python3");
        command.args(["-c", SCRIPT, interface]).arg(&file);
        command.args([rate.to_string(), seconds.to_string()]);
        let mut process = self.spawn("flood", command)?;
        process.wait_for_log("flooding", Duration::from_secs(10))?;
        Ok(Flood { process, seconds })
    }
}

impl Flood {
    /// Waits for its end, and gives how many frames a second there were.
    pub fn finish(mut self) -> Result<u64> {
        let bound = Duration::from_secs(self.seconds.into()) + Duration::from_secs(10);
        let status = self.process.wait_for_end(bound)?;
        let log = self.process.log()?;
        ensure!(status.success(), "{log}");
        let sent = log.lines().find_map(|line| line.strip_prefix("sent "));
        let sent: u64 = sent.context("how many")?.trim().parse()?;
        Ok(sent / u64::from(self.seconds))
    }
}
