//! Fake daemon: answers as carpd does, records calls that change something, and uses no network. It
//! listens on a socket in a temporary directory, on a thread of its own.

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
use manager::{Manager, Sysctl, send_event};

/// Fake daemon; it ends when this is dropped.
pub(crate) struct Fake {
    directory: tempfile::TempDir,
    state: Arc<Mutex<State>>,
    events: Option<mpsc::UnboundedSender<EventInfo>>,
    thread: Option<JoinHandle<()>>,
}

/// State of the fake daemon.
#[derive(Default)]
struct State {
    interfaces: Vec<InterfaceInfo>,
    sysctls: Vec<SysctlInfo>,
    events: Vec<EventInfo>,
    /// Calls that change something, one line each.
    calls: Vec<String>,
    /// Suppressions: who, why and our end of the client's descriptor.
    suppressions: Vec<(String, String, UnixStream)>,
}

impl Fake {
    /// Starts a daemon with the interfaces of [`facts::interfaces`].
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
        let (events, incoming) = mpsc::unbounded_channel();
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
            events: Some(events),
            thread: Some(thread),
        }
    }

    /// Returns the path of its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("bus")
    }

    /// Returns a command line for `sh` in which `carpctl` is the program under test.
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

    /// Returns the calls since the last time.
    pub(crate) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }

    /// Sends `event` to every client.
    pub(crate) fn emit(&self, event: EventInfo) {
        self.events.as_ref().unwrap().send(event).unwrap();
    }

    /// Returns the number of suppressions whose descriptors are still open.
    pub(crate) fn suppressions(&self) -> usize {
        self.state.lock().unwrap().open_suppressions().len()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.events.take());
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
    mut events: mpsc::UnboundedReceiver<EventInfo>,
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
                // In some tests the client has already disconnected.
                if let Ok(connection) = builder.build().await {
                    connections.push(connection);
                }
            }
            event = events.recv() => {
                let Some(event) = event else { return };
                state.lock().unwrap().events.push(event.clone());
                for connection in &connections {
                    let emitter = SignalEmitter::new(connection, names::ROOT_PATH).unwrap();
                    // Fails for commands that have ended.
                    let _ = send_event(&emitter, event.clone()).await;
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

    /// Refuses a vhid that is in use, as carpd does.
    fn refuse(&self, name: &str, settings: &HashMap<String, OwnedVariant>) -> Result<(), Error> {
        let vhid = settings
            .get("Vhid")
            .and_then(|value| u8::try_from(value.clone()).ok());
        let has_vhid = |info: &&InterfaceInfo| info.name != name && Some(info.vhid) == vhid;
        match self.interfaces.iter().find(has_vhid) {
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

    /// Returns the suppressions whose descriptors are open. Waits a moment, because a process that
    /// a test starts holds copies of them until its exec(3).
    fn open_suppressions(&mut self) -> &[(String, String, UnixStream)] {
        self.suppressions.retain_mut(|(_, _, end)| {
            end.set_read_timeout(Some(Duration::from_millis(100)))
                .unwrap();
            !matches!(end.read(&mut [0]), Ok(0))
        });
        &self.suppressions
    }
}
