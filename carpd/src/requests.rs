//! Requests to the protocol loop, bounded and timed: at most so many wait, and each has a time limit.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use carp_dbus::Error;
use carp_proto::{
    Answer, Change, HolderId, Key, Refusal, RefusalKind, Request, RequestId, Sysctl, Unit,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::lock::lock;
use crate::publish::{LoopRequest, Running};

/// Time limit of a reply. Clients wait longer for theirs. Unit tests must pass on a busy machine.
const REPLY_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 60 } else { 4 });

/// Time limit of a reply to one request of many: the loop may first handle a thousand others.
const REPLY_TIMEOUT_OF_MANY: Duration = Duration::from_secs(60);

/// Maximum age of the counters and times that a client sees.
const REFRESH_INTERVAL: Duration = Duration::from_millis(100);

/// Sender of requests to the loop, and the replies that are awaited.
#[derive(Debug)]
pub(crate) struct Requests {
    queue: mpsc::Sender<LoopRequest>,
    awaited: Mutex<Awaited>,
    ended: watch::Sender<bool>,
    /// Time of the last refresh.
    refreshed: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Awaited {
    last: u64,
    replies: BTreeMap<RequestId, oneshot::Sender<Result<Answer, Refusal>>>,
}

impl Requests {
    /// Returns a sender to the loop behind `queue`.
    pub(crate) fn new(queue: mpsc::Sender<LoopRequest>) -> Self {
        Self {
            queue,
            awaited: Mutex::default(),
            ended: watch::Sender::new(false),
            refreshed: tokio::sync::Mutex::default(),
        }
    }

    /// Waits until the counters and times in the snapshot are no older than a tenth of a second, or as
    /// long again while the loop has more urgent work. The loop is asked once for all clients.
    pub(crate) async fn refresh(&self) {
        let mut refreshed = self.refreshed.lock().await;
        if refreshed.is_some_and(|last| last.elapsed() < REFRESH_INTERVAL) {
            return;
        }
        let (done, receiver) = oneshot::channel();
        if self.queue.try_send(LoopRequest::Refresh(done)).is_ok() {
            // Clients see the earlier values if it takes longer.
            let _late = timeout(REFRESH_INTERVAL, receiver).await.is_err();
        }
        *refreshed = Some(Instant::now());
    }

    /// Creates a carp interface and returns its number.
    ///
    /// # Errors
    /// As [`Requests::request`].
    pub(crate) async fn create(
        &self,
        unit: Option<Unit>,
        changes: Vec<Change>,
    ) -> Result<Unit, Error> {
        match self.request(Request::Create { unit, changes }).await? {
            Answer::Created(unit) => Ok(unit),
            Answer::Done | Answer::Old(_) | Answer::Held(_) => Err(unexpected()),
        }
    }

    /// Sets a sysctl and returns its value before.
    ///
    /// # Errors
    /// As [`Requests::request`].
    pub(crate) async fn set(&self, sysctl: Sysctl, value: u64) -> Result<u64, Error> {
        match self.request(Request::Set(sysctl, value)).await? {
            Answer::Old(old) => Ok(old),
            Answer::Done | Answer::Created(_) | Answer::Held(_) => Err(unexpected()),
        }
    }

    /// Suppresses preemption until the returned holder is released.
    ///
    /// # Errors
    /// As [`Requests::request`].
    pub(crate) async fn suppress(&self, who: String, why: String) -> Result<HolderId, Error> {
        match self.request(Request::Suppress { who, why }).await? {
            Answer::Held(holder) => Ok(holder),
            Answer::Done | Answer::Created(_) | Answer::Old(_) => Err(unexpected()),
        }
    }

    /// Sends a request, and waits until the snapshot contains its effects and they survive `kill -9`.
    ///
    /// # Errors
    /// The engine's refusal; [`Error::Busy`] if too many requests wait; [`Error::Failed`] without a
    /// reply in time.
    pub(crate) async fn request(&self, request: Request) -> Result<Answer, Error> {
        let answer = self
            .reply_within(REPLY_TIMEOUT, |id| LoopRequest::Engine(id, request))
            .await?;
        self.saved().await;
        Ok(answer)
    }

