//! Requests that wait for the kernel before they are answered.

use core::time::Duration;
use std::collections::BTreeMap;

use carp_proto::{Answer, Engine, Instant, Refusal, RefusalKind, RequestId, Unit};

use crate::publish::{News, Publisher};

/// Longest wait for the kernel before a request is answered.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// Requests without an answer yet.
#[derive(Debug, Default)]
pub(super) struct Settling(BTreeMap<RequestId, Waiting>);

#[derive(Debug)]
struct Waiting {
    /// Carp interface of the request; `None` for all.
    of: Option<Unit>,
    until: Instant,
}

impl Settling {
    /// Adds a request, which is answered when the kernel thread confirms it, at most two seconds after
    /// `now`.
    pub(super) fn begin(&mut self, id: RequestId, of: Option<Unit>, now: Instant) {
        let until = now + REPLY_TIMEOUT;
        self.0.insert(id, Waiting { of, until });
    }

    /// Returns the time of the next call of [`expire`](Self::expire).
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.values().map(|waiting| waiting.until).min()
    }

    /// Answers a request that the kernel thread has confirmed, with the kernel's current refusals.
    pub(super) fn done(&mut self, id: RequestId, engine: &Engine, publisher: &mut Publisher) {
        let Some(Waiting { of, .. }) = self.0.remove(&id) else {
            return;
        };
        let refusals = engine.refusals(of);
        let answer = if refusals.is_empty() {
            Ok(Answer::Done)
        } else {
            Err(Refusal {
                kind: RefusalKind::Kernel,
                message: refusals.join("; "),
            })
        };
        publisher.send(News::Answer(id, answer));
    }

    /// Answers the requests that have waited for two seconds.
    pub(super) fn expire(&mut self, now: Instant, engine: &Engine, publisher: &mut Publisher) {
        let late = self.0.iter().filter(|(_, waiting)| waiting.until <= now);
        let late: Vec<RequestId> = late.map(|(id, _)| *id).collect();
        for id in late {
            self.done(id, engine, publisher);
        }
    }
}
