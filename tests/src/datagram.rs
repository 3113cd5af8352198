//! Datagrams that a test waits for.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Greatest length of a datagram; longer ones are cut.
const MAX_LENGTH: usize = 8192;

/// Returns the next datagram as text.
///
/// # Errors
/// No datagram arrived within `bound`.
pub fn receive(socket: &UnixDatagram, bound: Duration) -> Result<String> {
    let end = Instant::now() + bound;
    let mut buffer = [0; MAX_LENGTH];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("no datagram in {bound:?}");
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let datagram = buffer.get(..length).context("a whole datagram")?;
                return Ok(String::from_utf8_lossy(datagram).into_owned());
            }
            // signal(7): a wait with a timeout is also interrupted when a stopped process
            // continues, for example after the migration of the machine.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("no datagram"),
        }
    }
}
