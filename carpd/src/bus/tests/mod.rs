//! D-Bus over a socket pair, in front of a real engine with a simulated clock.

mod configuration;
mod connections;
mod introspection;
mod methods;
mod refusals;
mod signals;
mod system;

use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use carp_dbus::{Change, Client, Error, InterfaceInfo, Settings, Watch};
use carp_proto::{
    Action, Answer, DeviceAddress, DeviceName, Engine, IfIndex, Input, Instant, Link, Mac, Now,
    Unit, UnixTime, Work,
};
use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use zbus::connection::Builder;
use zbus::{Connection, Guid};

use super::callers::Callers;
use super::server::{Server, Transport};
use super::signals::Subscribers;
use crate::config::Files;
use crate::config::apply::Configurator;
use crate::hooks::Hooks;
use crate::publish::{Everything, LoopEnd, LoopRequest, News, Publisher, Running, channel};
use crate::reactions::Reactions;
use crate::requests::Requests;
use crate::snapshot::SharedSnapshot;
use crate::systemd::notify::Systemd;

/// Real time after which a test has failed. It is much longer than any wait of carpd, because the machine
/// may be busy.
const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// 2026-01-01 00:00:00 UTC.
const START: u64 = 1_767_225_600_000_000;

/// Step of a test in the loop.
type Step = Box<dyn FnOnce(&mut World) + Send>;

/// Server with a loop behind it.
struct Bench {
    server: Arc<Server>,
    steps: mpsc::UnboundedSender<(Step, oneshot::Sender<()>)>,
    /// Directory of the configuration files.
    directory: tempfile::TempDir,
}

/// Loop like that of the daemon, without sockets, and with a clock that only tests move.
struct World {
    engine: Engine,
    publisher: Publisher,
    now: Now,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (loop_end, main_end) = channel();
        let snapshot = SharedSnapshot::default();
        let requests = Arc::new(Requests::new(main_end.requests));
        let configurator = Configurator::new(
            Files::new(directory.path().into()),
            Arc::clone(&requests),
            snapshot.clone(),
            Systemd::default(),
        );
        let subscribers = Arc::new(Subscribers::default());
        let reactions = Reactions {
            snapshot: snapshot.clone(),
            hooks: Hooks::new(directory.path().join("hooks.d"), Path::new("/nowhere")),
            states: watch::Sender::default(),
            subscribers: Arc::clone(&subscribers),
            requests: Arc::clone(&requests),
        };
        tokio::spawn(reactions.run(main_end.news));
        let LoopEnd {
            publisher,
            requests: received,
        } = loop_end;
        let (steps, loop_steps) = mpsc::unbounded_channel();
        tokio::spawn(World::new(publisher).run(received, loop_steps));
        let server = Arc::new(Server {
            snapshot,
            requests,
            configurator: Arc::new(configurator),
            subscribers,
        });
        Self {
            server,
            steps,
            directory,
        }
    }

    /// Returns a bench with a physical interface `eth0`, up and with 192.0.2.10/24, and carp0 on it in
    /// BACKUP.
    async fn with_a_backup() -> Self {
        let bench = Self::new();
        bench.step(|world| world.input(Input::Link(eth0()))).await;
        let client = bench.client(0).await;
        let settings = Settings::new()
            .vhid(1)
            .password(b"secret")
            .address("192.0.2.1", 24);
        assert_eq!(
            client.create("carp0", settings).await,
            Ok("carp0".to_owned())
        );
        bench
    }

    /// Ends the server as the end of the loop does.
    fn end(&self) {
        self.server.subscribers.disconnect();
        self.server.requests.end();
    }

    /// Runs a step in the loop.
    async fn step(&self, step: impl FnOnce(&mut World) + Send + 'static) {
        let (done, wait) = oneshot::channel();
        self.steps
            .send((Box::new(step), done))
            .expect("the loop runs");
        wait.await.expect("the loop runs");
    }

    /// Connects a client of user `uid`.
    async fn client(&self, uid: u32) -> Client {
        Client::new(self.connection(uid).await).await.unwrap()
    }

    async fn connection(&self, uid: u32) -> Connection {
        let (theirs, ours) = UnixStream::pair().unwrap();
        self.serve(ours, uid);
        let builder = Builder::unix_stream(theirs)
            .p2p()
            .method_timeout(TEST_TIMEOUT);
        timeout(TEST_TIMEOUT, builder.build())
            .await
            .unwrap()
            .unwrap()
    }

    /// Serves a client of user `uid` on `stream`.
    fn serve(&self, stream: UnixStream, uid: u32) {
        let server = Arc::clone(&self.server);
        tokio::spawn(async move {
            stream.set_nonblocking(true).unwrap();
            let stream = tokio::net::UnixStream::from_std(stream).unwrap();
            let transport =
                Transport::unix(stream, |builder| builder.server(Guid::generate()).p2p());
            let connection = server.open(transport, Callers::User(uid)).await.unwrap();
            connection.serve().await;
        });
    }
}

impl World {
    fn new(publisher: Publisher) -> Self {
        let now = Now {
            instant: Instant::from_micros(1),
            unix: UnixTime::from_micros(START),
        };
        let mut world = Self {
            engine: Engine::new(),
            publisher,
            now,
        };
        world.send_sysctls();
        world
    }

