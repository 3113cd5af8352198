//! Channels between the protocol loop and the main thread: news from the loop, requests to it.
//!
//! The loop never waits for the main thread: news goes into a bounded queue. While the queue is full,
//! news is dropped, except replies, which are kept. As soon as there is room again,
//! [`Publisher::catch_up`] sends the full state and then the replies.
//!
//! **Invariant:** a reply arrives after the news of what the request caused.

use std::collections::BTreeMap;

use carp_proto::{
    Answer, Counters, Engine, Key, Notice, Refusal, Request, RequestId, Settings, Status,
    Suppression, Sysctl, Sysctls, Transition, Unit, UnixTime,
};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// Maximum length of the queue of news. A transition makes two entries, and thousands of interfaces can
/// change their states at the same time.
const NEWS_LIMIT: usize = 16_384;

/// Maximum length of the queue of requests.
const REQUEST_LIMIT: usize = 256;

/// News from the loop.
#[derive(Debug)]
pub(crate) enum News {
    /// A new interface, or a change of an existing one.
    Interface(Box<Status>),
    /// Current counters and times, as [`LoopRequest::Refresh`] asks for.
    Refreshed {
        /// Interfaces with changed counters or times.
        interfaces: Vec<Status>,
        /// Sum of the counters of all interfaces.
        totals: Counters,
        /// Notified once the snapshot contains them.
        done: oneshot::Sender<()>,
    },
    /// An interface was destroyed.
    Gone(Unit),
    /// Change of a state. The news of its interface comes immediately before.
    Changed(Transition),
    /// Change of a sysctl, or of the causes that suppress preemption.
    Sysctls {
        /// Their values.
        values: Sysctls,
        /// Every cause.
        suppressions: Vec<Suppression>,
    },
    /// Report for operators.
    Notice(UnixTime, Notice),
    /// Reply to a request.
    Answer(RequestId, Result<Answer, Refusal>),
    /// Full state, after news was dropped.
    Everything(Box<Everything>),
}

/// Full state of the engine, as far as it is published.
#[derive(Debug, Default)]
pub(crate) struct Everything {
    /// Every interface.
    pub(crate) interfaces: Vec<Status>,
    /// The sysctls.
    pub(crate) values: Sysctls,
    /// Every cause that suppresses preemption.
    pub(crate) suppressions: Vec<Suppression>,
    /// Sum of the counters of all interfaces.
    pub(crate) totals: Counters,
    /// Time of the state.
    pub(crate) at: UnixTime,
}

/// Request to the loop.
#[derive(Debug)]
pub(crate) enum LoopRequest {
    /// Request for the engine, answered with [`News::Answer`]. Numbers count up from 1.
    Engine(RequestId, Request),
    /// Request for current counters and times, answered with [`News::Refreshed`].
    Refresh(oneshot::Sender<()>),
    /// Request for the password of an interface, which only root may see; `None` if the interface does
    /// not exist.
    Key(Unit, oneshot::Sender<Option<Key>>),
    /// Request for the kernel's refusals of one carp interface, or of all, answered with
    /// [`News::Answer`] once the kernel has done all earlier work for it.
    Settle(RequestId, Option<Unit>),
    /// Report that the configuration has been set up.
    Complete,
    /// Request to be notified once the state of all earlier replies is saved for a restart. The sender
    /// is dropped if there is nothing to wait for.
    Saved(oneshot::Sender<()>),
    /// Request for everything that the configuration files can contain.
    Running(oneshot::Sender<Running>),
}

/// Running configuration, with passwords.
#[derive(Debug, Default)]
pub(crate) struct Running {
    /// Every interface with its settings.
    pub(crate) interfaces: BTreeMap<Unit, Settings>,
    /// Every sysctl that can be set, with its value.
    pub(crate) sysctls: Vec<(Sysctl, u64)>,
}

impl Running {
    /// Returns the running configuration of `engine`.
    pub(crate) fn of(engine: &Engine) -> Self {
        let settings = |unit| Some((unit, engine.settings(unit)?.clone()));
        Self {
            interfaces: engine.units().filter_map(settings).collect(),
            sysctls: Sysctl::writable()
                .map(|sysctl| (sysctl, engine.get(sysctl)))
                .collect(),
        }
    }
}

