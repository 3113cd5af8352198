//! A daemon for tests: it answers as carpd does, remembers what was asked of it, and has no
//! network. It listens on a socket in a directory of its own, on a thread of its own.

mod facts;
mod interface;
mod manager;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Read;
use std::os::unix::net::{UnixListener as StdListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use carp_dbus::{Error, EventInfo, InterfaceInfo, SysctlInfo, names};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use zbus::connection::Builder;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, Guid, OwnedVariant};

pub(crate) use facts::event;
use interface::Interface;
use manager::{Manager, Sysctl, tell};

/// The daemon.
pub(crate) struct Fake {
    directory: tempfile::TempDir,
    state: Arc<Mutex<State>>,
    orders: Option<mpsc::UnboundedSender<EventInfo>>,
    thread: Option<JoinHandle<()>>,
}

/// What it knows.
#[derive(Default)]
struct State {
    interfaces: Vec<InterfaceInfo>,
    sysctls: Vec<SysctlInfo>,
    events: Vec<EventInfo>,
    /// What was asked of it that changes something, one line each.
    calls: Vec<String>,
    /// The ends that we keep of the descriptors that we gave away.
    held: Vec<(String, String, UnixStream)>,
}

impl Fake {
    /// Starts one with the interfaces of [`facts::interfaces`].
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = Arc::new(Mutex::new(State {
            interfaces: facts::interfaces(),
            sysctls: facts::sysctls(),
            events: facts::events(),
            ..State::default()
        }));
        let listener = StdListener::bind(directory.path().join("bus")).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (orders, incoming) = mpsc::unbounded_channel();
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(serve(listener, shared, incoming));
        });
        Self {
            directory,
            state,
            orders: Some(orders),
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("bus")
    }

    /// A command line for `sh`, in which `carpctl` is the one under test.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_carpctl"));
        let mut path = binary.parent().unwrap().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .current_dir(self.directory.path())
            .env("PATH", path)
            .env("TZ", "UTC")
            .env(
                "CARPD_BUS_ADDRESS",
                format!("unix:path={}", self.socket().display()),
            );
        command
    }

    /// What was asked of it since the last time.
    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }

    /// Tells everybody.
    pub(crate) fn emit(&self, event: EventInfo) {
        self.orders.as_ref().unwrap().send(event).unwrap();
    }

    /// How many descriptors are held by others.
    pub(crate) fn suppressions(&self) -> usize {
        self.state.lock().unwrap().still_held().len()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the daemon's thread panicked"
            );
        }
    }
}

async fn serve(
    listener: StdListener,
    state: Arc<Mutex<State>>,
    mut orders: mpsc::UnboundedReceiver<EventInfo>,
) {
    let listener = UnixListener::from_std(listener).unwrap();
    let mut connections: Vec<Connection> = Vec::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.unwrap();
                let mut builder = Builder::unix_stream(stream.into_std().unwrap())
                    .server(Guid::generate())
                    .p2p()
                    .serve_at(names::ROOT_PATH, Manager(Arc::clone(&state)))
                    .serve_at(names::ROOT_PATH, Sysctl(Arc::clone(&state)));
                let interfaces = state.lock().unwrap().interfaces.clone();
                for info in interfaces {
                    let path = names::interface_path(&info.name);
                    builder = builder.serve_at(path, Interface(info, Arc::clone(&state)));
                }
                // A client may be gone already: some tests are about that.
                if let Ok(connection) = builder.build().await {
                    connections.push(connection);
                }
            }
            order = orders.recv() => {
                let Some(event) = order else { return };
                state.lock().unwrap().events.push(event.clone());
                for connection in &connections {
                    let emitter = SignalEmitter::new(connection, names::ROOT_PATH).unwrap();
                    // Most connections are those of commands that are over.
                    let _ = tell(&emitter, event.clone()).await;
                }
            }
        }
    }
}

impl State {
    fn find(&self, name: &str) -> Result<&InterfaceInfo, Error> {
        let found = self.interfaces.iter().find(|info| info.name == name);
        found.ok_or_else(|| Error::NotFound(format!("interface {name} does not exist")))
    }

    fn call(&mut self, call: &str, settings: &HashMap<String, OwnedVariant>) {
        let sorted: BTreeMap<_, _> = settings.iter().collect();
        let mut line = call.to_owned();
        for (key, value) in sorted {
            write!(line, " {key}={}", **value).unwrap();
        }
        self.calls.push(line);
    }

    /// Refuses what carpd refuses, where a test is about the refusal.
    fn refuse(&self, name: &str, settings: &HashMap<String, OwnedVariant>) -> Result<(), Error> {
        let vhid = settings
            .get("Vhid")
            .and_then(|value| u8::try_from(value.clone()).ok());
        let taken = |info: &&InterfaceInfo| info.name != name && Some(info.vhid) == vhid;
        match self.interfaces.iter().find(taken) {
            None => Ok(()),
            Some(InterfaceInfo {
                name: other,
                vhid,
                carpdev,
                ..
            }) => Err(Error::Exists(format!(
                "{name}: vhid {vhid} is already used by {other} on {carpdev}"
            ))),
        }
    }

    /// Who still has the other end, and not just for the moment in which a test starts a process.
    fn still_held(&mut self) -> &[(String, String, UnixStream)] {
        self.held.retain_mut(|(_, _, ours)| {
            ours.set_read_timeout(Some(Duration::from_millis(100)))
                .unwrap();
            !matches!(ours.read(&mut [0]), Ok(0))
        });
        &self.held
    }
}
