//! Notifications to systemd and requests to its manager; the tests play systemd.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use carp_tests::{Bus, Carpd, Host, Lab, MARGIN, master_down, receive, wait_until};
use rustix::process::Signal;
use tokio::sync::oneshot;
use zbus::connection::Builder;
use zbus::{OwnedObjectPath, interface};

/// Watchdog interval of these tests.
const WATCHDOG_INTERVAL: Duration = Duration::from_secs(2);

/// The notification socket, with the messages that arrive there.
struct Notifications {
    socket: UnixDatagram,
    path: OsString,
    heard: Vec<String>,
}

impl Notifications {
    fn new(lab: &Lab) -> Result<Self> {
        let path = lab.path("notify");
        Ok(Self {
            socket: UnixDatagram::bind(&path)?,
            path: path.into_os_string(),
            heard: Vec::new(),
        })
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let watchdog = WATCHDOG_INTERVAL.as_micros().to_string().into();
        vec![
            ("NOTIFY_SOCKET", self.path.clone()),
            ("WATCHDOG_USEC", watchdog),
        ]
    }

    /// Returns the next message within `bound`.
    fn next(&mut self, bound: Duration) -> Result<String> {
        let text = receive(&self.socket, bound)?;
        self.heard.push(text.clone());
        Ok(text)
    }

    /// Waits for a message that begins with `beginning`.
    fn wait_for(&mut self, beginning: &str, bound: Duration) -> Result<String> {
        let end = Instant::now() + bound;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{beginning} did not arrive in {bound:?}: {:?}", self.heard);
            }
            match self.next(left) {
                Ok(text) if text.starts_with(beginning) => return Ok(text),
                Ok(_) => {}
                Err(error) => bail!("{beginning}: {error:#}: {:?}", self.heard),
            }
        }
    }

    /// Reads all pending messages, and returns whether there were any.
    fn drain(&mut self) -> Result<bool> {
        self.socket.set_nonblocking(true)?;
        let mut buffer = [0; 4096];
        let mut any = false;
        while self.socket.recv(&mut buffer).is_ok() {
            any = true;
        }
        self.socket.set_nonblocking(false)?;
        Ok(any)
    }
}

/// systemd's manager: it starts and stops units on request, and records the calls.
#[derive(Clone, Default)]
struct Manager {
    calls: Arc<Mutex<Vec<String>>>,
    active: Arc<Mutex<BTreeSet<String>>>,
}

type Listed = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    fn start_unit(&self, name: &str, mode: &str) -> zbus::fdo::Result<OwnedObjectPath> {
        self.note(format!("start {name} {mode}"));
        lock(&self.active).insert(name.to_owned());
        job()
    }

    fn stop_unit(&self, name: &str, mode: &str) -> zbus::fdo::Result<OwnedObjectPath> {
        self.note(format!("stop {name} {mode}"));
        lock(&self.active).remove(name);
        job()
    }

    fn list_units_by_patterns(
        &self,
        states: Vec<String>,
        patterns: Vec<String>,
    ) -> zbus::fdo::Result<Vec<Listed>> {
        let wanted = [states, patterns].map(|words| words.join(","));
        self.note(format!("list{}", wanted.join(" ")));
        let listed = lock(&self.active).clone().into_iter().map(|name| {
            let text = |text: &str| text.to_owned();
            let (loaded, active) = (text("loaded"), text("active"));
            let (path, job) = (job()?, job()?);
            let (none, kind) = (String::new(), String::new());
            Ok((
                name,
                text("CARP"),
                loaded,
                active,
                text("active"),
                none,
                path,
                0,
                kind,
                job,
            ))
        });
        listed.collect()
    }
}

impl Manager {
    fn note(&self, call: String) {
        lock(&self.calls).push(call);
    }