    /// Sends one request of many, with a longer time limit: if it expired, half a configuration would
    /// be set up. Call [`Requests::saved`] after the last one.
    ///
    /// # Errors
    /// As [`Requests::request`].
    pub(crate) async fn request_of_many(&self, request: Request) -> Result<Answer, Error> {
        self.reply_within(REPLY_TIMEOUT_OF_MANY, |id| LoopRequest::Engine(id, request))
            .await
    }

    /// Waits until an instance that starts after `kill -9` would know the effects of all earlier
    /// requests. A disk that hangs does not delay this for longer than a reply.
    pub(crate) async fn saved(&self) {
        let (done, saved) = oneshot::channel();
        let sent = self.queue.send(LoopRequest::Saved(done));
        let waited = timeout(REPLY_TIMEOUT, async {
            if sent.await.is_ok() {
                // The loop drops the sender if there is nothing to wait for.
                let _ = saved.await;
            }
        });
        if waited.await.is_err() {
            warn!(
                "run-time state has not been written for {} s: a restart would not know the last \
                 changes",
                REPLY_TIMEOUT.as_secs()
            );
        }
    }

    /// Waits until the kernel has done all work for `unit`, or for all interfaces, at most two seconds.
    ///
    /// # Errors
    /// [`Error::Failed`] with the kernel's refusals. The changes stay.
    pub(crate) async fn settle(&self, unit: Option<Unit>) -> Result<(), Error> {
        self.reply_within(REPLY_TIMEOUT, |id| LoopRequest::Settle(id, unit))
            .await
            .map(drop)
    }

    /// Returns the password of an interface, which only root may see.
    ///
    /// # Errors
    /// As [`Requests::request`]; [`Error::NotFound`] if the interface does not exist.
    pub(crate) async fn key(&self, unit: Unit) -> Result<Key, Error> {
        let key = self.value(|sender| LoopRequest::Key(unit, sender)).await?;
        key.ok_or_else(|| not_found(unit))
    }

    /// Returns the running configuration, with all passwords.
    ///
    /// # Errors
    /// As [`Requests::request`].
    pub(crate) async fn running(&self) -> Result<Running, Error> {
        self.value(LoopRequest::Running).await
    }

    /// Waits until the loop handles requests, or has ended. It does once it knows all links.
    pub(crate) async fn ready(&self) {
        let (sender, receiver) = oneshot::channel();
        if self.queue.send(LoopRequest::Running(sender)).await.is_ok() {
            let _ = receiver.await;
        }
    }

    /// Reports that the configuration is set up, so that a restart may resume with the running one.
    pub(crate) async fn complete(&self) {
        // Fails if the loop has ended.
        let _ = self.queue.send(LoopRequest::Complete).await;
    }

    /// Passes a reply to its waiting request.
    pub(crate) fn reply(&self, id: RequestId, answer: Result<Answer, Refusal>) {
        let waiting = lock(&self.awaited).replies.remove(&id);
        let unclaimed = match waiting {
            Some(waiting) => waiting.send(answer).err(),
            None => Some(answer),
        };
        // The client has disconnected, and would never release the suppression.
        if let Some(Ok(Answer::Held(holder))) = unclaimed {
            let (id, _) = self.register();
            let release = LoopRequest::Engine(id, Request::Release(holder));
            if let Err(error) = self.queue.try_send(release) {
                warn!("suppression of preemption is left over: {error}");
            }
        }
    }

    /// Fails all waiting requests: the loop has ended.
    pub(crate) fn end(&self) {
        lock(&self.awaited).replies.clear();
        self.ended.send_replace(true);
    }

