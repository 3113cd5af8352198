//! Reactions of the main thread to news from the protocol loop.
//!
//! **Invariant:** no reaction waits for a client, a hook or systemd. Log lines, hooks and signals are
//! queued; a client with a full queue is disconnected.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::bus::signals::Subscribers;
use crate::hooks::Hooks;
use crate::publish::News;
use crate::requests::Requests;
use crate::snapshot::SharedSnapshot;

/// Receivers of the news, in the order in which they hear of it.
#[derive(Debug)]
pub(crate) struct Reactions {
    /// Published state.
    pub(crate) snapshot: SharedSnapshot,
    /// Programs that run on changes of state.
    pub(crate) hooks: Hooks,
    /// Notifies systemd's status line and targets, which follow the states in the snapshot.
    pub(crate) states: watch::Sender<()>,
    /// Clients on the bus and on the private socket.
    pub(crate) subscribers: Arc<Subscribers>,
    /// Requests that wait for replies.
    pub(crate) requests: Arc<Requests>,
}

impl Reactions {
    /// Reacts to news until the loop has ended, then disconnects all clients.
    pub(crate) async fn run(self, mut news: mpsc::Receiver<News>) {
        while let Some(news) = news.recv().await {
            self.react(news).await;
        }
        self.subscribers.disconnect();
        self.requests.end();
    }

    /// Reacts to one piece of news. A client that hears of it finds it in the snapshot, and a client that
    /// receives a reply finds the effects of its request everywhere: their news came before.
    async fn react(&self, news: News) {
        // Snapshot
        let (update, log) = {
            let mut snapshot = self.snapshot.lock();
            let update = match news {
                News::Interface(status) => snapshot.interface(&status),
                News::Refreshed {
                    interfaces,
                    totals,
                    done,
                } => {
                    let update = snapshot.refreshed(&interfaces, totals);
                    // Fails if the client has disconnected.
                    let _ = done.send(());
                    update
                }
                News::Gone(unit) => snapshot.gone(unit),
                News::Changed(transition) => snapshot.transition(transition),
                News::Sysctls {
                    values,
                    suppressions,
                } => snapshot.sysctls(values, suppressions),
                News::Notice(at, notice) => snapshot.notice(at, notice),
                News::Everything(everything) => snapshot.everything(*everything),
                News::Answer(id, answer) => return self.requests.reply(id, answer),
            };
            (update, snapshot.sysctls.log)
        };

        // Log
        for event in update.events() {
            event.log(log);
        }

        // Hooks
        for transition in &update.transitions {
            self.hooks.run(transition);
        }

        // systemd
        if update.changes_states() {
            self.states.send_replace(());
        }

        // Bus
        for change in update.changes {
            self.subscribers.emit(change).await;
        }
    }
}
