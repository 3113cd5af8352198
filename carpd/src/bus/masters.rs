//! `carp-master@carp0.target`: active in systemd where and while carp0 is MASTER.
//!
//! What is compared is what is, not what happened: a state that was left and entered again before
//! systemd heard of it is nothing to systemd, and whatever is lost on the way is made up for.
//!
//! A target can also be started by others, or be restarted together with `carpd.service`. It has a
//! condition for that: a file in our run-time directory, there while the interface is MASTER.

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

use super::hub::Hub;
use super::standing;
use super::system::Presence;

/// systemd's name on the system bus.
const SYSTEMD: &str = "org.freedesktop.systemd1";

/// Every target of ours.
const PATTERN: &str = "carp-master@*.target";

/// After systemd refused something: the first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// `org.freedesktop.systemd1(5)`
#[proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    /// Answers when the job is queued.
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;

    /// Answers when the job is queued.
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;

    /// The units that are loaded.
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

/// Keeps the targets, and the files in `marks`, as the interfaces are, until the hub is closed.
/// That carpd ends, systemd sees for itself.
pub(super) async fn keep(hub: &Hub, marks: &Path) {
    let mut marks = match Marks::new(marks) {
        Ok(marks) => marks,
        Err(error) => {
            warn!("{}: {error}; {PATTERN} is not kept", marks.display());
            return;
        }
    };
    tokio::select! {
        () = hub.closed() => {}
        () = follow(hub, &mut marks) => {}
    }
}

/// Follows the connection to the bus. Never ends.
async fn follow(hub: &Hub, marks: &mut Marks) {
    let mut presence = hub.presence().subscribe();
    loop {
        let there = presence.borrow_and_update().clone();
        let connection = match there {
            Presence::There(connection) => Some(connection),
            Presence::Trying | Presence::Absent => None,
        };
        tokio::select! {
            () = with_bus(hub, marks, connection) => {}
            // The sender is in `hub`, so that waiting cannot fail.
            _ = presence.changed() => {}
        }
    }
}

/// Until the connection is of no more use.
async fn with_bus(hub: &Hub, marks: &mut Marks, connection: Option<Connection>) {
    let joined = match &connection {
        Some(connection) => Bus::of(connection).await,
        None => Ok(None),
    };
    let mut bus = match joined {
        Ok(bus) => bus,
        Err(error) => {
            debug!("cannot follow {SYSTEMD}: {error}");
            None
        }
    };
    let mut moves = hub.moves();
    let (mut pause, longest) = PAUSES;
    let mut told = BTreeSet::new();
    loop {
        moves.mark_unchanged();
        let masters: BTreeSet<Unit> = standing::masters(&hub.board()).collect();
        marks.set(&masters);
        let failures = match &mut bus {
            Some(bus) => bus.bring(&masters).await,
            None => BTreeSet::new(),
        };
        let again = (!failures.is_empty()).then(|| Instant::now() + pause);
        pause = if again.is_some() {
            (pause * 2).min(longest)
        } else {
            PAUSES.0
        };
        for failure in failures.difference(&told) {
            warn!("systemd: {failure}; trying again");
        }
        told = failures;
        wait(&mut moves, bus.as_mut(), again).await;
    }
}

/// Waits until there may be something to do.
async fn wait(moves: &mut watch::Receiver<()>, bus: Option<&mut Bus>, again: Option<Instant>) {
    let owner = async {
        match bus {
            Some(bus) => bus.systemd_changed().await,
            None => std::future::pending().await,
        }
    };
    let something = async {
        tokio::select! {
            // The sender is in the hub, so that waiting cannot fail.
            _ = moves.changed() => {}
            () = owner => {}
        }
    };
    match again {
        // Too late is as good as something.
        Some(again) => _ = timeout_at(again, something).await,
        None => something.await,
    }
}

/// systemd as seen over a bus.
struct Bus {
    manager: ManagerProxy<'static>,
    owners: NameOwnerChangedStream,
    there: bool,
    /// Whose targets are active; `None` until systemd was asked.
    active: Option<BTreeSet<Unit>>,
}

impl Bus {
    /// `None` if systemd cannot be there.
    async fn of(connection: &Connection) -> zbus::Result<Option<Self>> {
        let names = DBusProxy::new(connection).await?;
        let owners = names
            .receive_name_owner_changed_with_args(&[(0, SYSTEMD)])
            .await?;
        Ok(Some(Self {
            manager: ManagerProxy::new(connection).await?,
            // Asked first: a call to a name without an owner would have the bus look for one.
            there: names.name_has_owner(SYSTEMD.try_into()?).await?,
            owners,
            active: None,
        }))
    }

    /// Waits until systemd comes, goes, or is another: it was executed anew.
    async fn systemd_changed(&mut self) {
        let Some(change) = self.owners.next().await else {
            // With the connection, which others notice as well.
            return std::future::pending().await;
        };
        self.active = None;
        self.there = change
            .args()
            .is_ok_and(|change| change.new_owner().is_some());
    }

    /// Makes the targets of `masters` active and those of others not. Says what failed.
    async fn bring(&mut self, masters: &BTreeSet<Unit>) -> BTreeSet<String> {
        if !self.there {
            return BTreeSet::new();
        }
        let (active, known) = match self.active.take() {
            Some(active) => (active, true),
            None => match self.ask().await {
                Ok(active) => (active, false),
                Err(error) => return BTreeSet::from([error.to_string()]),
            },
        };
        let mut failures = BTreeSet::new();
        for unit in active.difference(masters) {
            let done = self.manager.stop_unit(&target(*unit), "replace").await;
            failures.extend(done.err().map(|error| failure(*unit, &error)));
        }
        // Starting what is active does nothing, but what is may just be ending.
        for unit in masters
            .iter()
            .filter(|unit| !known || !active.contains(unit))
        {
            let done = self.manager.start_unit(&target(*unit), "replace").await;
            failures.extend(done.err().map(|error| failure(*unit, &error)));
        }
        if failures.is_empty() {
            self.active = Some(masters.clone());
        }
        failures
    }

    /// Whose targets are active, or are about to be or not to be.
    async fn ask(&self) -> zbus::Result<BTreeSet<Unit>> {
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

/// Of targets that have other instances than interfaces, nothing is ours.
fn unit_of(target: &str) -> Option<Unit> {
    let name = target
        .strip_prefix("carp-master@")?
        .strip_suffix(".target")?;
    name.parse().ok()
}

fn failure(unit: Unit, error: &zbus::Error) -> String {
    format!("{}: {error}", target(unit))
}

/// The files that are the targets' condition.
struct Marks {
    directory: PathBuf,
    made: BTreeSet<Unit>,
}

impl Marks {
    /// An empty directory. These are files without contents in memory: making one blocks nobody.
    fn new(directory: &Path) -> io::Result<Self> {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        DirBuilder::new().mode(0o700).create(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            made: BTreeSet::new(),
        })
    }

    fn set(&mut self, masters: &BTreeSet<Unit>) {
        let path = |unit: &Unit| self.directory.join(unit.to_string());
        for unit in self.made.difference(masters) {
            if let Err(error) = fs::remove_file(path(unit)) {
                warn!("{}: {error}", path(unit).display());
            }
        }
        for unit in masters.difference(&self.made) {
            if let Err(error) = File::create(path(unit)) {
                warn!("{}: {error}", path(unit).display());
            }
        }
        self.made.clone_from(masters);
    }
}

impl Drop for Marks {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            debug!("{}: {error}", self.directory.display());
        }
    }
}