/// Loop's end of the channels.
#[derive(Debug)]
pub(crate) struct LoopEnd {
    /// Sender of news.
    pub(crate) publisher: Publisher,
    /// Queue of requests.
    pub(crate) requests: mpsc::Receiver<LoopRequest>,
}

/// Main thread's end of the channels.
#[derive(Debug)]
pub(crate) struct MainEnd {
    /// Queue of news.
    pub(crate) news: mpsc::Receiver<News>,
    /// Sender of requests.
    pub(crate) requests: mpsc::Sender<LoopRequest>,
}

/// Returns both ends.
pub(crate) fn channel() -> (LoopEnd, MainEnd) {
    let (news_sender, news) = mpsc::channel(NEWS_LIMIT);
    let (request_sender, requests) = mpsc::channel(REQUEST_LIMIT);
    let publisher = Publisher {
        news: news_sender,
        kept: None,
    };
    let main_end = MainEnd {
        news,
        requests: request_sender,
    };
    (
        LoopEnd {
            publisher,
            requests,
        },
        main_end,
    )
}

/// Sender of news.
#[derive(Debug)]
pub(crate) struct Publisher {
    news: mpsc::Sender<News>,
    /// Replies that are kept while other news is dropped; `None` while there is room.
    kept: Option<Vec<(RequestId, Result<Answer, Refusal>)>>,
}

impl Publisher {
    /// Sends `news`, or drops it if the queue is full. Never blocks.
    pub(crate) fn send(&mut self, news: News) {
        let Some(kept) = &mut self.kept else {
            match self.news.try_send(news) {
                // The queue is closed while carpd stops.
                Ok(()) | Err(TrySendError::Closed(_)) => {}
                Err(TrySendError::Full(news)) => {
                    self.kept = Some(Vec::new());
                    self.send(news);
                }
            }
            return;
        };
        if let News::Answer(id, answer) = news {
            kept.push((id, answer));
        }
    }

    /// Returns whether news was dropped, so that [`catch_up`](Self::catch_up) must be called.
    pub(crate) const fn is_behind(&self) -> bool {
        self.kept.is_some()
    }

    /// Sends `everything` and the kept replies, once there is room for all of them. Call this
    /// repeatedly while [`is_behind`](Self::is_behind).
    pub(crate) fn catch_up(&mut self, everything: impl FnOnce() -> Everything) {
        let Some(kept) = &mut self.kept else { return };
        let Ok(mut permits) = self.news.try_reserve_many(1 + kept.len()) else {
            return;
        };
        if let Some(permit) = permits.next() {
            permit.send(News::Everything(Box::new(everything())));
        }
        for ((id, answer), permit) in kept.drain(..).zip(permits) {
            permit.send(News::Answer(id, answer));
        }
        self.kept = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit() -> Unit {
        Unit::try_from(0).unwrap()
    }

    #[test]
    fn full_queue_drops_news_but_no_reply() {
        let (
            LoopEnd { mut publisher, .. },
            MainEnd {
                news: mut reader, ..
            },
        ) = channel();
        for _ in 0..NEWS_LIMIT {
            publisher.send(News::Gone(unit()));
        }
        assert!(!publisher.is_behind());
        publisher.send(News::Gone(unit()));
        assert!(publisher.is_behind());
        publisher.send(News::Answer(RequestId(1), Ok(Answer::Done)));
        publisher.catch_up(Everything::default);
        for _ in 0..NEWS_LIMIT {
            assert!(matches!(reader.try_recv(), Ok(News::Gone(_))));
        }
        assert!(reader.try_recv().is_err(), "there was no room to catch up");

        publisher.catch_up(Everything::default);
        assert!(matches!(reader.try_recv(), Ok(News::Everything(_))));
        assert!(matches!(
            reader.try_recv(),
            Ok(News::Answer(RequestId(1), Ok(Answer::Done)))
        ));
        publisher.send(News::Gone(unit()));
        assert!(matches!(reader.try_recv(), Ok(News::Gone(_))));
    }
}
