//! Main thread: the reactions to the loop's news, and the tasks beside them.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::bus::private::PrivateSocket;
use crate::bus::server::Server;
use crate::bus::signals::Subscribers;
use crate::bus::system::{self, Bus};
use crate::config::Files;
use crate::config::apply::{Configurator, Start};
use crate::hooks::Hooks;
use crate::publish::MainEnd;
use crate::reactions::Reactions;
use crate::requests::Requests;
use crate::snapshot::SharedSnapshot;
use crate::systemd::notify::Systemd;
use crate::systemd::{status, targets};

/// Clients wait until the configuration is set up, at most for this time. There may be thousands of
/// interfaces.
const SET_UP_TIMEOUT: Duration = Duration::from_secs(3);

/// Main thread, before it runs.
#[derive(Debug)]
pub(crate) struct MainThread {
    /// Private socket. It also keeps a second carpd from starting.
    pub(crate) socket: PrivateSocket,
    /// Bus to connect to.
    pub(crate) bus: Bus,
    /// Directory of the condition files of systemd's targets.
    pub(crate) conditions: PathBuf,
    /// Configuration files.
    pub(crate) files: Files,
    /// Programs that run on changes of state.
    pub(crate) hooks: Hooks,
    /// Service manager.
    pub(crate) systemd: Systemd,
}

impl MainThread {
    /// Applies the configuration if carpd is to `start` so, calls `ready`, and serves clients until the
    /// loop has ended. Then clients have a second to read their last signals, and the last hooks run.
    /// `hangups` reload the configuration.
    pub(crate) async fn run(
        self,
        MainEnd { news, requests }: MainEnd,
        start: Start,
        mut hangups: Signal,
        ready: impl FnOnce(),
    ) {
        let snapshot = SharedSnapshot::default();
        let requests = Arc::new(Requests::new(requests));
        let subscribers = Arc::new(Subscribers::default());
        let states = watch::Sender::default();
        let configurator = Arc::new(Configurator::new(
            self.files,
            Arc::clone(&requests),
            snapshot.clone(),
            self.systemd.clone(),
        ));
        let server = Arc::new(Server {
            snapshot: snapshot.clone(),
            requests: Arc::clone(&requests),
            configurator: Arc::clone(&configurator),
            subscribers: Arc::clone(&subscribers),
        });
        let (connection, on_connection) = watch::channel(None);
        let on_states = states.subscribe();
        let reactions = Reactions {
            snapshot: snapshot.clone(),
            hooks: self.hooks.clone(),
            states,
            subscribers,
            requests: Arc::clone(&requests),
        };

        let tasks = async {
            let mut set_up = pin!(configurator.start(start));
            let is_set_up = timeout(SET_UP_TIMEOUT, set_up.as_mut()).await.is_ok();
            ready();
            let mut on_attempt = on_connection.clone();
            let report_ready = async {
                if !is_set_up {
                    set_up.await;
                }
                // Fails if carpd ends before the first attempt to connect to the bus.
                if on_attempt.changed().await.is_ok() {
                    self.systemd.ready();
                }
            };
            let until_end = async {
                tokio::join!(
                    report_ready,
                    system::stay_connected(&server, &self.bus, &connection),
                    configurator.reload_on(&mut hangups),
                    status::keep(&self.systemd, &snapshot, on_states.clone()),
                    targets::keep(
                        &self.conditions,
                        &snapshot,
                        on_states.clone(),
                        on_connection
                    ),
                );
            };
            tokio::join!(self.socket.serve(&server, requests.ended()), async {
                tokio::select! {
                    () = requests.ended() => {}
                    () = until_end => {}
                }
            });
        };
        tokio::join!(reactions.run(news), tasks);
        self.hooks.finish().await;
    }
}
