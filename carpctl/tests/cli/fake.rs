//! A daemon for tests: it answers as carpd does, remembers what was asked of it, and has no
//! network. It listens on a socket in a directory of its own, on a thread of its own.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use carp_dbus::{
    AddressInfo, Error, EventInfo, InterfaceInfo, MasterInfo, SysctlInfo, TransitionInfo, names,
};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use zbus::connection::Builder;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, Guid, OwnedObjectPath, OwnedVariant, Variant, interface};

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
    held: Vec<(String, String, std::os::unix::net::UnixStream)>,
}

impl Fake {
    /// Starts one with the interfaces of [`interfaces`].
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = Arc::new(Mutex::new(State {
            interfaces: interfaces(),
            sysctls: sysctls(),
            events: events(),
            ..State::default()
        }));
        let listener =
            std::os::unix::net::UnixListener::bind(directory.path().join("bus")).unwrap();
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
    listener: std::os::unix::net::UnixListener,
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
                let known: Vec<String> =
                    state.lock().unwrap().interfaces.iter().map(|info| info.name.clone()).collect();
                for name in known {
                    let path = names::interface_path(&name);
                    builder = builder.serve_at(path, Interface(name, Arc::clone(&state)));
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

async fn tell(emitter: &SignalEmitter<'_>, event: EventInfo) -> zbus::Result<()> {
    let (number, time, interface, kind, text, details) = row(event);
    Manager::event(emitter, number, time, &interface, &kind, &text, details).await
}

type Row = (
    u64,
    u64,
    String,
    String,
    String,
    HashMap<String, OwnedVariant>,
);

fn row(event: EventInfo) -> Row {
    let EventInfo {
        number,
        time,
        interface,
        kind,
        text,
        details,
    } = event;
    let details = details
        .into_iter()
        .map(|(name, value)| (name, Variant::from(value).try_into_owned().unwrap()))
        .collect();
    (number, time, interface, kind, text, details)
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

    /// Who still has the other end.
    fn still_held(&mut self) -> &[(String, String, std::os::unix::net::UnixStream)] {
        self.held.retain_mut(|(_, _, ours)| {
            ours.set_nonblocking(true).unwrap();
            !matches!(std::io::Read::read(ours, &mut [0]), Ok(0))
        });
        &self.held
    }
}

struct Manager(Arc<Mutex<State>>);

#[interface(name = "org.carpd1.Manager")]
impl Manager {
    fn create_interface(
        &self,
        name: &str,
        settings: HashMap<String, OwnedVariant>,
    ) -> Result<OwnedObjectPath, Error> {
        let mut state = self.0.lock().unwrap();
        if state.find(name).is_ok() {
            return Err(Error::Exists(format!("interface {name} exists already")));
        }
        let name = if name == "carp" { "carp2" } else { name };
        state.refuse(name, &settings)?;
        state.call(&format!("CreateInterface {name}"), &settings);
        Ok(names::interface_path(name).try_into().unwrap())
    }

    fn destroy_interface(&self, name: &str) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap();
        state.find(name)?;
        state.call(&format!("DestroyInterface {name}"), &HashMap::new());
        Ok(())
    }

    fn list_interfaces(&self) -> Vec<(OwnedObjectPath, BTreeMap<&'static str, Variant<'static>>)> {
        let state = self.0.lock().unwrap();
        let row = |info: &InterfaceInfo| {
            (
                names::interface_path(&info.name).try_into().unwrap(),
                info.properties(),
            )
        };
        state.interfaces.iter().map(row).collect()
    }

    fn get_statistics(&self) -> BTreeMap<String, u64> {
        let state = self.0.lock().unwrap();
        let mut totals = BTreeMap::new();
        for (name, value) in state.interfaces.iter().flat_map(|info| &info.statistics) {
            *totals.entry(name.clone()).or_default() += value;
        }
        totals
    }

    fn get_events(&self, after: u64, most: u32) -> Vec<Row> {
        let state = self.0.lock().unwrap();
        let later = state.events.iter().filter(|event| event.number > after);
        later
            .take(usize::try_from(most).unwrap())
            .cloned()
            .map(row)
            .collect()
    }

    fn suppress(&self, who: &str, why: &str) -> zbus::OwnedFd {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut state = self.0.lock().unwrap();
        state.call(&format!("Suppress {who}: {why}"), &HashMap::new());
        state.held.push((who.to_owned(), why.to_owned(), ours));
        std::os::fd::OwnedFd::from(theirs).into()
    }

    fn list_suppressions(&self) -> Vec<(String, String, u64)> {
        let mut state = self.0.lock().unwrap();
        let mut rows = vec![("eth1".to_owned(), "no carrier".to_owned(), TIME)];
        let holder = |(who, why, _): &(String, String, _)| (who.clone(), why.clone(), TIME);
        rows.extend(state.still_held().iter().map(holder));
        rows
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &'static str {
        "0.1.0"
    }

    #[zbus(signal)]
    async fn event(
        emitter: &SignalEmitter<'_>,
        number: u64,
        time: u64,
        interface: &str,
        kind: &str,
        text: &str,
        details: HashMap<String, OwnedVariant>,
    ) -> zbus::Result<()>;
}

struct Sysctl(Arc<Mutex<State>>);

#[interface(name = "org.carpd1.Sysctl")]
impl Sysctl {
    fn list(&self) -> Vec<(String, Variant<'static>, String, bool)> {
        let state = self.0.lock().unwrap();
        let row = |oid: &SysctlInfo| {
            let value = u32::try_from(oid.value).unwrap();
            (
                oid.name.clone(),
                value.into(),
                oid.description.clone(),
                oid.writable,
            )
        };
        state.sysctls.iter().map(row).collect()
    }

