//! `carp-master@carp0.target`: active in systemd while carp0 is MASTER.
//!
//! carpd compares states instead of passing on events. A state that was left and entered again before
//! systemd heard of it changes nothing, and a notification that was lost is made up for.
//!
//! Other programs can start a target, and systemd restarts targets together with `carpd.service`.
//! Targets therefore have a condition: a file in the run directory that exists while the interface is
//! MASTER.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use carp_proto::Unit;
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};
use zbus::fdo::{DBusProxy, NameOwnerChangedStream};
use zbus::{Connection, OwnedObjectPath, proxy};

use crate::snapshot::SharedSnapshot;

/// Name of systemd on the system bus.
const SYSTEMD: &str = "org.freedesktop.systemd1";

/// Pattern of all targets of carp interfaces.
const PATTERN: &str = "carp-master@*.target";

/// First and longest pause after systemd has refused a job.
const RETRY_INTERVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// `org.freedesktop.systemd1(5)`
#[proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    /// Returns when the job is queued.
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;

    /// Returns when the job is queued.
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;

    /// Returns the loaded units.
    fn list_units_by_patterns(
        &self,
        states: &[&str],
        patterns: &[&str],
    ) -> zbus::Result<Vec<Listed>>;
}

/// Name, description, load state, active state, sub-state, followed unit, path; number, type and
/// path of a queued job.
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

