//! The API over a socket pair, in front of a real engine whose clock the tests turn.

mod configuration;
mod connections;
mod introspection;
mod methods;
mod refusals;
mod signals;
mod system;

use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use carp_dbus::{Change, Client, Error, InterfaceInfo, Settings, Watch};
use carp_proto::{
    Action, Answer, DeviceAddress, DeviceName, Engine, IfIndex, Input, Instant, Link, Mac, Now,
    Unit, UnixTime, Work,
};
use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use zbus::connection::Builder;
use zbus::{Connection, Guid};

use super::callers::Callers;
use super::emitter;
use super::hub::Hub;
use super::peer::{self, Way};
use crate::config::Files;
use crate::publish::{Ask, Everything, LoopEnd, News, Publisher, Running, channel};

/// Real time that anything may take before a test has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// 2026-01-01 00:00:00 UTC.
const START: u64 = 1_767_225_600_000_000;

/// What a test does to the world at the loop's end.
type Deed = Box<dyn FnOnce(&mut World) + Send>;

/// A hub with a loop behind it.
struct Bench {
    hub: Arc<Hub>,
    deeds: mpsc::UnboundedSender<(Deed, oneshot::Sender<()>)>,
    /// With the configuration files.
    directory: tempfile::TempDir,
}

/// A loop as the daemon's, without sockets and with a clock that stands until it is turned.
struct World {
    engine: Engine,
    publisher: Publisher,
    now: Now,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (LoopEnd { publisher, asks }, end) = channel();
        let hub = Arc::new(Hub::new(end.asks, Files::new(directory.path().into())));
        let emitting = Arc::clone(&hub);
        tokio::spawn(async move {
            emitter::run(&emitting, end.news).await;
            emitting.close();
        });
        let (deeds, receiver) = mpsc::unbounded_channel();
        tokio::spawn(World::new(publisher).run(asks, receiver));
        Self {
            hub,
            deeds,
            directory,
        }
    }

    /// With a physical interface `eth0`, up and with 192.0.2.10/24, and carp0 on it in BACKUP.
    async fn with_a_backup() -> Self {
        let bench = Self::new();
        bench.does(|world| world.input(Input::Link(eth0()))).await;
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

    /// Lets something happen at the loop's end.
    async fn does(&self, deed: impl FnOnce(&mut World) + Send + 'static) {
        let (done, wait) = oneshot::channel();
        self.deeds
            .send((Box::new(deed), done))
            .expect("the loop is there");
        wait.await.expect("the loop is there");
    }

    /// A client of user `uid`.
    async fn client(&self, uid: u32) -> Client {
        Client::new(self.connection(uid).await).await.unwrap()
    }

    async fn connection(&self, uid: u32) -> Connection {
        let (theirs, ours) = UnixStream::pair().unwrap();
        self.welcome(ours, uid);
        let builder = Builder::unix_stream(theirs).p2p().method_timeout(PATIENCE);
        timeout(PATIENCE, builder.build()).await.unwrap().unwrap()
    }

    /// Serves user `uid` on `stream`.
    fn welcome(&self, stream: UnixStream, uid: u32) {
        let hub = Arc::clone(&self.hub);
        tokio::spawn(async move {
            stream.set_nonblocking(true).unwrap();
            let stream = tokio::net::UnixStream::from_std(stream).unwrap();
            let way = Way::over(stream, |builder| builder.server(Guid::generate()).p2p());
            let attendance = peer::open(&hub, way, Callers::User(uid)).await.unwrap();
            attendance.attend().await;
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
        world.tell_sysctls();
        world
    }

    async fn run(
        mut self,
        mut asks: mpsc::Receiver<Ask>,
        mut deeds: mpsc::UnboundedReceiver<(Deed, oneshot::Sender<()>)>,
    ) {
        loop {
            tokio::select! {
                ask = asks.recv() => match ask {
                    Some(Ask::Request(id, request)) => self.input(Input::Request(id, request)),
                    Some(Ask::Refresh(done)) => self.refresh(done),
                    Some(Ask::Key(unit, answer)) => {
                        answer.send(self.engine.key(unit).cloned()).ok();
                    }
                    Some(Ask::Running(answer)) => {
                        answer.send(Running::of(&self.engine)).ok();
                    }
                    Some(Ask::Settle(id, _)) => {
                        self.publisher.tell(News::Answer(id, Ok(Answer::Done)));
                    }
                    Some(Ask::Complete | Ask::Saved(_)) => {}
                    None => return,
                },
                () = tokio::time::sleep(Duration::from_millis(10)), if self.publisher.is_behind() => {
                    self.catch_up();
                }
                deed = deeds.recv() => match deed {
                    Some((deed, done)) => {
                        deed(&mut self);
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
            Action::Created(unit) | Action::Updated(unit) => self.tell_interface(unit),
            Action::Destroyed(unit) => self.publisher.tell(News::Gone(unit)),
            Action::Changed(transition) => {
                self.tell_interface(transition.unit);
                self.publisher.tell(News::Changed(transition));
            }
            Action::SysctlsChanged => self.tell_sysctls(),
            Action::Notice(notice) => self.publisher.tell(News::Notice(self.now.unix, notice)),
            Action::Answer(id, answer) => {
                self.catch_up();
                self.publisher.tell(News::Answer(id, answer));
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

    /// Turns the clock.
    fn wait(&mut self, duration: Duration) {
        let until = self.now.instant + duration;
        while let Some(deadline) = self.engine.deadline().filter(|deadline| *deadline <= until) {
            self.turn_to(deadline);
            self.input(Input::Deadline);
        }
        self.turn_to(until);
        self.catch_up();
    }

    fn turn_to(&mut self, instant: Instant) {
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
        self.publisher.tell(News::Refreshed {
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

    fn tell_interface(&mut self, unit: Unit) {
        if let Some(status) = self.engine.status(unit, self.now) {
            self.publisher.tell(News::Interface(Box::new(status)));
        }
    }

    fn tell_sysctls(&mut self) {
        let suppressions = self.engine.suppressions().cloned().collect();
        self.publisher.tell(News::Sysctls {
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

/// eth0 goes down and comes up again, `times` times.
fn flap(world: &mut World, times: u32) {
    for _ in 0..times {
        world.input(Input::Link(Link {
            up: false,
            ..eth0()
        }));
        world.input(Input::Link(eth0()));
    }
}

/// carp0 as the bus shows it.
async fn carp0(client: &Client) -> InterfaceInfo {
    client.interface("carp0").await.unwrap()
}

/// The next change that `wanted` takes.
async fn until<T>(watch: &mut Watch, mut wanted: impl FnMut(Change) -> Option<T>) -> T {
    let seek = async {
        loop {
            if let Some(found) = wanted(watch.next().await.expect("still connected")) {
                return found;
            }
        }
    };
    timeout(PATIENCE, seek).await.expect("the change comes")
}

/// What `error` is called on the bus.
fn name(error: &Error) -> String {
    zbus::DBusError::name(error).to_string()
}
