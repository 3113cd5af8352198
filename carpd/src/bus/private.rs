//! Private socket: D-Bus without a bus, for root.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener as StdListener;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};
use zbus::Guid;

use super::callers::Callers;
use super::server::{Server, Transport};

/// Maximum number of clients.
const CLIENTS: usize = 128;

/// Time limit of a client's handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for clients to read their last signals when carpd stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Pause before accepting again when no descriptors are left.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Listening socket. Its file is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct PrivateSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl PrivateSocket {
    /// Listens at `path`, and replaces a socket that a previous instance left behind.
    ///
    /// # Errors
    /// [`ErrorKind::AddrInUse`] if another carpd answers there; errors of the file system.
    pub(crate) fn bind(path: PathBuf) -> io::Result<Self> {
        remove_stale(&path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // On Linux, the file gets the mode of the socket, so that other users can never open it.
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        socket.bind(&SockAddr::unix(&path)?)?;
        socket.listen(CLIENTS.try_into().unwrap_or(i32::MAX))?;
        socket.set_nonblocking(true)?;
        let listener = UnixListener::from_std(StdListener::from(socket))?;
        Ok(Self { listener, path })
    }

    /// Serves clients until `end`, and then lets them read their last signals.
    pub(crate) async fn serve(self, server: &Arc<Server>, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                () = &mut end => break,
                Some(_) = clients.join_next() => {}
                accepted = self.listener.accept(), if clients.len() < CLIENTS => match accepted {
                    Ok((stream, _)) => {
                        let server = Arc::clone(server);
                        clients.spawn(async move {
                            let uid = stream.peer_cred().map(|credentials| credentials.uid());
                            let outcome = match uid {
                                Ok(uid) => welcome(&server, stream, uid).await,
                                Err(error) => Err(error.into()),
                            };
                            if let Err(error) = outcome {
                                debug!("private socket: a client failed: {error}");
                            }
                        });
                    }
                    Err(error) => {
                        warn!("{}: {error}", self.path.display());
                        tokio::time::sleep(RETRY_INTERVAL).await;
                    }
                },
            }
        }
        let rest = async { while clients.join_next().await.is_some() {} };
        // Later signals are lost.
        let _late = timeout(STOP_TIMEOUT, rest).await.is_err();
    }
}

impl Drop for PrivateSocket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            debug!("{}: {error}", self.path.display());
        }
    }
}

/// Removes a socket on which no carpd answers.
fn remove_stale(path: &Path) -> io::Result<()> {
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let taken = |text: &str| {
        Err(io::Error::new(
            ErrorKind::AddrInUse,
            format!("{}: {text}", path.display()),
        ))
    };
    if !file.file_type().is_socket() {
        return taken("there is a file that is not a socket");
    }
    match StdStream::connect(path) {
        Ok(_) => taken("another carpd answers there"),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

/// Serves one client until it disconnects.
async fn welcome(server: &Server, stream: UnixStream, uid: u32) -> zbus::Result<()> {
    let handle = stream.as_fd().try_clone_to_owned()?;
    let transport = Transport::unix(stream, |builder| builder.server(Guid::generate()).p2p());
    let opened = timeout(
        HANDSHAKE_TIMEOUT,
        server.open(transport, Callers::User(uid)),
    )
    .await;
    if let Ok(connection) = opened {
        connection?.serve().await;
    } else {
        debug!("private socket: a client did not finish its handshake in time");
    }
    // Replies to a client that does not read may still wait in tasks of zbus. This ends them.
    Ok(SockRef::from(&handle).shutdown(Shutdown::Both)?)
}