/// Keeps the targets, and their condition files in `directory`, as the interfaces are in `snapshot`.
/// `states` is notified of each change of a state, and `connection` is the connection to the bus. Never
/// ends, unless the directory cannot be made. When carpd ends, systemd itself stops the targets.
pub(crate) async fn keep(
    directory: &Path,
    snapshot: &SharedSnapshot,
    states: watch::Receiver<()>,
    mut connection: watch::Receiver<Option<Connection>>,
) {
    let mut conditions = match Conditions::new(directory) {
        Ok(conditions) => conditions,
        Err(error) => {
            let directory = directory.display();
            warn!("{directory}: {error}; {PATTERN} is not kept");
            return;
        }
    };
    loop {
        let current = connection.borrow_and_update().clone();
        tokio::select! {
            () = with_connection(current, &mut conditions, snapshot, states.clone()) => {}
            changed = connection.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// Keeps the targets over one connection, or only the condition files without one. Never ends.
async fn with_connection(
    connection: Option<Connection>,
    conditions: &mut Conditions,
    snapshot: &SharedSnapshot,
    mut states: watch::Receiver<()>,
) {
    let mut manager = match &connection {
        Some(connection) => Targets::over(connection)
            .await
            .inspect_err(|error| debug!("cannot follow {SYSTEMD}: {error}"))
            .ok(),
        None => None,
    };
    let (first, longest) = RETRY_INTERVALS;
    let mut pause = first;
    let mut logged = BTreeSet::new();
    loop {
        states.mark_unchanged();
        let masters: BTreeSet<Unit> = snapshot.lock().masters().collect();
        conditions.set(&masters);
        let failures = match &mut manager {
            Some(manager) => manager.set(&masters).await,
            None => BTreeSet::new(),
        };
        let again = (!failures.is_empty()).then(|| Instant::now() + pause);
        pause = if again.is_some() {
            (pause * 2).min(longest)
        } else {
            first
        };
        for failure in failures.difference(&logged) {
            warn!("systemd: {failure}; trying again");
        }
        logged = failures;
        wait(&mut states, manager.as_mut(), again).await;
    }
}

/// Waits for a change of a state or of systemd, at most until `again`.
async fn wait(
    states: &mut watch::Receiver<()>,
    targets: Option<&mut Targets>,
    again: Option<Instant>,
) {
    let systemd = async {
        match targets {
            Some(targets) => targets.systemd_changed().await,
            None => std::future::pending().await,
        }
    };
    let change = async {
        tokio::select! {
            changed = states.changed() => if changed.is_err() {
                // carpd ends.
                std::future::pending::<()>().await;
            },
            () = systemd => {}
        }
    };
    match again {
        Some(again) => _ = timeout_at(again, change).await,
        None => change.await,
    }
}

/// Targets in systemd, over one connection to the bus.
struct Targets {
    manager: ManagerProxy<'static>,
    owners: NameOwnerChangedStream,
    /// systemd is on the bus.
    is_present: bool,
    /// Interfaces whose targets are active; `None` until systemd was asked.
    active: Option<BTreeSet<Unit>>,
}

impl Targets {
    async fn over(connection: &Connection) -> zbus::Result<Self> {
        let names = DBusProxy::new(connection).await?;
        let owners = names
            .receive_name_owner_changed_with_args(&[(0, SYSTEMD)])
            .await?;
        Ok(Self {
            manager: ManagerProxy::new(connection).await?,
            // A call to a name without an owner would make the bus start one.
            is_present: names.name_has_owner(SYSTEMD.try_into()?).await?,
            owners,
            active: None,
        })
    }

    /// Waits until systemd starts, ends, or executes itself again.
    async fn systemd_changed(&mut self) {
        let Some(change) = self.owners.next().await else {
            // The connection was lost, and a new one follows.
            return std::future::pending().await;
        };
        self.active = None;
        self.is_present = change
            .args()
            .is_ok_and(|change| change.new_owner().is_some());
    }

    /// Starts the targets of `masters` and stops all others. Returns the failures.
    async fn set(&mut self, masters: &BTreeSet<Unit>) -> BTreeSet<String> {
        if !self.is_present {
            return BTreeSet::new();
        }
        let (active, is_known) = match self.active.take() {
            Some(active) => (active, true),
            None => match self.list().await {
                Ok(active) => (active, false),
                Err(error) => return BTreeSet::from([error.to_string()]),
            },
        };
        let mut failures = BTreeSet::new();
        for unit in active.difference(masters) {
            let done = self.manager.stop_unit(&target(*unit), "replace").await;
            failures.extend(done.err().map(|error| failure(*unit, &error)));
        }
        // Starting an active target does nothing. A target that systemd lists as active may be stopping.
        for unit in masters
            .iter()
            .filter(|unit| !is_known || !active.contains(unit))
        {
            let done = self.manager.start_unit(&target(*unit), "replace").await;
            failures.extend(done.err().map(|error| failure(*unit, &error)));
        }
        if failures.is_empty() {
            self.active = Some(masters.clone());
        }
        failures
    }

    /// Returns the interfaces whose targets are active or have a queued job.
    async fn list(&self) -> zbus::Result<BTreeSet<Unit>> {
        let listed = self.manager.list_units_by_patterns(&[], &[PATTERN]).await?;
        let active = listed.into_iter().filter_map(|unit| {
            let (name, _, _, state, _, _, _, job, _, _) = unit;
            let active = job != 0 || !["inactive", "failed"].contains(&state.as_str());
            active.then(|| unit_of(&name))?
        });
        Ok(active.collect())
    }
}

fn target(unit: Unit) -> String {
    format!("carp-master@{unit}.target")
}

/// Returns the interface of a target; `None` for instances that are not interfaces.
fn unit_of(target: &str) -> Option<Unit> {
    let name = target
        .strip_prefix("carp-master@")?
        .strip_suffix(".target")?;
    name.parse().ok()
}

fn failure(unit: Unit, error: &zbus::Error) -> String {
    format!("{}: {error}", target(unit))
}

/// Condition files of the targets. They are empty and in memory, so that making one blocks no thread.
struct Conditions {
    directory: PathBuf,
    present: BTreeSet<Unit>,
}

impl Conditions {
    /// Makes an empty directory.
    fn new(directory: &Path) -> io::Result<Self> {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        DirBuilder::new().mode(0o700).create(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            present: BTreeSet::new(),
        })
    }

    /// Makes the files of `masters` and removes all others.
    fn set(&mut self, masters: &BTreeSet<Unit>) {
        let path = |unit: &Unit| self.directory.join(unit.to_string());
        for unit in self.present.difference(masters) {
            if let Err(error) = fs::remove_file(path(unit)) {
                warn!("{}: {error}", path(unit).display());
            }
        }
        for unit in masters.difference(&self.present) {
            if let Err(error) = File::create(path(unit)) {
                warn!("{}: {error}", path(unit).display());
            }
        }
        self.present.clone_from(masters);
    }
}

impl Drop for Conditions {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            debug!("{}: {error}", self.directory.display());
        }
    }
}
