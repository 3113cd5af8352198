//! The configuration files and the loop: at start, and what `Save` and `Reload` do.

use core::fmt::Display;
use std::collections::BTreeSet;
use std::sync::Arc;

use carp_dbus::Error;
use carp_proto::{Request, Unit};
use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::Start;
use super::hub::Hub;
use crate::config::{Configuration, Files, Wanted};

/// Waits until the loop can be asked, and sets up what is configured unless it has that already.
/// What is wrong is logged, and the rest comes up.
pub(super) async fn boot(hub: &Hub, start: Start) {
    let files = hub.files().await;
    hub.answers().await;
    match start {
        Start::Configured => set_up(hub, &files).await,
        Start::Resumed => {}
    }
    hub.complete().await;
}

async fn set_up(hub: &Hub, files: &Files) {
    match read(files).await {
        Ok(configuration) => {
            for fault in configuration.warnings.iter().chain(&configuration.faults) {
                warn!("{fault}");
            }
            for refusal in apply(hub, configuration, BTreeSet::new()).await {
                warn!("{refusal}");
            }
        }
        Err(error) => warn!("{error}"),
    }
}

/// Writes what is running into the files.
///
/// # Errors
///
/// [`Error::Failed`]: the files are as they were.
pub(super) async fn save(hub: &Hub) -> Result<(), Error> {
    let files = hub.files().await;
    let running = hub.running().await?;
    let task = files.clone();
    spawn_blocking(move || task.save(&running))
        .await
        .map_err(failed)?
        .map_err(Error::Failed)
}

/// Reads the files, and changes what differs from them. If anything is wrong in them, nothing.
///
/// # Errors
///
/// [`Error::InvalidArgument`] with everything that is wrong; [`Error::Failed`] with what the loop
/// refused, while the rest was changed.
pub(super) async fn reload(hub: &Hub) -> Result<(), Error> {
    let files = hub.files().await;
    let _told = hub.systemd().reloading();
    let configuration = read(&files).await?;
    if !configuration.faults.is_empty() {
        return Err(Error::InvalidArgument(joined(&configuration.faults)));
    }
    for warning in &configuration.warnings {
        warn!("{warning}");
    }
    let there = hub.board().interfaces.keys().copied().collect();
    let mut refusals = apply(hub, configuration, there).await;
    if let Err(refused) = hub.settle(None).await {
        refusals.push(refused.to_string());
    }
    hub.saved().await;
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(Error::Failed(joined(&refusals)))
    }
}

/// Reloads whenever `hangups` comes, until the loop is gone.
pub(super) async fn reload_on(hub: &Arc<Hub>, hangups: &mut Signal) {
    loop {
        tokio::select! {
            () = hub.closed() => return,
            _ = hangups.recv() => match reload(hub).await {
                Ok(()) => info!("the configuration was read again"),
                Err(error) => warn!("the configuration was not read again: {error}"),
            },
        }
    }
}

/// Makes the loop have `configuration`, and of `there` what is in it alone. Gives what it refused.
async fn apply(hub: &Hub, configuration: Configuration, mut there: BTreeSet<Unit>) -> Vec<String> {
    let Configuration {
        interfaces,
        sysctls,
        ..
    } = configuration;
    let mut refused = Vec::new();
    for (sysctl, value) in sysctls {
        if let Err(error) = hub.request_of_many(Request::Set(sysctl, value)).await {
            refused.push(error.to_string());
        }
    }
    for Wanted { unit, .. } in &interfaces {
        there.remove(unit);
    }
    for unit in there {
        if let Err(error) = hub.request_of_many(Request::Destroy(unit)).await {
            refused.push(error.to_string());
        }
    }
    refused.extend(install(hub, interfaces).await);
    refused
}

/// Installs every interface. One whose vhid another one still has gets its turn after that one has
/// changed; those that wait for each other give theirs up first.
async fn install(hub: &Hub, mut interfaces: Vec<Wanted>) -> Vec<String> {
    let mut refused = Vec::new();
    let mut given_up = false;
    loop {
        let before = interfaces.len();
        let mut taken = Vec::new();
        for wanted in interfaces {
            match hub.request_of_many(wanted.request()).await {
                Ok(_) => {}
                Err(_) if hub.is_closed() => return refused,
                Err(error @ Error::Exists(_)) => taken.push((wanted, error)),
                Err(error) => refused.push(format!("{}: {error}", wanted.place)),
            }
        }
        let stuck = taken.len() == before;
        if taken.is_empty() || (stuck && given_up) {
            let taken = taken.into_iter();
            refused.extend(taken.map(|(wanted, error)| format!("{}: {error}", wanted.place)));
            return refused;
        }
        interfaces = taken.into_iter().map(|(wanted, _)| wanted).collect();
        if stuck {
            given_up = true;
            give_up_vhids(hub, &interfaces).await;
        }
    }
}

/// Takes the vhid from each of `stuck` that has the one which another of them shall have.
async fn give_up_vhids(hub: &Hub, stuck: &[Wanted]) {
    let Ok(mut running) = hub.running().await else {
        return;
    };
    for unit in stuck.iter().map(|wanted| wanted.unit) {
        let Some(mut settings) = running.interfaces.remove(&unit) else {
            continue;
        };
        let vhid = settings.vhid.take();
        let is_wanted =
            |other: &Wanted| other.unit != unit && vhid.is_some() && other.settings.vhid == vhid;
        if stuck.iter().any(is_wanted) {
            let settings = Box::new(settings);
            // If it is refused, so is what needs it, and that is told.
            let _ = hub
                .request_of_many(Request::Install { unit, settings })
                .await;
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
