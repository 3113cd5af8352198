//! The private socket: D-Bus without a bus, for root.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener as StdListener;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
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
use super::hub::Hub;
use super::peer::{self, Way};

/// How many clients there may be at once.
const CLIENTS: usize = 128;

/// How long a client may take to say hello.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long clients have to read what is left to say at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long to wait when there are no descriptors left to accept with.
const PAUSE: Duration = Duration::from_millis(100);

/// The listening socket; its file goes when it does.
#[derive(Debug)]
pub(super) struct PrivateSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl PrivateSocket {
    /// Listens at `path`, in place of a file that a carpd left behind.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AddrInUse`] if another carpd answers there; whatever the file system says.
    pub(super) fn bind(path: PathBuf) -> io::Result<Self> {
        make_way(&path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // On Linux the file gets the mode that the socket has: there is no moment at which it is
        // open to others.
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        socket.bind(&SockAddr::unix(&path)?)?;
        socket.listen(CLIENTS.try_into().unwrap_or(i32::MAX))?;
        socket.set_nonblocking(true)?;
        let listener = UnixListener::from_std(StdListener::from(socket))?;
        Ok(Self { listener, path })
    }

    /// Serves clients until the hub is closed.
    pub(super) async fn serve(self, hub: &Arc<Hub>) {
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                () = hub.closed() => break,
                Some(_) = clients.join_next() => {}
                accepted = self.listener.accept(), if clients.len() < CLIENTS => match accepted {
                    Ok((stream, _)) => {
                        let hub = Arc::clone(hub);
                        clients.spawn(async move {
                            let uid = stream.peer_cred().map(|credentials| credentials.uid());
                            let served = match uid {
                                Ok(uid) => welcome(&hub, stream, uid).await,
                                Err(error) => Err(error.into()),
                            };
                            if let Err(error) = served {
                                debug!("a client of the private socket failed: {error}");
                            }
                        });
                    }
                    Err(error) => {
                        warn!("{}: {error}", self.path.display());
                        tokio::time::sleep(PAUSE).await;
                    }
                },
            }
        }
        let rest = async { while clients.join_next().await.is_some() {} };
        // Whoever does not read by then has to do without.
        let _late = timeout(FAREWELL, rest).await.is_err();
    }
}

impl Drop for PrivateSocket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            debug!("{}: {error}", self.path.display());
        }
    }
}

/// Removes a socket on which nobody answers.
fn make_way(path: &Path) -> io::Result<()> {
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

/// Serves one client until it is gone.
async fn welcome(hub: &Arc<Hub>, stream: UnixStream, uid: u32) -> zbus::Result<()> {
    let handle = stream.as_fd().try_clone_to_owned()?;
    let way = Way::over(stream, |builder| builder.server(Guid::generate()).p2p());
    let opened = timeout(PATIENCE, peer::open(hub, way, Callers::User(uid))).await;
    if let Ok(attendance) = opened {
        attendance?.attend().await;
    } else {
        debug!("a client of the private socket never said hello");
    }
    // Answers to a client that does not read may still wait in tasks of zbus's: this ends them.
    Ok(SockRef::from(&handle).shutdown(Shutdown::Both)?)
}
