//! Outside holders of suppressed preemption: each is the open end of a pipe.
//!
//! Whoever holds the write end holds preemption suppressed; the kernel closes it when its holder
//! dies, and our end then reads the end of the file.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use carp_dbus::Error;
use carp_proto::{Answer, HolderId, Request};
use tokio::net::unix::pipe::Receiver;
use tracing::{debug, warn};

use super::hub::{Hub, unexpected};

/// How long to wait before letting go is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Suppresses preemption until every copy of the returned descriptor is closed.
///
/// # Errors
///
/// As [`Hub::request`]; [`Error::Failed`] if there are no descriptors left.
pub(super) async fn hold(hub: &Arc<Hub>, who: String, why: String) -> Result<OwnedFd, Error> {
    let (ours, theirs) = pipe().map_err(|error| Error::Failed(format!("no pipe: {error}")))?;
    let label = who.clone();
    match hub.request(Request::Suppress { who, why }).await? {
        Answer::Held(id) => {
            tokio::spawn(watch(Arc::clone(hub), ours, id, label));
            Ok(theirs)
        }
        Answer::Done | Answer::Created(_) | Answer::Old(_) => Err(unexpected()),
    }
}

fn pipe() -> io::Result<(Receiver, OwnedFd)> {
    let (ours, theirs) = io::pipe()?;
    Ok((Receiver::from_owned_fd(ours.into())?, theirs.into()))
}

async fn watch(hub: Arc<Hub>, pipe: Receiver, id: HolderId, who: String) {
    closed(&pipe).await;
    debug!("{who} lets go of suppressed preemption");
    loop {
        match hub.request(Request::Release(id)).await {
            Ok(_) | Err(Error::NotFound(_)) => return,
            Err(error) => warn!("{who} let go of suppressed preemption, but: {error}"),
        }
        tokio::select! {
            () = hub.closed() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Waits until nobody can write any more; what is written means nothing.
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
