//! carpd on the bus: the only async file. It has a thread of its own; every call has a task of
//! its own and a time limit, so that neither a slow daemon nor a slow screen holds up the other.

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

/// How long carpd may take to answer one call.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it may take to say whether we may change something.
const POLKIT: Duration = Duration::from_secs(2);

/// How long after carpd was not there it is looked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// How many events one call asks for.
const BATCH: u32 = 500;

/// Where orders go to.
#[derive(Debug)]
pub(crate) struct Source {
    orders: UnboundedSender<Request>,
}

impl Source {
    /// Begins to look for carpd. What becomes of it goes to `messages`.
    ///
    /// # Errors
    /// If the system has no thread for it.
    pub(crate) fn start(messages: Sender<Msg>) -> anyhow::Result<Self> {
        let (orders, incoming) = unbounded_channel();
        let runtime = runtime()?;
        let signals = runtime.block_on(async { ends() }).context("signals")?;
        thread::Builder::new()
            .name("source".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    forward(signals, &messages);
                    follow(incoming, &messages).await;
                });
            })
            .context("no thread")?;
        Ok(Self { orders })
    }

    /// Gives an order. What becomes of it comes as a message.
    pub(crate) fn order(&self, order: Request) {
        // The source lives as long as its messages are read, and then nobody gives orders.
        let _ = self.orders.send(order);
    }
}

/// Reads everything once.
///
/// # Errors
/// [`ConnectError`] if there is no carpd, or what went wrong on the way.
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

/// The signals that ask to end.
fn ends() -> std::io::Result<Vec<tokio::signal::unix::Signal>> {
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

/// Connects, follows, and connects again, until nobody gives orders any more.
async fn follow(mut orders: UnboundedReceiver<Request>, messages: &Sender<Msg>) {
    loop {
        let why = match timeout(PATIENCE * 2, Client::connect()).await {
            Ok(Ok(client)) => match serve(&client, &mut orders, messages).await {
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
        let mut again = pin!(sleep(AGAIN));
        loop {
            tokio::select! {
                () = &mut again => break,
                order = orders.recv() => match order {
                    Some(order) if changes(&order) => {
                        let text = "carpd is not there: nothing changed".to_owned();
                        let _ = messages.send(Msg::Done(Err(text)));
                    }
                    Some(_) => {}
                    None => return,
                },
            }
        }
    }
}

/// Follows one carpd until it is gone. It ends well when nobody gives orders any more.
async fn serve(
    client: &Client,
    orders: &mut UnboundedReceiver<Request>,
    messages: &Sender<Msg>,
) -> Result<(), Error> {
    // Watched first, so that nothing falls between what was and what comes.
    let mut watch = client.watch().await?;
    let snapshot = limited(read(client)).await?;
    let mut wanted = messages.send(Msg::Snapshot(Box::new(snapshot))).is_ok();
    while wanted {
        tokio::select! {
            change = watch.next() => match change {
                Some(change) => wanted = messages.send(Msg::Change(Box::new(change))).is_ok(),
                None => return Err(Error::Failed("carpd is gone".to_owned())),
            },
            order = orders.recv() => match order {
                Some(order) => {
                    let (client, messages) = (client.clone(), messages.clone());
                    tokio::spawn(async move {
                        // Nobody is left to tell if this fails.
                        let _ = messages.send(obey(&client, order).await);
                    });
                }
                None => return Ok(()),
            },
        }
    }
    Ok(())
}

const fn changes(order: &Request) -> bool {
    match order {
        Request::List | Request::Refresh(_) | Request::ReadAll | Request::Suppressions => false,
        Request::Create(..)
        | Request::Configure(..)
        | Request::Destroy(_)
        | Request::Sysctl(..) => true,
    }
}

async fn obey(client: &Client, order: Request) -> Msg {
    let unread = |error: Error| Msg::ReadFailed(error.to_string());
    match order {
        Request::List => {
            let listed = timed(client.interfaces()).await;
            listed.map_or_else(unread, |(interfaces, took)| Msg::Listed {
                interfaces,
                took,
            })
        }
        Request::Refresh(names) => {
            let looked = timed(refresh(client, &names)).await;
            looked.map_or_else(unread, |(interfaces, took)| Msg::Refreshed {
                interfaces,
                took,
            })
        }
        Request::ReadAll => limited(read(client))
            .await
            .map_or_else(unread, |snapshot| Msg::Snapshot(Box::new(snapshot))),
        Request::Suppressions => limited(client.suppressions())
            .await
            .map_or_else(unread, Msg::Suppressions),
        change @ (Request::Create(..)
        | Request::Configure(..)
        | Request::Destroy(_)
        | Request::Sysctl(..)) => Msg::Done(apply(client, change).await),
    }
}

async fn refresh(
    client: &Client,
    names: &[String],
) -> Result<Vec<carp_dbus::InterfaceInfo>, Error> {
    let mut found = Vec::new();
    for name in names {
        match client.interface(name).await {
            Ok(info) => found.push(info),
            // Removed meanwhile: a signal says so.
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Changes something, and says what.
async fn apply(client: &Client, order: Request) -> Result<String, String> {
    let in_words = |error: Error| error.to_string();
    match order {
        Request::Create(name, changes) => {
            let settings = settings(changes).await?;
            let created = client.create(&name, settings).await.map_err(in_words)?;
            Ok(format!("{created} created"))
        }
        Request::Configure(name, changes) => {
            let settings = settings(changes).await?;
            client.configure(&name, settings).await.map_err(in_words)?;
            Ok(format!("{name} changed"))
        }
        Request::Destroy(name) => {
            client.destroy(&name).await.map_err(in_words)?;
            Ok(format!("{name} destroyed"))
        }
        Request::Sysctl(name, value) => {
            let old = client.sysctl_set(&name, value).await.map_err(in_words)?;
            Ok(format!("{name}: {old} -> {value}"))
        }
        Request::List | Request::Refresh(_) | Request::ReadAll | Request::Suppressions => {
            Ok(String::new())
        }
    }
}

/// Passwords may come from files, and a file may be a pipe that nobody writes to.
async fn settings(changes: carp_dbus::ifconfig::Changes) -> Result<carp_dbus::Settings, String> {
    let reading = tokio::task::spawn_blocking(|| changes.settings());
    match timeout(PATIENCE, reading).await {
        Ok(Ok(settings)) => settings,
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the file with the password does not end".to_owned()),
    }
}

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

/// Whether there is anything that we may change. Where polkit hangs, that is no.
async fn allowed(client: &Client) -> bool {
    let [configure, state, sysctl] =
        ["configure", "state", "sysctl"].map(|action| timeout(POLKIT, client.can_change(action)));
    let (configure, state, sysctl) = tokio::join!(configure, state, sysctl);
    [configure, state, sysctl]
        .iter()
        .any(|answer| matches!(answer, Ok(Ok(true))))
}

/// Every kept event.
async fn events(client: &Client) -> Result<Vec<EventInfo>, Error> {
    let mut all: Vec<EventInfo> = Vec::new();
    loop {
        let after = all.last().map_or(0, |event| event.number);
        let more = client.events(after, BATCH).await?;
        if more.is_empty() {
            return Ok(all);
        }
        all.extend(more);
    }
}

/// The answer, and how many microseconds it took.
async fn timed<T>(call: impl Future<Output = Result<T, Error>>) -> Result<(T, u64), Error> {
    let start = Instant::now();
    let answer = limited(call).await?;
    let took = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok((answer, took))
}

async fn limited<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(PATIENCE, call).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Failed("carpd does not answer".to_owned())),
    }
}
