//! What the loop tells the main thread, and when.

use std::collections::BTreeSet;
use std::pin::pin;

use carp_proto::{Now, Reason, StateName, Transition, Unit};
use tokio::sync::{mpsc, oneshot};

use super::withheld::Withheld;
use super::{CATCH_UP_INTERVAL, Daemon};
use crate::kernel::{self, Awaited};
use crate::publish::{Everything, News, Publisher};

impl Daemon {
    pub(super) fn tell(&mut self, news: News) {
        self.withheld.tell(news, &mut self.publisher);
    }

    /// Tells a change of state: where addresses come or go with it, once they have. After a restart
    /// they have been there all the time.
    pub(super) fn tell_transition(&mut self, transition: Transition, now: Now) {
        let unit = transition.unit;
        let moves = [transition.from, transition.to].contains(&StateName::Master);
        if moves && transition.reason != Reason::Resumed {
            let number = self.withheld.begin(unit, now.instant);
            self.kernel.confirm(Some(unit), Awaited::News(unit, number));
        }
        self.publish(&BTreeSet::from([unit]), now);
        self.tell(News::Changed(transition));
    }

    pub(super) fn publish(&mut self, units: &BTreeSet<Unit>, now: Now) {
        for unit in units {
            if let Some(status) = self.engine.status(*unit, now) {
                self.tell(News::Interface(Box::new(status)));
            }
        }
    }

    /// Tells counters and times as they are. What waits for the kernel is not shown before.
    pub(super) fn refresh(&mut self, now: Now, done: oneshot::Sender<()>) {
        let touched = self.engine.take_touched();
        let (waiting, others): (BTreeSet<Unit>, BTreeSet<Unit>) = touched
            .into_iter()
            .partition(|unit| self.withheld.has(*unit));
        self.publish(&waiting, now);
        let interfaces = others
            .iter()
            .filter_map(|unit| self.engine.status(*unit, now))
            .collect();
        self.tell(News::Refreshed {
            interfaces,
            totals: self.engine.totals(),
            done,
        });
    }

    pub(super) fn catch_up(&mut self, now: Now) {
        self.withheld.release(&mut self.publisher);
        let engine = &self.engine;
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
        self.catch_up = self
            .publisher
            .is_behind()
            .then_some(now.instant + CATCH_UP_INTERVAL);
    }
}

/// Waits for the end of the kernel thread, and tells the last transitions as it confirms them; what
/// it has not confirmed by then is told afterwards.
pub(super) async fn tell_last(
    end: impl Future<Output = bool>,
    mut kernel_news: mpsc::UnboundedReceiver<kernel::News>,
    mut withheld: Withheld,
    publisher: &mut Publisher,
) -> bool {
    let mut end = pin!(end);
    let given_back = loop {
        tokio::select! {
            biased;
            Some(news) = kernel_news.recv() => {
                if let kernel::News::Confirmed(Awaited::News(unit, number)) = news {
                    withheld.done(unit, number, publisher);
                }
            }
            given_back = &mut end => break given_back,
        }
    };
    withheld.release(publisher);
    given_back
}
