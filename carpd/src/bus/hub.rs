//! Where everything of the API meets: the board, the requests under way, the connections.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use carp_dbus::Error;
use carp_proto::{Answer, Key, Refusal, Request, RequestId, Unit};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::board::Board;
use super::convert;
use super::peer::Peer;
use super::system::Presence;
use crate::config::Files;
use crate::hooks::Hooks;
use crate::lock::lock;
use crate::publish::{Ask, Running};
use crate::systemd::Systemd;

/// How long the loop may take to answer; less than clients wait for us.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long one line of the configuration may take.
const PATIENCE_OF_MANY: Duration = Duration::from_secs(60);

/// How old counters and times may be that a client is shown.
const FRESH: Duration = Duration::from_millis(100);

/// Shared by every object on every connection.
#[derive(Debug)]
pub(super) struct Hub {
    hooks: Hooks,
    systemd: Systemd,
    asks: mpsc::Sender<Ask>,
    board: Mutex<Board>,
    requests: Mutex<Requests>,
    peers: Mutex<Vec<Arc<Peer>>>,
    closed: watch::Sender<bool>,
    moves: watch::Sender<()>,
    presence: watch::Sender<Presence>,
    files: tokio::sync::Mutex<Files>,
    /// When counters and times were last asked for.
    refreshed: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Requests {
    last: u64,
    waiting: BTreeMap<RequestId, oneshot::Sender<Result<Answer, Refusal>>>,
}

impl Hub {
    pub(super) fn new(asks: mpsc::Sender<Ask>, files: Files) -> Self {
        Self {
            hooks: Hooks::none(),
            systemd: Systemd::default(),
            asks,
            board: Mutex::default(),
            requests: Mutex::default(),
            peers: Mutex::default(),
            closed: watch::Sender::new(false),
            moves: watch::Sender::default(),
            presence: watch::Sender::default(),
            files: tokio::sync::Mutex::new(files),
            refreshed: tokio::sync::Mutex::default(),
        }
    }

    /// The same with hooks, and somebody who started us.
    pub(super) fn with(self, hooks: Hooks, systemd: Systemd) -> Self {
        Self {
            hooks,
            systemd,
            ..self
        }
    }

    /// What runs on changes of state.
    pub(super) const fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    /// Who started us.
    pub(super) const fn systemd(&self) -> &Systemd {
        &self.systemd
    }

    /// What is shown. Never held over an await.
    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        lock(&self.board)
    }

    /// Waits until the counters and times on the board are no older than a tenth of a second, or
    /// as long again for a loop that has more urgent things to do: what nobody looks at is not
    /// published. The loop is asked once for everybody.
    pub(super) async fn refresh(&self) {
        let mut refreshed = self.refreshed.lock().await;
        if refreshed.is_some_and(|last| last.elapsed() < FRESH) {
            return;
        }
        let (done, receiver) = oneshot::channel();
        if self.asks.try_send(Ask::Refresh(done)).is_ok() {
            // What is there is shown in any case.
            let _late = timeout(FRESH, receiver).await.is_err();
        }
        *refreshed = Some(Instant::now());
    }

