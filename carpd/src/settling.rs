//! Who waits until the kernel has done what was asked of it, or has refused it.

use core::time::Duration;
use std::collections::BTreeMap;

use carp_proto::{Answer, Engine, Instant, Refusal, RefusalKind, RequestId, Unit};

use crate::publish::{News, Publisher};

/// How long the answer waits for the kernel at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// Requests without an answer yet.
#[derive(Debug, Default)]
pub(crate) struct Settling(BTreeMap<RequestId, Waiting>);

#[derive(Debug)]
struct Waiting {
    /// Which carp interface it is about; `None` for all.
    of: Option<Unit>,
    until: Instant,
}

impl Settling {
    /// The request of this number is answered when the kernel thread has confirmed it, or two
    /// seconds from `now`.
    pub(crate) fn begin(&mut self, id: RequestId, of: Option<Unit>, now: Instant) {
        let until = now + PATIENCE;
        self.0.insert(id, Waiting { of, until });
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.values().map(|waiting| waiting.until).min()
    }

    /// The kernel thread has confirmed: the answer is what the kernel refuses now.
    pub(crate) fn done(&mut self, id: RequestId, engine: &Engine, publisher: &mut Publisher) {
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
        publisher.tell(News::Answer(id, answer));
    }

    /// Answers those that have waited long enough.
    pub(crate) fn expire(&mut self, now: Instant, engine: &Engine, publisher: &mut Publisher) {
        let late = self.0.iter().filter(|(_, waiting)| waiting.until <= now);
        let late: Vec<RequestId> = late.map(|(id, _)| *id).collect();
        for id in late {
            self.done(id, engine, publisher);
        }
    }
}