    async fn run(
        mut self,
        mut requests: mpsc::Receiver<LoopRequest>,
        mut steps: mpsc::UnboundedReceiver<(Step, oneshot::Sender<()>)>,
    ) {
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(LoopRequest::Engine(id, request)) => self.input(Input::Request(id, request)),
                    Some(LoopRequest::Refresh(done)) => self.refresh(done),
                    Some(LoopRequest::Key(unit, answer)) => {
                        answer.send(self.engine.key(unit).cloned()).ok();
                    }
                    Some(LoopRequest::Running(answer)) => {
                        answer.send(Running::of(&self.engine)).ok();
                    }
                    Some(LoopRequest::Settle(id, _)) => {
                        self.publisher.send(News::Answer(id, Ok(Answer::Done)));
                    }
                    Some(LoopRequest::Complete | LoopRequest::Saved(_)) => {}
                    None => return,
                },
                () = tokio::time::sleep(Duration::from_millis(10)), if self.publisher.is_behind() => {
                    self.catch_up();
                }
                step = steps.recv() => match step {
                    Some((step, done)) => {
                        step(&mut self);
                        done.send(()).ok();
                    }
                    None => return,
                },
            }
        }
    }

    fn input(&mut self, input: Input<'_>) {
        for action in self.engine.handle(input, self.now) {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Created(unit) | Action::Updated(unit) => self.send_interface(unit),
            Action::Destroyed(unit) => self.publisher.send(News::Gone(unit)),
            Action::Changed(transition) => {
                self.send_interface(transition.unit);
                self.publisher.send(News::Changed(transition));
            }
            Action::SysctlsChanged => self.send_sysctls(),
            Action::Notice(notice) => self.publisher.send(News::Notice(self.now.unix, notice)),
            Action::Answer(id, answer) => {
                self.catch_up();
                self.publisher.send(News::Answer(id, answer));
            }
            Action::Transmit { unit, .. } => self.input(Input::Sent {
                unit,
                result: Ok(()),
            }),
            Action::Work(Work::Take { unit, number, .. }) => {
                self.input(Input::Taken { unit, number });
            }
            Action::Work(_)
            | Action::Resolve { .. }
            | Action::Attach(_)
            | Action::Detach(_)
            | Action::ListenArp { .. } => {}
        }
    }

    /// Moves the clock, and handles the deadlines on the way.
    fn wait(&mut self, duration: Duration) {
        let until = self.now.instant + duration;
        while let Some(deadline) = self.engine.deadline().filter(|deadline| *deadline <= until) {
            self.move_clock(deadline);
            self.input(Input::Deadline);
        }
        self.move_clock(until);
        self.catch_up();
    }

    fn move_clock(&mut self, instant: Instant) {
        let passed = instant.since(self.now.instant);
        let micros = u64::try_from(passed.as_micros()).unwrap();
        self.now.instant = self.now.instant.max(instant);
        self.now.unix = UnixTime::from_micros(self.now.unix.micros() + micros);
    }

    fn refresh(&mut self, done: oneshot::Sender<()>) {
        let touched = self.engine.take_touched();
        let interfaces = touched
            .into_iter()
            .filter_map(|unit| self.engine.status(unit, self.now))
            .collect();
        self.publisher.send(News::Refreshed {
            interfaces,
            totals: self.engine.totals(),
            done,
        });
    }

    fn catch_up(&mut self) {
        let everything = Everything {
            interfaces: self
                .engine
                .units()
                .filter_map(|unit| self.engine.status(unit, self.now))
                .collect(),
            values: self.engine.sysctls(),
            suppressions: self.engine.suppressions().cloned().collect(),
            totals: self.engine.totals(),
            at: self.now.unix,
        };
        self.publisher.catch_up(|| everything);
    }

    fn send_interface(&mut self, unit: Unit) {
        if let Some(status) = self.engine.status(unit, self.now) {
            self.publisher.send(News::Interface(Box::new(status)));
        }
    }

    fn send_sysctls(&mut self) {
        let suppressions = self.engine.suppressions().cloned().collect();
        self.publisher.send(News::Sysctls {
            values: self.engine.sysctls(),
            suppressions,
        });
    }
}

fn eth0() -> Link {
    Link {
        index: IfIndex(2),
        name: DeviceName::new("eth0").unwrap(),
        other_names: Vec::new(),
        mac: Mac([2, 0, 0, 0, 0, 10]),
        mtu: 1500,
        capable: true,
        up: true,
        carrier: true,
        addresses: vec![DeviceAddress {
            address: IpAddr::from([192, 0, 2, 10]),
            prefix: 24,
        }],
    }
}

/// Takes eth0 down and up again, `times` times.
fn flap(world: &mut World, times: u32) {
    for _ in 0..times {
        world.input(Input::Link(Link {
            up: false,
            ..eth0()
        }));
        world.input(Input::Link(eth0()));
    }
}

/// Returns carp0 as the bus shows it.
async fn carp0(client: &Client) -> InterfaceInfo {
    client.interface("carp0").await.unwrap()
}

/// Waits for a change that `wanted` accepts.
async fn until<T>(watch: &mut Watch, mut wanted: impl FnMut(Change) -> Option<T>) -> T {
    let seek = async {
        loop {
            if let Some(found) = wanted(watch.next().await.expect("still connected")) {
                return found;
            }
        }
    };
    timeout(TEST_TIMEOUT, seek)
        .await
        .expect("the change arrives")
}

/// Returns the name of `error` on the bus.
fn name(error: &Error) -> String {
    zbus::DBusError::name(error).to_string()
}
