//! Connection to carpd; the only asynchronous file. It runs on a thread of its own. Every call is a
//! task with a time limit, so that a slow daemon does not delay the screen, nor the screen the
//! daemon.

use std::future::Future;
use std::pin::pin;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use carp_dbus::{Client, ConnectError, Error, EventInfo};
use futures_util::StreamExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use crate::app::{Msg, NOT_RUNNING, Request};
use crate::model::Snapshot;

/// Longest time to connect to carpd.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time for carpd to answer a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time for polkit to answer whether this user may change something.
const POLKIT_TIMEOUT: Duration = Duration::from_secs(2);

/// Interval between attempts to connect.
const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);

/// Most events that one call requests.
const EVENTS_PER_CALL: u32 = 500;

/// Sender of requests to carpd.
#[derive(Debug)]
pub(crate) struct Source {
    requests: UnboundedSender<Request>,
}

impl Source {
    /// Starts to connect to carpd. Sends `messages` about the connection and the answers.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(messages: Sender<Msg>) -> anyhow::Result<Self> {
        let (requests, incoming) = unbounded_channel();
        let runtime = runtime()?;
        let signals = runtime
            .block_on(async { end_signals() })
            .context("signals")?;
        thread::Builder::new()
            .name("source".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    forward(signals, &messages);
                    follow(incoming, &messages).await;
                });
            })
            .context("cannot start a thread")?;
        Ok(Self { requests })
    }

    /// Sends a request. The answer arrives as a message.
    pub(crate) fn send(&self, request: Request) {
        // Fails only if the thread has ended, which it does with the main loop.
        let _ = self.requests.send(request);
    }
}

/// Reads everything once.
///
/// # Errors
/// [`ConnectError`] if carpd does not run, or the failure of a call.
pub(crate) fn snapshot() -> anyhow::Result<Snapshot> {
    runtime()?.block_on(async {
        let client = Client::connect().await?;
        read(&client).await.context("carpd")
    })
}

fn runtime() -> anyhow::Result<Runtime> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start")
}

/// Catches the signals that end the program.
fn end_signals() -> std::io::Result<Vec<tokio::signal::unix::Signal>> {
    [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
        SignalKind::quit(),
    ]
    .into_iter()
    .map(signal)
    .collect()
}

/// Sends [`Msg::End`] for each signal.
fn forward(signals: Vec<tokio::signal::unix::Signal>, messages: &Sender<Msg>) {
    for mut signal in signals {
        let messages = messages.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                if messages.send(Msg::End).is_err() {
                    return;
                }
            }
        });
    }
}

/// Connects, serves requests, and connects again, until the sender of requests is dropped.
async fn follow(mut requests: UnboundedReceiver<Request>, messages: &Sender<Msg>) {
    loop {
        let why = match timeout(CONNECT_TIMEOUT, Client::connect()).await {
            Ok(Ok(client)) => match serve(&client, &mut requests, messages).await {
                Ok(()) => return,
                Err(error) => error.to_string(),
            },
            Ok(Err(ConnectError::NoDaemon { .. })) => NOT_RUNNING.to_owned(),
            Ok(Err(error @ ConnectError::Failed { .. })) => error.to_string(),
            Err(_) => "carpd does not answer".to_owned(),
        };
        if messages.send(Msg::Disconnected(why)).is_err() {
            return;
        }
        let mut pause = pin!(sleep(RECONNECT_INTERVAL));
        loop {
            tokio::select! {
                () = &mut pause => break,
                request = requests.recv() => match request {
                    Some(request) if is_change(&request) => {
                        let text = "not connected to carpd: nothing changed".to_owned();
                        let _ = messages.send(Msg::Done(Err(text)));
                    }
                    Some(_) => {}
                    None => return,
                },
            }
        }
    }
}

/// Serves requests and forwards changes until carpd closes the connection. Returns `Ok` when the
/// sender of requests is dropped.
async fn serve(
    client: &Client,
    requests: &mut UnboundedReceiver<Request>,
    messages: &Sender<Msg>,
) -> Result<(), Error> {
    // Subscribe before reading, so that no change is lost between the two.
    let mut watch = client.watch().await?;
    let snapshot = limited(read(client)).await?;
    let mut has_reader = messages.send(Msg::Snapshot(Box::new(snapshot))).is_ok();
    while has_reader {
        tokio::select! {
            change = watch.next() => match change {
                Some(change) => has_reader = messages.send(Msg::Change(Box::new(change))).is_ok(),
                None => return Err(Error::Failed("carpd has closed the connection".to_owned())),
            },
            request = requests.recv() => match request {
                Some(request) => {
                    let (client, messages) = (client.clone(), messages.clone());
                    tokio::spawn(async move {
                        // Fails only while the program ends.
                        let _ = messages.send(perform(&client, request).await);
                    });
                }
                None => return Ok(()),
            },
        }
    }
    Ok(())
}

