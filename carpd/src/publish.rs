//! The way between the protocol loop and everything else: news out, questions in.
//!
//! The loop must never wait for anybody, so what it tells goes into a bounded queue. When that is
//! full, news is dropped, except answers, which are kept; as soon as there is room again,
//! [`Publisher::catch_up`] tells everything from scratch and then the answers.
//!
//! **Invariant:** an answer arrives after the news of what it caused.

use std::collections::BTreeMap;

use carp_proto::{
    Answer, Counters, Engine, Key, Notice, Refusal, Request, RequestId, Settings, Status,
    Suppression, Sysctl, Sysctls, Transition, Unit, UnixTime,
};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// How much news may wait: two messages for every transition of 4,000 interfaces at once.
const NEWS: usize = 16_384;

/// How many questions may wait.
const ASKS: usize = 256;

/// What the loop tells.
#[derive(Debug)]
pub(crate) enum News {
    /// An interface is new, or something shown of it changed.
    Interface(Box<Status>),
    /// Counters and times as they are now; told when somebody wants to see them.
    Refreshed {
        /// The interfaces of which any moved on.
        interfaces: Vec<Status>,
        /// The counters of all interfaces together.
        totals: Counters,
        /// Told once they can be seen.
        done: oneshot::Sender<()>,
    },
    /// An interface is no more.
    Gone(Unit),
    /// A state changed. Its interface's news comes right before.
    Changed(Transition),
    /// A sysctl changed, or what suppresses preemption.
    Sysctls {
        /// Their values.
        values: Sysctls,
        /// Every cause.
        suppressions: Vec<Suppression>,
    },
    /// Something an operator may want to know.
    Notice(UnixTime, Notice),
    /// What became of a request.
    Answer(RequestId, Result<Answer, Refusal>),
    /// News was dropped; this is how things are now.
    Everything(Box<Everything>),
}

/// The whole of what is shown.
#[derive(Debug, Default)]
pub(crate) struct Everything {
    /// Every interface.
    pub(crate) interfaces: Vec<Status>,
    /// The sysctls.
    pub(crate) values: Sysctls,
    /// Every cause that suppresses preemption.
    pub(crate) suppressions: Vec<Suppression>,
    /// The counters of all interfaces together.
    pub(crate) totals: Counters,
    /// When that was.
    pub(crate) at: UnixTime,
}

/// What the loop is asked.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Its answer is told as [`News::Answer`]. Numbers count up from 1.
    Request(RequestId, Request),
    /// Counters and times are wanted: [`News::Refreshed`].
    Refresh(oneshot::Sender<()>),
    /// The password of an interface, for root's eyes; `None` if there is no such interface.
    Key(Unit, oneshot::Sender<Option<Key>>),
    /// The answer is wanted once the kernel has done what was asked of it until now, for one carp
    /// interface or for all: what it refuses then.
    Settle(RequestId, Option<Unit>),
    /// Everything that is configured has been set up.
    Complete,
    /// Notified once a restart would know everything that was answered before; dropped if there is
    /// nothing to wait for.
    Saved(oneshot::Sender<()>),
    /// What there is to save, passwords and all.
    Running(oneshot::Sender<Running>),
}

/// What there is to save.
#[derive(Debug, Default)]
pub(crate) struct Running {
    /// Every interface with everything that is set on it.
    pub(crate) interfaces: BTreeMap<Unit, Settings>,
    /// Every sysctl that can be set, with its value.
    pub(crate) sysctls: Vec<(Sysctl, u64)>,
}

impl Running {
    /// That of `engine`.
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

/// The loop's end.
#[derive(Debug)]
pub(crate) struct LoopEnd {
    /// Where news goes.
    pub(crate) publisher: Publisher,
    /// Where questions come from.
    pub(crate) asks: mpsc::Receiver<Ask>,
}

/// Everybody else's end.
#[derive(Debug)]
pub(crate) struct ApiEnd {
    /// Where news comes from.
    pub(crate) news: mpsc::Receiver<News>,
    /// Where questions go.
    pub(crate) asks: mpsc::Sender<Ask>,
}

/// Both ends.
pub(crate) fn channel() -> (LoopEnd, ApiEnd) {
    let (sender, news) = mpsc::channel(NEWS);
    let (asker, asks) = mpsc::channel(ASKS);
    let publisher = Publisher {
        news: sender,
        owed: None,
    };
    (LoopEnd { publisher, asks }, ApiEnd { news, asks: asker })
}

/// What tells the news.
#[derive(Debug)]
pub(crate) struct Publisher {
    news: mpsc::Sender<News>,
    owed: Option<Vec<(RequestId, Result<Answer, Refusal>)>>,
}

impl Publisher {
    /// Tells `news`, or drops it if the other end is far behind. Never blocks.
    pub(crate) fn tell(&mut self, news: News) {
        let Some(owed) = &mut self.owed else {
            match self.news.try_send(news) {
                // With nobody left to hear it, news is nothing to worry about: we are stopping.
                Ok(()) | Err(TrySendError::Closed(_)) => {}
                Err(TrySendError::Full(news)) => {
                    self.owed = Some(Vec::new());
                    self.tell(news);
                }
            }
            return;
        };
        if let News::Answer(id, answer) = news {
            owed.push((id, answer));
        }
    }

    /// Whether news was dropped that [`catch_up`](Self::catch_up) has yet to make up for.
    pub(crate) const fn is_behind(&self) -> bool {
        self.owed.is_some()
    }

    /// After news was dropped: tells `everything` and the answers held back, once there is room
    /// for them. Called now and then while [`is_behind`](Self::is_behind).
    pub(crate) fn catch_up(&mut self, everything: impl FnOnce() -> Everything) {
        let Some(owed) = &mut self.owed else { return };
        let Ok(mut permits) = self.news.try_reserve_many(1 + owed.len()) else {
            return;
        };
        if let Some(permit) = permits.next() {
            permit.send(News::Everything(Box::new(everything())));
        }
        for ((id, answer), permit) in owed.drain(..).zip(permits) {
            permit.send(News::Answer(id, answer));
        }
        self.owed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit() -> Unit {
        Unit::try_from(0).unwrap()
    }

    #[test]
    fn a_full_queue_drops_news_but_no_answer_and_starts_from_scratch() {
        let (
            LoopEnd { mut publisher, .. },
            ApiEnd {
                news: mut reader, ..
            },
        ) = channel();
        for _ in 0..NEWS {
            publisher.tell(News::Gone(unit()));
        }
        assert!(!publisher.is_behind());
        publisher.tell(News::Gone(unit()));
        assert!(publisher.is_behind());
        publisher.tell(News::Answer(RequestId(1), Ok(Answer::Done)));
        publisher.catch_up(Everything::default);
        for _ in 0..NEWS {
            assert!(matches!(reader.try_recv(), Ok(News::Gone(_))));
        }
        assert!(reader.try_recv().is_err(), "there was no room to catch up");

        publisher.catch_up(Everything::default);
        assert!(matches!(reader.try_recv(), Ok(News::Everything(_))));
        assert!(matches!(
            reader.try_recv(),
            Ok(News::Answer(RequestId(1), Ok(Answer::Done)))
        ));
        publisher.tell(News::Gone(unit()));
        assert!(matches!(reader.try_recv(), Ok(News::Gone(_))));
    }
}