    /// The configuration files, for one at a time.
    pub(super) async fn files(&self) -> tokio::sync::MutexGuard<'_, Files> {
        self.files.lock().await
    }

    /// Asks the loop for something, and waits until what it did is on the board and survives
    /// `kill -9`.
    ///
    /// # Errors
    ///
    /// The loop's refusal; [`Error::Busy`] if too many wait already, [`Error::Failed`] if the
    /// loop does not answer.
    pub(super) async fn request(&self, request: Request) -> Result<Answer, Error> {
        let answer = self.request_within(PATIENCE, request).await?;
        self.saved().await;
        Ok(answer)
    }

    /// Waits until a carpd that is started after `kill -9` would know everything that was answered
    /// before. A disk that hangs is waited for no longer than the loop.
    pub(super) async fn saved(&self) {
        let (done, saved) = oneshot::channel();
        let asked = self.asks.send(Ask::Saved(done));
        let waited = timeout(PATIENCE, async {
            if asked.await.is_ok() {
                // Dropped where there is nothing to wait for.
                let _ = saved.await;
            }
        });
        if waited.await.is_err() {
            warn!(
                "run-time state has not been written for {} s: a restart would not know the last \
                 changes",
                PATIENCE.as_secs()
            );
        }
    }

    /// The same, for one request of many that nobody waits for by itself: the loop may have a
    /// thousand others to do first, and a host that gives up has half its configuration. It does
    /// not wait for [`Hub::saved`].
    ///
    /// # Errors
    ///
    /// As [`Hub::request`].
    pub(super) async fn request_of_many(&self, request: Request) -> Result<Answer, Error> {
        self.request_within(PATIENCE_OF_MANY, request).await
    }

    /// As [`Hub::request`], and waits until the kernel has done its part for `unit`, or for all
    /// interfaces, at most two seconds.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] with what the kernel refused; what was done stays done.
    pub(super) async fn settle(&self, unit: Option<Unit>) -> Result<(), Error> {
        self.ask_within(PATIENCE, |id| Ask::Settle(id, unit))
            .await
            .map(drop)
    }

    async fn request_within(&self, limit: Duration, request: Request) -> Result<Answer, Error> {
        self.ask_within(limit, |id| Ask::Request(id, request)).await
    }

    async fn ask_within(
        &self,
        limit: Duration,
        ask: impl FnOnce(RequestId) -> Ask,
    ) -> Result<Answer, Error> {
        let (id, receiver) = self.enter_request();
        let answer = match self.asks.try_send(ask(id)) {
            Ok(()) => timeout(limit, receiver).await,
            Err(error) => {
                lock(&self.requests).waiting.remove(&id);
                return Err(unasked(&error));
            }
        };
        match answer {
            Ok(Ok(answer)) => {
                // Counters may start anew with it.
                *self.refreshed.lock().await = None;
                answer.map_err(convert::refusal)
            }
            Ok(Err(_)) => Err(Error::Failed("carpd is stopping".to_owned())),
            Err(_) => {
                lock(&self.requests).waiting.remove(&id);
                Err(Error::Failed(format!(
                    "carpd did not answer within {} seconds; the change may still happen",
                    limit.as_secs()
                )))
            }
        }
    }

    fn enter_request(&self) -> (RequestId, oneshot::Receiver<Result<Answer, Refusal>>) {
        let (sender, receiver) = oneshot::channel();
        let mut requests = lock(&self.requests);
        requests.last += 1;
        let id = RequestId(requests.last);
        requests.waiting.insert(id, sender);
        (id, receiver)
    }

    /// The password of an interface. To be shown to root alone.
    ///
    /// # Errors
    ///
    /// As [`Hub::request`]; [`Error::NotFound`] if there is no such interface.
    pub(super) async fn key(&self, unit: Unit) -> Result<Key, Error> {
        let (sender, receiver) = oneshot::channel();
        self.asks
            .try_send(Ask::Key(unit, sender))
            .map_err(|error| unasked(&error))?;
        match timeout(PATIENCE, receiver).await {
            Ok(Ok(key)) => key.ok_or_else(|| not_found(unit)),
            Ok(Err(_)) => Err(Error::Failed("carpd is stopping".to_owned())),
            Err(_) => Err(Error::Failed("carpd did not answer".to_owned())),
        }
    }

    /// Waits until the loop answers, which it does from when it knows the physical interfaces;
    /// or until it is gone.
    pub(super) async fn answers(&self) {
        let (sender, receiver) = oneshot::channel();
        if self.asks.send(Ask::Running(sender)).await.is_ok() {
            // What it says is of no interest here.
            let _ = receiver.await;
        }
    }

    /// Tells the loop that everything is set up, so that a restart may go by what is running.
    pub(super) async fn complete(&self) {
        // It fails if the loop is gone.
        let _ = self.asks.send(Ask::Complete).await;
    }

    /// What there is to save, with all passwords.
    ///
    /// # Errors
    ///
    /// As [`Hub::request`].
    pub(super) async fn running(&self) -> Result<Running, Error> {
        let (sender, receiver) = oneshot::channel();
        self.asks
            .try_send(Ask::Running(sender))
            .map_err(|error| unasked(&error))?;
        match timeout(PATIENCE, receiver).await {
            Ok(Ok(running)) => Ok(running),
            Ok(Err(_)) => Err(Error::Failed("carpd is stopping".to_owned())),
            Err(_) => Err(Error::Failed("carpd did not answer".to_owned())),
        }
    }

    /// Hands an answer to whoever waits for it; requests of others are not ours to answer.
    pub(super) fn answer(&self, id: RequestId, answer: Result<Answer, Refusal>) {
        let waiting = lock(&self.requests).waiting.remove(&id);
        let unclaimed = match waiting {
            Some(waiting) => waiting.send(answer).err(),
            None => Some(answer),
        };
        // Whoever asked gave up waiting, and holds nothing that could be let go of.
        if let Some(Ok(Answer::Held(holder))) = unclaimed {
            let (id, _) = self.enter_request();
            let release = Ask::Request(id, Request::Release(holder));
            if let Err(error) = self.asks.try_send(release) {
                warn!("a suppression of preemption is left over: {error}");
            }
        }
    }

    /// Interfaces came, went, or changed their states.
    pub(super) fn moved(&self) {
        self.moves.send_replace(());
    }

    /// Changes with [`Hub::moved`].
    pub(super) fn moves(&self) -> watch::Receiver<()> {
        self.moves.subscribe()
    }

    /// Whether carpd is on the bus.
    pub(super) const fn presence(&self) -> &watch::Sender<Presence> {
        &self.presence
    }

    /// The connections.
    pub(super) fn peers(&self) -> Vec<Arc<Peer>> {
        lock(&self.peers).clone()
    }

    /// From now on `peer` is told what happens.
    pub(super) fn join(&self, peer: Arc<Peer>) {
        lock(&self.peers).push(peer);
    }

    /// `peer` is told nothing more.
    pub(super) fn leave(&self, peer: &Arc<Peer>) {
        lock(&self.peers).retain(|other| !Arc::ptr_eq(other, peer));
    }

    /// The loop is gone: nobody is told anything more, and nobody gets an answer.
    pub(super) fn close(&self) {
        lock(&self.peers).clear();
        lock(&self.requests).waiting.clear();
        self.closed.send_replace(true);
    }

    /// Whether the loop is gone.
    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Waits for [`Hub::close`].
    pub(super) async fn closed(&self) {
        // The sender is in `self`, so that waiting cannot fail.
        let _closed = self
            .closed
            .subscribe()
            .wait_for(|closed| *closed)
            .await
            .is_ok();
    }
}

