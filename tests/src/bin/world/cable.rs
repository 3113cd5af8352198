//! Frames that a host sends, as they arrive at the switch.

use std::io;
use std::time::Duration;

use anyhow::{Error, Result};
use carp_tests::{Frame, Host, Wire};

/// The switch's end of a cable; `None` once the cable has gone with the host's end.
pub(crate) struct Cable(Option<Wire>);

impl Cable {
    /// Starts to capture.
    pub(crate) fn open(switch: &Host, port: &str) -> Result<Self> {
        match Wire::open(switch, port, Duration::from_millis(1)) {
            Err(error) if is_gone(&error) => Ok(Self(None)),
            opened => Ok(Self(Some(opened?))),
        }
    }

    /// Returns the frames since the last call.
    pub(crate) fn drain(&self) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        let mut buffer = [0; 2048];
        let Some(wire) = &self.0 else {
            return Ok(frames);
        };
        loop {
            match wire.receive(&mut buffer) {
                Ok(Some((_, length))) => {
                    let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                    frames.push(Frame { time: 0, bytes });
                }
                Ok(None) => return Ok(frames),
                // The kernel reports once that the port went down.
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn is_gone(error: &Error) -> bool {
    let causes = error.chain().filter_map(|cause| cause.downcast_ref());
    let mut numbers = causes.map(io::Error::raw_os_error);
    numbers.any(|number| number == Some(libc::ENODEV))
}
