//! The configuration files in use: applied at start and by `Reload`, written by `Save`.

use core::fmt::Display;
use std::collections::BTreeSet;
use std::sync::Arc;

use carp_dbus::Error;
use carp_proto::{Request, Unit};
use tokio::signal::unix::Signal;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::{Configuration, Files, Wanted};
use crate::requests::Requests;
use crate::snapshot::SharedSnapshot;
use crate::systemd::notify::Systemd;

/// State to start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The configuration files.
    Configured,
    /// The run-time state of the previous instance.
    Resumed,
}

/// Configuration files, and the loop that they configure.
#[derive(Debug)]
pub(crate) struct Configurator {
    /// Locked while files are read and applied, or written.
    files: Mutex<Files>,
    requests: Arc<Requests>,
    snapshot: SharedSnapshot,
    systemd: Systemd,
}

impl Configurator {
    /// Returns a configurator of the loop behind `requests`, which reports reloads to `systemd`.
    pub(crate) fn new(
        files: Files,
        requests: Arc<Requests>,
        snapshot: SharedSnapshot,
        systemd: Systemd,
    ) -> Self {
        Self {
            files: Mutex::new(files),
            requests,
            snapshot,
            systemd,
        }
    }

    /// Waits until the loop handles requests. Then applies the files, unless the loop has resumed. Faults
    /// are logged, and everything else is set up.
    pub(crate) async fn start(&self, start: Start) {
        let files = self.files.lock().await;
        self.requests.ready().await;
        match start {
            Start::Configured => self.set_up(&files).await,
            Start::Resumed => {}
        }
        self.requests.complete().await;
    }

    async fn set_up(&self, files: &Files) {
        match read(files).await {
            Ok(configuration) => {
                for fault in configuration.warnings.iter().chain(&configuration.faults) {
                    warn!("{fault}");
                }
                for refusal in self.apply(configuration, BTreeSet::new()).await {
                    warn!("{refusal}");
                }
            }
            Err(error) => warn!("{error}"),
        }
    }

    /// Writes the running configuration into the files.
    ///
    /// # Errors
    /// [`Error::Failed`]; the files are then unchanged.
    pub(crate) async fn save(&self) -> Result<(), Error> {
        let files = self.files.lock().await;
        let running = self.requests.running().await?;
        let task = files.clone();
        spawn_blocking(move || task.save(&running))
            .await
            .map_err(failed)?
            .map_err(Error::Failed)
    }

    /// Reads the files and changes the running configuration where it differs. A fault in the files
    /// prevents all changes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] with all faults; [`Error::Failed`] with the loop's refusals, while the
    /// other changes are made.
    pub(crate) async fn reload(&self) -> Result<(), Error> {
        let files = self.files.lock().await;
        let _reloading = self.systemd.reloading();
        let configuration = read(&files).await?;
        if !configuration.faults.is_empty() {
            return Err(Error::InvalidArgument(joined(&configuration.faults)));
        }
        for warning in &configuration.warnings {
            warn!("{warning}");
        }
        let present = self.snapshot.lock().interfaces.keys().copied().collect();
        let mut refusals = self.apply(configuration, present).await;
        if let Err(refused) = self.requests.settle(None).await {
            refusals.push(refused.to_string());
        }
        self.requests.saved().await;
        if refusals.is_empty() {
            Ok(())
        } else {
            Err(Error::Failed(joined(&refusals)))
        }
    }

    /// Reloads on each of `hangups`. Never ends.
    pub(crate) async fn reload_on(&self, hangups: &mut Signal) {
        while hangups.recv().await.is_some() {
            match self.reload().await {
                Ok(()) => info!("the configuration was read again"),
                Err(error) => warn!("the configuration was not read again: {error}"),
            }
        }
    }

    /// Applies `configuration`, and destroys all other interfaces of `present`. Returns the refusals.
    async fn apply(
        &self,
        configuration: Configuration,
        mut present: BTreeSet<Unit>,
    ) -> Vec<String> {
        let Configuration {
            interfaces,
            sysctls,
            ..
        } = configuration;
        let mut refused = Vec::new();
        let mut request = async |request| {
            if let Err(error) = self.requests.request_of_many(request).await {
                refused.push(error.to_string());
            }
        };
        for (sysctl, value) in sysctls {
            request(Request::Set(sysctl, value)).await;
        }
        for Wanted { unit, .. } in &interfaces {
            present.remove(unit);
        }
        for unit in present {
            request(Request::Destroy(unit)).await;
        }
        refused.extend(self.install(interfaces).await);
        refused
    }

    /// Installs every interface. An interface whose vhid is still in use is installed after the interface
    /// that uses it. Interfaces that wait for each other first give up their vhids.
    async fn install(&self, mut interfaces: Vec<Wanted>) -> Vec<String> {
        let mut refused = Vec::new();
        let mut given_up = false;
        loop {
            let before = interfaces.len();
            let mut waiting = Vec::new();
            for wanted in interfaces {
                match self.requests.request_of_many(wanted.request()).await {
                    Ok(_) => {}
                    Err(_) if self.requests.has_ended() => return refused,
                    Err(error @ Error::Exists(_)) => waiting.push((wanted, error)),
                    Err(error) => refused.push(format!("{}: {error}", wanted.place)),
                }
            }
            let is_stuck = waiting.len() == before;
            if waiting.is_empty() || (is_stuck && given_up) {
                let waiting = waiting.into_iter();
                refused.extend(waiting.map(|(wanted, error)| format!("{}: {error}", wanted.place)));
                return refused;
            }
            interfaces = waiting.into_iter().map(|(wanted, _)| wanted).collect();
            if is_stuck {
                given_up = true;
                self.give_up_vhids(&interfaces).await;
            }
        }
    }

    /// Removes the vhid from each of `stuck` whose vhid another of them is to have.
    async fn give_up_vhids(&self, stuck: &[Wanted]) {
        let Ok(mut running) = self.requests.running().await else {
            return;
        };
        for unit in stuck.iter().map(|wanted| wanted.unit) {
            let Some(mut settings) = running.interfaces.remove(&unit) else {
                continue;
            };
            let vhid = settings.vhid.take();
            let is_wanted = |other: &Wanted| {
                other.unit != unit && vhid.is_some() && other.settings.vhid == vhid
            };
            if stuck.iter().any(is_wanted) {
                let settings = Box::new(settings);
                let request = Request::Install { unit, settings };
                // If it is refused, so is the interface that needs the vhid, and that is reported.
                let _ = self.requests.request_of_many(request).await;
            }
        }
    }
}

impl Wanted {
    fn request(&self) -> Request {
        Request::Install {
            unit: self.unit,
            settings: Box::new(self.settings.clone()),
        }
    }
}

async fn read(files: &Files) -> Result<Configuration, Error> {
    let files = files.clone();
    spawn_blocking(move || files.read()).await.map_err(failed)
}

fn joined(lines: &[impl Display]) -> String {
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

fn failed(error: impl Display) -> Error {
    Error::Failed(error.to_string())
}
