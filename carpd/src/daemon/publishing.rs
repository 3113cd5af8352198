//! News for the main thread, and its order: behind the kernel's work that it reports.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use carp_proto::{
    Answer, Engine, Instant, Now, Reason, Refusal, RequestId, StateName, Transition, Unit,
};
use tokio::sync::{mpsc, oneshot};

use super::settling::Settling;
use super::withheld::Withheld;
use crate::kernel::{self, Awaited};
use crate::publish::{Everything, News, Publisher};

/// Pause before the main thread is sent the full state again, after its queue was full.
const CATCH_UP_INTERVAL: Duration = Duration::from_millis(100);

/// Sender of news to the main thread.
#[derive(Debug)]
pub(super) struct Publishing {
    publisher: Publisher,
    /// News that waits for the kernel.
    withheld: Withheld,
    /// Requests that wait for the kernel.
    settling: Settling,
    /// Time to send the full state; `None` while no news was lost.
    catch_up: Option<Instant>,
}

impl Publishing {
    pub(super) fn new(publisher: Publisher) -> Self {
        Self {
            publisher,
            withheld: Withheld::default(),
            settling: Settling::default(),
            catch_up: None,
        }
    }

    /// Sends news, or queues it behind news of the same carp interface that waits for the kernel.
    pub(super) fn send(&mut self, news: News) {
        self.withheld.send(news, &mut self.publisher);
    }

    /// Sends the status of `units`.
    pub(super) fn interfaces(&mut self, units: &BTreeSet<Unit>, engine: &Engine, now: Now) {
        for unit in units {
            if let Some(status) = engine.status(*unit, now) {
                self.send(News::Interface(Box::new(status)));
            }
        }
    }

    /// Sends a transition. If addresses come or go with it, it waits until they have. After a restart,
    /// they have been present all the time.
    pub(super) fn transition(
        &mut self,
        transition: Transition,
        kernel: &kernel::Handle,
        engine: &Engine,
        now: Now,
    ) {
        let unit = transition.unit;
        let moves_addresses = [transition.from, transition.to].contains(&StateName::Master);
        if moves_addresses && transition.reason != Reason::Resumed {
            let number = self.withheld.begin(unit, now.instant);
            kernel.confirm(Some(unit), Awaited::News(unit, number));
        }
        self.interfaces(&BTreeSet::from([unit]), engine, now);
        self.send(News::Changed(transition));
    }

    /// Sends the reply to a request, behind all news of the carp interfaces that it changed.
    pub(super) fn reply(
        &mut self,
        id: RequestId,
        answer: Result<Answer, Refusal>,
        changed: &BTreeSet<Unit>,
    ) {
        let reply = News::Answer(id, answer);
        self.withheld
            .send_behind(changed, reply, &mut self.publisher);
    }

    /// Replies to a request once the kernel has done all earlier work for `unit`, or for all interfaces.
    pub(super) fn settle(
        &mut self,
        id: RequestId,
        unit: Option<Unit>,
        kernel: &kernel::Handle,
        now: Instant,
    ) {
        kernel.confirm(unit, Awaited::Request(id));
        self.settling.begin(id, unit, now);
    }

    /// Sends the news or the reply that waited for this confirmation by the kernel thread.
    pub(super) fn confirmed(&mut self, awaited: Awaited, engine: &Engine) {
        match awaited {
            Awaited::News(unit, number) => self.withheld.done(unit, number, &mut self.publisher),
            Awaited::Request(id) => self.settling.done(id, engine, &mut self.publisher),
        }
    }

    /// Sends current counters and times. Interfaces whose news waits for the kernel are not shown earlier.
    pub(super) fn refresh(&mut self, engine: &mut Engine, now: Now, done: oneshot::Sender<()>) {
        let touched = engine.take_touched();
        let (waiting, others): (BTreeSet<Unit>, BTreeSet<Unit>) = touched
            .into_iter()
            .partition(|unit| self.withheld.has(*unit));
        self.interfaces(&waiting, engine, now);
        let interfaces = others
            .iter()
            .filter_map(|unit| engine.status(*unit, now))
            .collect();
        self.send(News::Refreshed {
            interfaces,
            totals: engine.totals(),
            done,
        });
    }

    /// Returns the time of the next call of [`tick`](Self::tick).
    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.catch_up,
            self.settling.deadline(),
            self.withheld.deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Sends everything that is due.
    pub(super) fn tick(&mut self, engine: &Engine, now: Now) {
        if self.catch_up.is_some_and(|at| at <= now.instant) {
            self.catch_up(engine, now);
        }
        self.settling
            .expire(now.instant, engine, &mut self.publisher);
        self.withheld.expire(now.instant, &mut self.publisher);
    }

    /// Schedules the full state if news was lost.
    pub(super) fn schedule_catch_up(&mut self, now: Instant) {
        if self.catch_up.is_none() && self.publisher.is_behind() {
            self.catch_up = Some(now + CATCH_UP_INTERVAL);
        }
    }

    fn catch_up(&mut self, engine: &Engine, now: Now) {
        self.withheld.release(&mut self.publisher);
        self.publisher.catch_up(|| Everything {
            interfaces: engine
                .units()
                .filter_map(|unit| engine.status(unit, now))
                .collect(),
            values: engine.sysctls(),
            suppressions: engine.suppressions().cloned().collect(),
            totals: engine.totals(),
            at: now.unix,
        });
        let is_behind = self.publisher.is_behind();
        self.catch_up = is_behind.then_some(now.instant + CATCH_UP_INTERVAL);
    }

    /// Waits for `end`, the end of the kernel thread, and sends the last transitions as it confirms them.
    /// Sends all others afterwards.
    pub(super) async fn finish(
        mut self,
        end: impl Future<Output = bool>,
        mut kernel_news: mpsc::UnboundedReceiver<kernel::News>,
    ) -> bool {
        let mut end = pin!(end);
        let all_undone = loop {
            tokio::select! {
                biased;
                Some(news) = kernel_news.recv() => {
                    if let kernel::News::Confirmed(Awaited::News(unit, number)) = news {
                        self.withheld.done(unit, number, &mut self.publisher);
                    }
                }
                all_undone = &mut end => break all_undone,
            }
        };
        self.withheld.release(&mut self.publisher);
        all_undone
    }
}
