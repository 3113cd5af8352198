//! Capture of frames: tcpdump into a file, and a parser of the file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::{Frame, Host, Lab, Process};

const GLOBAL_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

/// Running tcpdump.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    file: PathBuf,
}

impl Capture {
    /// Captures everything that `host` sends on a cable, at the switch's port.
    pub fn sent_by(host: &Host, interface: &str) -> Result<Self> {
        let port = host.port(interface);
        Self::start(host, host.switch_namespace()?, &["-Q", "in", "-i", &port])
    }

    /// Captures everything that `host` receives on a cable, at the switch's port.
    pub fn received_by(host: &Host, interface: &str) -> Result<Self> {
        let port = host.port(interface);
        Self::start(host, host.switch_namespace()?, &["-Q", "out", "-i", &port])
    }

    /// Captures everything on a segment.
    pub fn on_segment(lab: &Lab, segment: &str) -> Result<Self> {
        let switch = lab.switch();
        Self::start(switch, switch.namespace(), &["-i", segment])
    }

    fn start(host: &Host, namespace: &str, arguments: &[&str]) -> Result<Self> {
        let file = host.file("capture", "pcap");
        let mut command = std::process::Command::new("ip");
        command
            .args([
                "netns",
                "exec",
                namespace,
                "tcpdump",
                "-n",
                "-U",
                "--immediate-mode",
            ])
            .args(["-Z", "root", "-w"])
            .arg(&file)
            .args(arguments);
        let process = host.spawn("tcpdump", command)?;
        process.wait_for_log("listening on", Duration::from_secs(10))?;
        Ok(Self { process, file })
    }

    /// Returns the frames until now.
    pub fn frames(&self) -> Result<Vec<Frame>> {
        let bytes = fs::read(&self.file).with_context(|| format!("{}", self.file.display()))?;
        read_pcap(&bytes)
    }

    /// Ends the capture. Returns all frames.
    pub fn stop(&mut self) -> Result<Vec<Frame>> {
        self.process.interrupt(Duration::from_secs(5))?;
        self.frames()
    }

    /// Returns the path of the pcap file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

/// Parses a pcap file in this machine's byte order with microseconds, as tcpdump writes it. Leaves
/// out an incomplete record at the end.
fn read_pcap(bytes: &[u8]) -> Result<Vec<Frame>> {
    let Some(mut rest) = bytes.get(GLOBAL_HEADER..) else {
        return Ok(Vec::new());
    };
    ensure!(
        number(bytes, 0) == Some(0xa1b2_c3d4),
        "not a pcap file of this machine"
    );
    let mut frames = Vec::new();
    while let (Some(seconds), Some(microseconds), Some(length)) =
        (number(rest, 0), number(rest, 4), number(rest, 8))
    {
        let end = RECORD_HEADER + usize::try_from(length)?;
        let Some(frame) = rest.get(RECORD_HEADER..end) else {
            break;
        };
        let time = u64::from(seconds) * 1_000_000 + u64::from(microseconds);
        frames.push(Frame {
            time,
            bytes: frame.to_vec(),
        });
        rest = rest.get(end..).unwrap_or_default();
    }
    Ok(frames)
}

fn number(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(
        bytes.get(offset..offset + 4)?.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_record_is_left_out() {
        let mut file = 0xa1b2_c3d4_u32.to_ne_bytes().to_vec();
        file.resize(GLOBAL_HEADER, 0);
        for _ in 0..2 {
            for field in [7_u32, 5, 3, 3] {
                file.extend(field.to_ne_bytes());
            }
            file.extend([1, 2, 3]);
        }
        file.pop();
        let frames = read_pcap(&file).expect("a pcap file");
        assert_eq!(
            frames,
            [Frame {
                time: 7_000_005,
                bytes: vec![1, 2, 3]
            }]
        );
    }
}
