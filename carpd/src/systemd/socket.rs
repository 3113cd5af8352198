//! Socket to the service manager.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Socket to systemd. It is not connected, since systemd can bind a new socket when it is updated.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Socket {
    /// Returns a socket for a path, or for an abstract name after `@`.
    pub(super) fn to(address: &OsStr) -> io::Result<Self> {
        let address = match address.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(address)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address })
    }

    /// Sends without blocking.
    pub(super) fn send(&self, message: &str) -> io::Result<()> {
        let message = message.as_bytes();
        self.socket.send_to_addr(message, &self.address).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn abstract_name_is_an_address() {
        let name = format!("carpd-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let theirs = UnixDatagram::bind_addr(&address).unwrap();
        let socket = Socket::to(OsStr::new(&format!("@{name}"))).unwrap();
        socket.send("READY=1").unwrap();
        let read = carp_tests::receive(&theirs, Duration::from_secs(20));
        assert_eq!(read.unwrap(), "READY=1");
    }
}