    fn set(&self, name: &str, value: Variant<'_>) -> Result<Variant<'static>, Error> {
        let mut state = self.0.lock().unwrap();
        let value = u64::try_from(&value).unwrap();
        if value > 1 {
            return Err(Error::InvalidArgument(format!(
                "{name} is 0 to 1, not {value}"
            )));
        }
        state.call(&format!("Set {name} {value}"), &HashMap::new());
        let oid = state
            .sysctls
            .iter_mut()
            .find(|oid| oid.name == name)
            .unwrap();
        Ok(std::mem::replace(&mut oid.value, value).into())
    }
}

struct Interface(String, Arc<Mutex<State>>);

#[interface(name = "org.carpd1.Interface")]
impl Interface {
    fn configure(&self, settings: HashMap<String, OwnedVariant>) -> Result<(), Error> {
        let mut state = self.1.lock().unwrap();
        state.refuse(&self.0, &settings)?;
        state.call(&format!("Configure {}", self.0), &settings);
        Ok(())
    }

    #[zbus(name = "GetVH")]
    fn get_vh(&self) -> ((i32, i32, i32, i32, Vec<u8>),) {
        let key = if self.0 == "carp0" {
            b"mekmitasdigoat".to_vec()
        } else {
            Vec::new()
        };
        ((2, 1, 0, 1, key),)
    }
}

/// 2026-11-23 01:02:03.456789 UTC
const TIME: u64 = 1_795_395_723_456_789;

/// Two interfaces that are set up, one each way.
fn interfaces() -> Vec<InterfaceInfo> {
    let address = |address: &str, prefixlen, backing: &str, flags: &str| AddressInfo {
        address: address.to_owned(),
        prefixlen,
        backing: backing.to_owned(),
        flags: flags.to_owned(),
    };
    let statistics = |received: u64, sent: u64| {
        BTreeMap::from(
            [
                ("ipackets", received),
                ("ipackets6", 0),
                ("badif", 0),
                ("badttl", 1),
                ("hdrops", 0),
                ("badsum", 1),
                ("badver", 0),
                ("badlen", 0),
                ("badauth", 7),
                ("badvhid", 0),
                ("badaddrs", 0),
                ("opackets", sent),
                ("opackets6", sent),
                ("onomem", 0),
                ("ostates", 0),
                ("preempt", 1),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        )
    };
    let transition = |from: &str, to: &str, reason: &str| {
        Some(TransitionInfo {
            time: TIME,
            from: from.to_owned(),
            to: to.to_owned(),
            reason: reason.to_owned(),
        })
    };
    let both = InterfaceInfo {
        up: true,
        running: true,
        advbase: 1,
        mtu: 1500,
        link_layer: "virtual".to_owned(),
        master_down_time: 3_000_000,
        ..InterfaceInfo::default()
    };
    vec![
        InterfaceInfo {
            name: "carp0".to_owned(),
            state: "MASTER".to_owned(),
            vhid: 1,
            carpdev: "eth0".to_owned(),
            lladdr: "00:00:5e:00:01:01".to_owned(),
            description: "the gateway".to_owned(),
            has_password: true,
            addresses: vec![
                address("192.0.2.1", 24, "192.0.2.11", "A"),
                address("2001:db8::1", 64, "", ""),
            ],
            advertised: TIME,
            last_transition: transition("BACKUP", "MASTER", "master-timed-out"),
            statistics: statistics(0, 1),
            ..both.clone()
        },
        InterfaceInfo {
            name: "carp1".to_owned(),
            state: "BACKUP".to_owned(),
            vhid: 2,
            advskew: 100,
            effective_advskew: 240,
            demotion: 1,
            carpdev: "eth1".to_owned(),
            lladdr: "00:00:5e:00:01:02".to_owned(),
            has_password: true,
            addresses: vec![address("198.51.100.1", 24, "198.51.100.1", "OA")],
            master: Some(MasterInfo {
                source: "198.51.100.12".to_owned(),
                advbase: 1,
                advskew: 0,
                heard: TIME,
            }),
            last_transition: transition("INIT", "BACKUP", "became-runnable"),
            statistics: statistics(12, 0),
            ..both
        },
    ]
}

fn sysctls() -> Vec<SysctlInfo> {
    [
        (
            "net.inet.carp.allow",
            1,
            "Accept incoming CARP packets",
            true,
        ),
        (
            "net.inet.carp.preempt",
            0,
            "Virtual hosts preempt slower masters",
            true,
        ),
        (
            "net.inet.carp.replay",
            1,
            "How strictly repetitions are refused",
            true,
        ),
        (
            "net.inet.carp.replay_window",
            60,
            "Seconds a clock may be off",
            true,
        ),
        (
            "net.inet.carp.suppress_preempt",
            1,
            "Number of problems now",
            false,
        ),
    ]
    .map(|(name, value, description, writable)| SysctlInfo {
        name: name.to_owned(),
        value,
        description: description.to_owned(),
        writable,
    })
    .into()
}

/// An event, the `number`th.
pub(crate) fn event(number: u64, text: &str) -> EventInfo {
    EventInfo {
        number,
        time: TIME + number * 1_000_000,
        interface: "carp0".to_owned(),
        kind: "transition".to_owned(),
        text: format!("carp0: {text}"),
        details: BTreeMap::new(),
    }
}

fn events() -> Vec<EventInfo> {
    vec![
        event(1, "INIT -> BACKUP (initialization complete)"),
        event(2, "BACKUP -> MASTER (master timed out)"),
    ]
}
