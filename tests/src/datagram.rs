//! Datagrams that a test waits for.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Longer ones are cut.
const LONGEST: usize = 8192;

/// The next datagram as text.
///
/// # Errors
/// None came within `bound`.
pub fn receive(socket: &UnixDatagram, bound: Duration) -> Result<String> {
    let end = Instant::now() + bound;
    let mut buffer = [0; LONGEST];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("nothing was told in {bound:?}");
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let heard = buffer.get(..length).context("a whole datagram")?;
                return Ok(String::from_utf8_lossy(heard).into_owned());
            }
            // signal(7): who waits with a limit is interrupted also where all programs are stopped
            // for a moment, as a machine is that is moved.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("nothing was told"),
        }
    }
}
