//! The one place that emits signals.
//!
//! News is put on the board, objects are made or removed, signals are queued for every
//! connection, and only then answers go out: whoever gets an answer finds its effects.

use std::collections::HashMap;
use std::sync::Arc;

use carp_dbus::EventRow;
use carp_dbus::names::{
    INTERFACE_INTERFACE, MANAGER_INTERFACE, ROOT_PATH, SYSCTL_INTERFACE, interface_path,
};
use carp_dbus::properties::Dictionary;
use carp_proto::Unit;
use tokio::sync::mpsc::Receiver;
use tracing::{debug, warn};
use zbus::{Message, ObjectPath};

use super::board::Signal;
use super::events::Happening;
use super::hub::Hub;
use crate::publish::News;

const OBJECT_MANAGER: &str = "org.freedesktop.DBus.ObjectManager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Takes in news until there is no more.
pub(super) async fn run(hub: &Arc<Hub>, mut news: Receiver<News>) {
    while let Some(news) = news.recv().await {
        let signals = take_in(hub, news);
        if signals.iter().any(Signal::moves) {
            hub.moved();
        }
        for signal in signals {
            emit(hub, signal).await;
        }
    }
}

/// Puts news on the board, and says what clients must be told of it.
fn take_in(hub: &Hub, news: News) -> Vec<Signal> {
    let mut board = hub.board();
    match news {
        News::Interface(status) => board.interface(&status).into_iter().collect(),
        News::Refreshed {
            interfaces,
            totals,
            done,
        } => {
            board.totals = totals;
            let signals = interfaces
                .iter()
                .filter_map(|status| board.interface(status))
                .collect();
            // Whoever asked may be gone.
            let _ = done.send(());
            signals
        }
        News::Gone(unit) => board.gone(unit).into_iter().collect(),
        News::Changed(transition) => {
            hub.hooks().run(&transition);
            board.transition(&transition);
            let event = board.event(Happening::Transition(transition.clone()));
            vec![Signal::Transitioned(transition), event]
        }
        News::Sysctls {
            values,
            suppressions,
        } => board.sysctls(values, suppressions).into_iter().collect(),
        News::Notice(at, notice) => vec![board.event(Happening::Notice(at, notice))],
        News::Answer(id, answer) => {
            hub.answer(id, answer);
            Vec::new()
        }
        News::Everything(everything) => {
            for transition in board.missed(&everything) {
                hub.hooks().run(&transition);
                board.transition(&transition);
            }
            board.everything(*everything)
        }
    }
}

async fn emit(hub: &Arc<Hub>, signal: Signal) {
    let peers = hub.peers();
    if let Signal::Added(unit, _) | Signal::Removed(unit) = &signal {
        for peer in &peers {
            peer.changed(hub, *unit).await;
        }
    }
    if peers.is_empty() {
        return;
    }
    match message(signal) {
        Ok(message) => {
            for peer in &peers {
                if !peer.tell(message.clone()) {
                    debug!("a client does not read what it is told, and is let go");
                    hub.leave(peer);
                }
            }
        }
        Err(error) => warn!("a signal could not be made: {error}"),
    }
}

fn message(signal: Signal) -> zbus::Result<Message> {
    match signal {
        Signal::Added(unit, properties) => {
            let interfaces = HashMap::from([(INTERFACE_INTERFACE, properties)]);
            Message::signal(ROOT_PATH, OBJECT_MANAGER, "InterfacesAdded")
                .build(&(path(unit)?, interfaces))
        }
        Signal::Removed(unit) => Message::signal(ROOT_PATH, OBJECT_MANAGER, "InterfacesRemoved")
            .build(&(path(unit)?, [INTERFACE_INTERFACE].as_slice())),
        Signal::Changed(unit, properties) => changed(path(unit)?, INTERFACE_INTERFACE, &properties),
        Signal::Transitioned(transition) => {
            let (from, to) = (transition.from.text(), transition.to.text());
            Message::signal(path(transition.unit)?, INTERFACE_INTERFACE, "Transitioned").build(&(
                from,
                to,
                transition.reason.word(),
            ))
        }
        Signal::Sysctls(properties) => changed(
            ObjectPath::try_from(ROOT_PATH)?,
            SYSCTL_INTERFACE,
            &properties,
        ),
        Signal::Event(event) => {
            Message::signal(ROOT_PATH, MANAGER_INTERFACE, "Event").build(&EventRow::from(event))
        }
    }
}

fn changed(
    path: ObjectPath<'_>,
    interface: &str,
    properties: &Dictionary,
) -> zbus::Result<Message> {
    let invalidated: &[&str] = &[];
    Message::signal(path, PROPERTIES, "PropertiesChanged").build(&(
        interface,
        properties,
        invalidated,
    ))
}

fn path(unit: Unit) -> zbus::Result<ObjectPath<'static>> {
    ObjectPath::try_from(interface_path(&unit.to_string()))
}