    /// Returns whether the loop has ended.
    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Waits until the loop has ended and the last of its news is handled.
    pub(crate) async fn ended(&self) {
        let mut ended = self.ended.subscribe();
        // The sender is in `self`, so that waiting cannot fail.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    async fn reply_within(
        &self,
        limit: Duration,
        request: impl FnOnce(RequestId) -> LoopRequest,
    ) -> Result<Answer, Error> {
        let (id, receiver) = self.register();
        let answer = match self.queue.try_send(request(id)) {
            Ok(()) => timeout(limit, receiver).await,
            Err(error) => {
                lock(&self.awaited).replies.remove(&id);
                return Err(not_sent(&error));
            }
        };
        match answer {
            Ok(Ok(answer)) => {
                // The request may have reset the counters.
                *self.refreshed.lock().await = None;
                answer.map_err(refused)
            }
            Ok(Err(_)) => Err(stopping()),
            Err(_) => {
                lock(&self.awaited).replies.remove(&id);
                Err(Error::Failed(format!(
                    "carpd did not answer within {} seconds; the change may still happen",
                    limit.as_secs()
                )))
            }
        }
    }

    fn register(&self) -> (RequestId, oneshot::Receiver<Result<Answer, Refusal>>) {
        let (sender, receiver) = oneshot::channel();
        let mut awaited = lock(&self.awaited);
        awaited.last += 1;
        let id = RequestId(awaited.last);
        awaited.replies.insert(id, sender);
        (id, receiver)
    }

    async fn value<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> LoopRequest,
    ) -> Result<T, Error> {
        let (sender, receiver) = oneshot::channel();
        self.queue
            .try_send(request(sender))
            .map_err(|error| not_sent(&error))?;
        match timeout(REPLY_TIMEOUT, receiver).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) => Err(stopping()),
            Err(_) => Err(Error::Failed("carpd did not answer".to_owned())),
        }
    }
}

/// Error for an interface that does not exist.
pub(crate) fn not_found(unit: Unit) -> Error {
    Error::NotFound(format!("interface {unit} does not exist"))
}

/// The engine's refusal, under its name on the bus.
fn refused(Refusal { kind, message }: Refusal) -> Error {
    match kind {
        RefusalKind::Exists => Error::Exists(message),
        RefusalKind::NotFound => Error::NotFound(message),
        RefusalKind::InvalidArgument => Error::InvalidArgument(message),
        RefusalKind::AddressNotAvailable => Error::AddressNotAvailable(message),
        RefusalKind::NoDevice => Error::NoDevice(message),
        RefusalKind::ReadOnly => Error::ReadOnly(message),
        RefusalKind::Busy => Error::Busy(message),
        RefusalKind::Kernel => Error::Failed(message),
    }
}

fn unexpected() -> Error {
    Error::Failed("carpd sent the reply to another request".to_owned())
}

fn stopping() -> Error {
    Error::Failed("carpd is stopping".to_owned())
}

fn not_sent(error: &mpsc::error::TrySendError<LoopRequest>) -> Error {
    match error {
        mpsc::error::TrySendError::Full(_) => {
            Error::Busy("too many changes at once; try again".to_owned())
        }
        mpsc::error::TrySendError::Closed(_) => stopping(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn suppression_without_a_waiting_client_is_released() {
        let (sender, mut queue) = mpsc::channel(1);
        let requests = Requests::new(sender);
        requests.reply(RequestId(7), Ok(Answer::Held(HolderId(3))));
        let sent = queue.try_recv();
        assert!(
            matches!(
                sent,
                Ok(LoopRequest::Engine(_, Request::Release(HolderId(3))))
            ),
            "{sent:?}"
        );
    }

    #[tokio::test]
    async fn request_is_refused_while_too_many_wait_and_fails_when_the_loop_ends() {
        let (sender, queue) = mpsc::channel(1);
        let requests = Arc::new(Requests::new(sender));
        let waiting = Arc::clone(&requests);
        let first = tokio::spawn(async move { waiting.request(Request::ResetStatistics).await });
        tokio::task::yield_now().await;
        let second = requests.request(Request::ResetStatistics).await;
        assert!(matches!(second, Err(Error::Busy(_))), "{second:?}");
        requests.end();
        assert_eq!(first.await.unwrap(), Err(stopping()));
        drop(queue);
        let third = requests.request(Request::ResetStatistics).await;
        assert_eq!(third, Err(Error::Failed("carpd is stopping".to_owned())));
    }
}