    /// Owns systemd's name on `bus` until the returned value is dropped.
    fn serve(&self, bus: &Bus) -> Result<Serving> {
        let (stop, stopped) = oneshot::channel();
        let builder = Builder::address(bus.address())
            .name("org.freedesktop.systemd1")
            .serve_at("/org/freedesktop/systemd1", self.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let connection = runtime.block_on(builder.build())?;
        let thread = std::thread::spawn(move || {
            let stopped: Result<(), _> = runtime.block_on(stopped);
            drop((stopped, connection));
        });
        Ok(Serving(Some((stop, thread))))
    }

    /// Waits until the manager has received exactly these calls since last time.
    fn expect(&self, calls: &[&str]) -> Result<()> {
        let heard = || lock(&self.calls).clone();
        wait_until(&format!("carpd asks systemd for {calls:?}"), MARGIN, || {
            Ok((heard().len() >= calls.len()).then_some(()))
        })
        .with_context(|| format!("it asked for {:?}", heard()))?;
        let heard = std::mem::take(&mut *lock(&self.calls));
        assert_eq!(heard, calls);
        Ok(())
    }
}

/// A manager on its bus.
struct Serving(Option<(oneshot::Sender<()>, JoinHandle<()>)>);

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

fn job() -> zbus::fdo::Result<OwnedObjectPath> {
    OwnedObjectPath::try_from("/org/freedesktop/systemd1/job/1")
        .map_err(|error| zbus::fdo::Error::Failed(error.to_string()))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn host(lab: &Lab) -> Result<Host> {
    lab.host("a", &[("lan", "192.168.1.2/24")])
}

const GROUP: &str = "carp0 vhid 1 pass mekmitasdigoat 192.168.1.1/24";

#[test]
fn readiness_is_reported_after_the_bus_has_answered() -> Result<()> {
    let lab = Lab::new()?;
    let mut bus = Bus::start(&lab)?;
    bus.signal(Signal::STOP)?;
    let mut systemd = Notifications::new(&lab)?;
    let arguments = ["--bus", bus.address()];
    let carpd = Carpd::start_under(&host(&lab)?, &arguments, systemd.environment())?;
    // Everything else works: the private socket answers, and carpd reports a status.
    carpd.carpctl("carp0 create")?;
    systemd.wait_for("STATUS=0 MASTER, 0 BACKUP, 1 INIT", MARGIN)?;
    ensure!(
        !systemd.heard.iter().any(|text| text.contains("READY")),
        "{:?}",
        systemd.heard
    );
    bus.signal(Signal::CONT)?;
    systemd.wait_for("READY=1", MARGIN)?;
    let owner = carpd.host().run(&format!(
        "busctl --address={} call org.freedesktop.DBus / org.freedesktop.DBus NameHasOwner s org.carpd1",
        bus.address()
    ))?;
    assert_eq!(owner, "b true\n");
    Ok(())
}

#[test]
fn readiness_and_stop_are_reported_without_a_bus() -> Result<()> {
    let lab = Lab::new()?;
    let mut systemd = Notifications::new(&lab)?;
    let nowhere = format!("unix:path={}", lab.path("nowhere").display());
    let arguments = ["--bus", nowhere.as_str()];
    let mut carpd = Carpd::start_under(&host(&lab)?, &arguments, systemd.environment())?;
    systemd.wait_for("READY=1", MARGIN)?;
    carpd.stop()?;
    systemd.wait_for("STOPPING=1", MARGIN)?;
    Ok(())
}

#[test]
fn status_counts_the_states_and_reloads_are_reported() -> Result<()> {
    let lab = Lab::new()?;
    let mut systemd = Notifications::new(&lab)?;
    let mut carpd = Carpd::start_under(&host(&lab)?, &["--bus", "none"], systemd.environment())?;
    systemd.wait_for("READY=1", MARGIN)?;
    carpd.carpctl("carp0 create")?;
    carpd.carpctl("carp1 create")?;
    carpd.carpctl(GROUP)?;
    let bound = master_down(1, 0) + MARGIN;
    systemd.wait_for("STATUS=0 MASTER, 1 BACKUP, 1 INIT", MARGIN)?;
    systemd.wait_for("STATUS=1 MASTER, 0 BACKUP, 1 INIT", bound)?;

    carpd.carpctl("save")?;
    carpd.carpctl("reload")?;
    systemd.wait_for("RELOADING=1\nMONOTONIC_USEC=", MARGIN)?;
    systemd.wait_for("READY=1", MARGIN)?;
    carpd.signal(Signal::HUP)?;
    systemd.wait_for("RELOADING=1\nMONOTONIC_USEC=", MARGIN)?;
    systemd.wait_for("READY=1", MARGIN)?;

    // A failed reload has ended as well, and changed nothing.
    std::fs::write(carpd.config("rc.conf"), "ifconfig_carp0=\"vhid 300\"\n")?;
    assert_eq!(carpd.try_carpctl("reload")?.code, 1);
    systemd.wait_for("RELOADING=1", MARGIN)?;
    systemd.wait_for("READY=1", MARGIN)?;

    carpd.carpctl("carp0 down")?;
    systemd.wait_for("STATUS=0 MASTER, 0 BACKUP, 2 INIT", MARGIN)?;
    carpd.stop()?;
    systemd.wait_for("STOPPING=1", MARGIN)?;
    Ok(())
}

#[test]
fn watchdog_pings_end_when_carpd_hangs_and_survive_a_flood() -> Result<()> {
    let lab = Lab::new()?;
    let mut systemd = Notifications::new(&lab)?;
    let a = host(&lab)?;
    let mut carpd = Carpd::start_under(&a, &["--bus", "none"], systemd.environment())?;
    carpd.carpctl("carp0 create")?;
    carpd.carpctl(GROUP)?;
    systemd.wait_for("WATCHDOG=1", WATCHDOG_INTERVAL)?;

    // The flood is advertisements of vhid 1 with wrong digests.
    let mut bad = vec![0x01, 0, 0x5e, 0, 0, 18];
    bad.extend([0, 0, 0x5e, 0, 1, 1, 8, 0]);
    bad.extend([0x45, 0, 0, 56, 0, 0, 0, 0, 255, 112, 0, 0, 192, 168, 1, 9]);
    bad.extend([224, 0, 0, 18, 0x21, 1, 0, 7, 0, 1, 0, 0]);
    bad.resize(14 + 56, 0xa5);
    let port = a.port("eth0");
    let flood = vec![bad; 2_000];
    let before = carpd.interface("carp0")?.statistics;
    std::thread::scope(|scope| -> Result<()> {
        let sending = scope.spawn(|| {
            // Twice as long as the watchdog waits.
            let end = Instant::now() + 2 * WATCHDOG_INTERVAL;
            while Instant::now() < end {
                lab.switch().inject(&port, &flood)?;
            }
            Ok::<_, anyhow::Error>(())
        });
        while !sending.is_finished() {
            systemd.wait_for("WATCHDOG=1", WATCHDOG_INTERVAL)?;
        }
        sending.join().map_err(|_| anyhow::anyhow!("the flood"))?
    })?;
    let after = carpd.interface("carp0")?.statistics;
    ensure!(after != before, "the flood arrived: {after:?}");

    carpd.signal(Signal::STOP)?;
    systemd.drain()?;
    // systemd would end it now.
    let sign = systemd.next(WATCHDOG_INTERVAL);
    ensure!(sign.is_err(), "a hung carpd sends watchdog pings: {sign:?}");
    carpd.signal(Signal::CONT)?;
    systemd.wait_for("WATCHDOG=1", WATCHDOG_INTERVAL)?;
    Ok(())
}

#[test]
fn target_is_active_while_its_interface_is_master() -> Result<()> {
    let lab = Lab::new()?;
    let bus = Bus::start(&lab)?;
    let manager = Manager::default();
    let serving = manager.serve(&bus)?;
    let mut carpd = Carpd::start_on(&host(&lab)?, bus.address())?;
    manager.expect(&["list carp-master@*.target"])?;
    let mark = carpd.run_directory().join("master/carp0");

    carpd.carpctl("carp0 create")?;
    carpd.carpctl("carp1 create")?;
    carpd.carpctl(GROUP)?;
    ensure!(!mark.exists(), "a BACKUP has a mark");
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    manager.expect(&["start carp-master@carp0.target replace"])?;
    ensure!(mark.exists(), "the target's condition does not hold");

    carpd.carpctl("carp0 down")?;
    manager.expect(&["stop carp-master@carp0.target replace"])?;
    ensure!(!mark.exists(), "the target's condition still holds");
    carpd.carpctl("carp0 up")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    manager.expect(&["start carp-master@carp0.target replace"])?;

    // systemd is executed again: carpd asks for its state and changes nothing that is right.
    drop(serving);
    lock(&manager.active).insert("carp-master@carp7.target".to_owned());
    let serving = manager.serve(&bus)?;
    manager.expect(&[
        "list carp-master@*.target",
        "stop carp-master@carp7.target replace",
        "start carp-master@carp0.target replace",
    ])?;

    // carpd dies. The next instance corrects what systemd cannot see.
    carpd.kill()?;
    lock(&manager.active).insert("carp-master@carp1.target".to_owned());
    carpd.restart()?;
    wait_until("the targets match the states", MARGIN, || {
        let active = lock(&manager.active).clone();
        let is_master = carpd.try_carpctl("carp0")?.stdout.contains("MASTER");
        let right = is_master == active.contains("carp-master@carp0.target")
            && is_master == mark.exists()
            && !active.contains("carp-master@carp1.target");
        Ok(right.then_some(()))
    })?;
    carpd.stop()?;
    ensure!(!carpd.run_directory().join("master").exists(), "marks stay");
    drop(serving);
    Ok(())
}
