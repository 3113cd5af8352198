//! The D-Bus API: views of what the loop published, and requests sent to it.
//!
//! The same objects are served on every connection: each client of the private socket has one of
//! its own, and the bus is one more. What the loop tells goes into the [`board`]; the [`emitter`]
//! turns it into signals; methods ask the loop through the [`hub`].
//!
//! What is read comes from the board. Only counters and times, which change with every
//! advertisement, are not published as they change: when a client looks at them, the hub asks the
//! loop for those that moved on, once for everybody and at most ten times a second, and waits no
//! longer than a tenth of a second. That is one question in the loop's bounded queue, as a change is.
//!
//! **Invariant:** nothing here can delay the protocol, and no client can delay another: every
//! queue is bounded, and a client that does not read is let go.

mod board;
mod callers;
mod carpreq;
mod configuration;
mod convert;
mod emitter;
mod events;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
mod holders;
mod hub;
mod interface;
mod manager;
mod masters;
mod object_manager;
mod peer;
mod polkit;
mod private;
mod socket;
mod standing;
mod sysctl;
mod system;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::pin::pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::time::timeout;

use self::hub::Hub;
use self::private::PrivateSocket;
use crate::config::Files;
use crate::hooks::Hooks;
use crate::publish::ApiEnd;
use crate::systemd::Systemd;

/// How long clients have to wait for what is configured; it may be thousands of interfaces.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where the API is served.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The path of the private socket.
    pub(crate) private_socket: PathBuf,
    /// The bus.
    pub(crate) bus: Bus,
    /// A directory of ours: what is MASTER has a file there.
    pub(crate) marks: PathBuf,
    /// The configuration.
    pub(crate) files: Files,
    /// What runs on changes of state.
    pub(crate) hooks: Hooks,
    /// Who started us.
    pub(crate) systemd: Systemd,
}

/// What to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// What the files say.
    Configured,
    /// What the carpd before has left.
    Resumed,
}

/// Which bus to be on: the argument of `--bus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bus {
    /// The system bus, wherever `DBUS_SYSTEM_BUS_ADDRESS` says it is.
    System,
    /// The bus at a D-Bus address.
    At(String),
    /// None.
    None,
}

impl FromStr for Bus {
    type Err = zbus::Error;

    fn from_str(text: &str) -> Result<Self, zbus::Error> {
        match text {
            "system" => Ok(Self::System),
            "none" => Ok(Self::None),
            address => zbus::Address::from_str(address).map(|_| Self::At(address.to_owned())),
        }
    }
}

/// The API, holding the private socket.
#[derive(Debug)]
pub(crate) struct Api {
    socket: PrivateSocket,
    bus: Bus,
    marks: PathBuf,
    files: Files,
    hooks: Hooks,
    systemd: Systemd,
}

impl Api {
    /// Takes the private socket, which also keeps a second carpd from starting. Within a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// Another carpd answers there, or the directory is missing or not ours.
    pub(crate) fn open(places: Places) -> std::io::Result<Self> {
        Ok(Self {
            socket: PrivateSocket::bind(places.private_socket)?,
            bus: places.bus,
            marks: places.marks,
            files: places.files,
            hooks: places.hooks,
            systemd: places.systemd,
        })
    }

    /// Sets up what is configured if it is to `start` so, says that it is `ready`, and serves until the news ends, that is
    /// until the loop is gone; then says what is left to say for at most a second, removes the
    /// socket, and lets the last hooks run. Losing the bus is no reason to end. `hangups` reload
    /// the configuration.
    pub(crate) async fn serve(
        self,
        ApiEnd { news, asks }: ApiEnd,
        start: Start,
        mut hangups: Signal,
        ready: impl FnOnce(),
    ) {
        let hub = Arc::new(Hub::new(asks, self.files).with(self.hooks, self.systemd));
        let emit = async {
            emitter::run(&hub, news).await;
            hub.close();
        };
        let attend = async {
            let mut boot = pin!(configuration::boot(&hub, start));
            let done = timeout(PATIENCE, boot.as_mut()).await.is_ok();
            ready();
            tokio::join!(
                async {
                    if !done {
                        boot.await;
                    }
                    tokio::select! {
                        () = hub.closed() => {}
                        () = system::tried(&hub) => hub.systemd().ready(),
                    }
                },
                self.socket.serve(&hub),
                system::keep(&hub, self.bus),
                configuration::reload_on(&hub, &mut hangups),
                standing::keep_told(&hub),
                masters::keep(&hub, &self.marks),
            );
        };
        tokio::join!(emit, attend);
        hub.hooks().finish().await;
    }
}