/// There is no interface of that number.
pub(super) fn not_found(unit: Unit) -> Error {
    Error::NotFound(format!("interface {unit} does not exist"))
}

/// The loop answered, but not to what it was asked.
pub(super) fn unexpected() -> Error {
    Error::Failed("carpd answered something else than it was asked".to_owned())
}

fn unasked(error: &mpsc::error::TrySendError<Ask>) -> Error {
    match error {
        mpsc::error::TrySendError::Full(_) => {
            Error::Busy("too many changes at once; try again".to_owned())
        }
        mpsc::error::TrySendError::Closed(_) => Error::Failed("carpd is stopping".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use carp_proto::HolderId;

    use super::*;

    #[tokio::test]
    async fn a_suppression_that_nobody_waited_for_is_let_go_of() {
        let (sender, mut asks) = mpsc::channel(1);
        let hub = Hub::new(sender, Files::new("/nowhere".into()));
        hub.answer(RequestId(7), Ok(Answer::Held(HolderId(3))));
        let asked = asks.try_recv();
        assert!(
            matches!(asked, Ok(Ask::Request(_, Request::Release(HolderId(3))))),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn too_many_requests_at_once_are_refused_and_the_end_of_the_loop_is_said() {
        let (sender, asks) = mpsc::channel(1);
        let hub = Arc::new(Hub::new(sender, Files::new("/nowhere".into())));
        let asking = Arc::clone(&hub);
        let first = tokio::spawn(async move { asking.request(Request::ResetStatistics).await });
        tokio::task::yield_now().await;
        let second = hub.request(Request::ResetStatistics).await;
        assert!(matches!(second, Err(Error::Busy(_))), "{second:?}");
        hub.close();
        let first = first.await.unwrap();
        assert_eq!(first, Err(Error::Failed("carpd is stopping".to_owned())));
        drop(asks);
        let third = hub.request(Request::ResetStatistics).await;
        assert_eq!(third, Err(Error::Failed("carpd is stopping".to_owned())));
    }
}