/// Returns whether a request changes something.
const fn is_change(request: &Request) -> bool {
    match request {
        Request::List | Request::Refresh(_) | Request::ReadAll | Request::Suppressions => false,
        Request::Create(..)
        | Request::Configure(..)
        | Request::Destroy(_)
        | Request::Sysctl(..) => true,
    }
}

/// Performs a request and returns the message about its result.
async fn perform(client: &Client, request: Request) -> Msg {
    let failed = |error: Error| Msg::ReadFailed(error.to_string());
    match request {
        Request::List => {
            let listed = timed(client.interfaces()).await;
            listed.map_or_else(failed, |(interfaces, took)| Msg::Listed {
                interfaces,
                took,
            })
        }
        Request::Refresh(names) => {
            let looked = timed(refresh(client, &names)).await;
            looked.map_or_else(failed, |(interfaces, took)| Msg::Refreshed {
                interfaces,
                took,
            })
        }
        Request::ReadAll => limited(read(client))
            .await
            .map_or_else(failed, |snapshot| Msg::Snapshot(Box::new(snapshot))),
        Request::Suppressions => limited(client.suppressions())
            .await
            .map_or_else(failed, Msg::Suppressions),
        change @ (Request::Create(..)
        | Request::Configure(..)
        | Request::Destroy(_)
        | Request::Sysctl(..)) => Msg::Done(apply(client, change).await),
    }
}

/// Reads the interfaces with these names.
async fn refresh(
    client: &Client,
    names: &[String],
) -> Result<Vec<carp_dbus::InterfaceInfo>, Error> {
    let mut found = Vec::new();
    for name in names {
        match client.interface(name).await {
            Ok(info) => found.push(info),
            // Destroyed meanwhile; a signal announces it.
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Performs a request that changes something. Returns a message about it.
async fn apply(client: &Client, request: Request) -> Result<String, String> {
    let message = |error: Error| error.to_string();
    match request {
        Request::Create(name, changes) => {
            let settings = settings(changes).await?;
            let created = client.create(&name, settings).await.map_err(message)?;
            Ok(format!("{created} created"))
        }
        Request::Configure(name, changes) => {
            let settings = settings(changes).await?;
            client.configure(&name, settings).await.map_err(message)?;
            Ok(format!("{name} changed"))
        }
        Request::Destroy(name) => {
            client.destroy(&name).await.map_err(message)?;
            Ok(format!("{name} destroyed"))
        }
        Request::Sysctl(name, value) => {
            let old = client.sysctl_set(&name, value).await.map_err(message)?;
            Ok(format!("{name}: {old} -> {value}"))
        }
        Request::List | Request::Refresh(_) | Request::ReadAll | Request::Suppressions => {
            Ok(String::new())
        }
    }
}

/// Reads passwords from their files, with a time limit, because a file can be a pipe without a
/// writer.
async fn settings(changes: carp_dbus::ifconfig::Changes) -> Result<carp_dbus::Settings, String> {
    let reading = tokio::task::spawn_blocking(|| changes.settings());
    match timeout(CALL_TIMEOUT, reading).await {
        Ok(Ok(settings)) => settings,
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the password file has no end: name a regular file".to_owned()),
    }
}

/// Reads everything.
async fn read(client: &Client) -> Result<Snapshot, Error> {
    let allowed = allowed(client).await;
    Ok(Snapshot {
        allowed,
        version: client.version().await?,
        interfaces: client.interfaces().await?,
        sysctls: client.sysctls().await?,
        suppressions: client.suppressions().await?,
        events: events(client).await?,
    })
}

/// Returns whether this user may change anything; false if polkit does not answer.
async fn allowed(client: &Client) -> bool {
    let [configure, state, sysctl] = ["configure", "state", "sysctl"]
        .map(|action| timeout(POLKIT_TIMEOUT, client.can_change(action)));
    let (configure, state, sysctl) = tokio::join!(configure, state, sysctl);
    [configure, state, sysctl]
        .iter()
        .any(|answer| matches!(answer, Ok(Ok(true))))
}

/// Reads every kept event.
async fn events(client: &Client) -> Result<Vec<EventInfo>, Error> {
    let mut all: Vec<EventInfo> = Vec::new();
    loop {
        let after = all.last().map_or(0, |event| event.number);
        let more = client.events(after, EVENTS_PER_CALL).await?;
        if more.is_empty() {
            return Ok(all);
        }
        all.extend(more);
    }
}

/// Returns the answer and the microseconds until it arrived.
async fn timed<T>(call: impl Future<Output = Result<T, Error>>) -> Result<(T, u64), Error> {
    let start = Instant::now();
    let answer = limited(call).await?;
    let took = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok((answer, took))
}

/// Returns the answer, or an error after [`CALL_TIMEOUT`].
async fn limited<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(CALL_TIMEOUT, call).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Failed("carpd does not answer".to_owned())),
    }
}
