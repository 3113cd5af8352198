//! Holders of suppressed preemption outside of carpd: each has the write end of a pipe.
//!
//! The kernel closes the write end when its holder dies, and carpd then reads the end of the file.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use carp_dbus::Error;
use carp_proto::{HolderId, Request};
use tokio::net::unix::pipe::Receiver;
use tracing::{debug, warn};

use crate::requests::Requests;

/// Pause before releasing a holder again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Suppresses preemption until every copy of the returned descriptor is closed.
///
/// # Errors
/// As [`Requests::request`]; [`Error::Failed`] if no descriptors are left.
pub(super) async fn hold(
    requests: &Arc<Requests>,
    who: String,
    why: String,
) -> Result<OwnedFd, Error> {
    let (ours, theirs) = pipe().map_err(|error| Error::Failed(format!("no pipe: {error}")))?;
    let label = who.clone();
    let holder = requests.suppress(who, why).await?;
    tokio::spawn(release_when_closed(
        Arc::clone(requests),
        ours,
        holder,
        label,
    ));
    Ok(theirs)
}

fn pipe() -> io::Result<(Receiver, OwnedFd)> {
    let (ours, theirs) = io::pipe()?;
    Ok((Receiver::from_owned_fd(ours.into())?, theirs.into()))
}

async fn release_when_closed(
    requests: Arc<Requests>,
    pipe: Receiver,
    holder: HolderId,
    who: String,
) {
    closed(&pipe).await;
    debug!("{who}: releases preemption");
    loop {
        match requests.request(Request::Release(holder)).await {
            Ok(_) | Err(Error::NotFound(_)) => return,
            Err(error) => warn!("{who}: cannot release preemption: {error}; trying again"),
        }
        tokio::select! {
            () = requests.ended() => return,
            () = tokio::time::sleep(RETRY_INTERVAL) => {}
        }
    }
}

/// Waits until the write end is closed. Written bytes are ignored.
async fn closed(pipe: &Receiver) {
    let mut ignored = [0; 64];
    while pipe.readable().await.is_ok() {
        match pipe.try_read(&mut ignored) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
}
