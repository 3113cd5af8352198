//! One virtual host: its state, its events, and the actions that follow.
//!
//! **Invariant:** each state owns its timers, and [`Vhost::enter`] is the only place where a state
//! changes. The state machine knows no format on the wire: it hears a [`Claim`], and makes one.

mod addresses;
mod advertising;
mod device;
mod event;
mod heard;
mod mastership;
mod report;
mod resume;
mod sending;
mod waiting;
mod watch;

use core::net::IpAddr;
use std::collections::BTreeMap;

pub(crate) use self::event::{Env, Event};
pub(crate) use self::mastership::MOST_EARLY;
use self::mastership::Mastership;
pub(crate) use self::sending::Sending;
use self::watch::Watch;
use crate::action::{Action, Work};
use crate::claim::Claim;
use crate::counters::{Counter, Counters};
use crate::dialect::Dialect;
use crate::election::{effective_advskew, own_advskew};
use crate::link::{IfIndex, Link};
use crate::mac::Mac;
use crate::name::Unit;
use crate::obstacle::{Impediment, Obstacle};
use crate::reason::Reason;
use crate::settings::{DeviceName, ForcedState, LinkLayer, Settings};
use crate::status::{Peer, StateName, Transition};
use crate::time::Instant;
use crate::warning::Warning;

/// A virtual host.
#[derive(Clone, Debug)]
pub(crate) struct Vhost {
    pub(crate) unit: Unit,
    pub(crate) settings: Settings,
    /// Its physical interface.
    pub(crate) device: Option<IfIndex>,
    pub(crate) arp_responder: ArpResponder,
    pub(crate) dialect: Dialect,
    pub(crate) counters: Counters,
    /// Reason why it cannot run although its settings and its physical interface allow it.
    pub(crate) impediment: Option<Impediment>,
    /// The obstacle that was last reported.
    pub(crate) reported_obstacle: Option<Obstacle>,
    /// The warnings that were last reported.
    pub(crate) warnings: Vec<Warning>,
    /// Addresses that the kernel refused since the last takeover, with its message.
    pub(crate) refused_addresses: BTreeMap<IpAddr, String>,
    pub(crate) sending: Sending,
    /// Name of its last physical interface.
    pub(crate) last_device: Option<DeviceName>,
    state: State,
    /// Physical interface and MAC of the device that the kernel was last ordered to have.
    ordered_device: Option<(IfIndex, Mac)>,
    /// Number of the last takeover.
    takeovers: u32,
    peer: Option<Peer>,
    last_transition: Option<Transition>,
}

/// Responder to ARP requests for the virtual addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ArpResponder {
    #[default]
    Kernel,
    /// Virtual hosts of the physical interface share addresses. Those in `balanced` are never
    /// announced, because that would move all clients to one virtual host.
    Carpd { balanced: Vec<IpAddr> },
}

/// A state with its timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Init,
    Backup(Watch),
    Master(Mastership),
}

impl State {
    const fn name(self) -> StateName {
        match self {
            Self::Init => StateName::Init,
            Self::Backup(_) => StateName::Backup,
            Self::Master(_) => StateName::Master,
        }
    }
}

impl Vhost {
    /// Virtual host in INIT.
    pub(crate) fn new(unit: Unit) -> Self {
        Self {
            unit,
            settings: Settings::default(),
            device: None,
            arp_responder: ArpResponder::default(),
            dialect: Dialect::new(unit),
            counters: Counters::default(),
            impediment: None,
            reported_obstacle: None,
            warnings: Vec::new(),
            refused_addresses: BTreeMap::new(),
            sending: Sending::default(),
            last_device: None,
            state: State::Init,
            ordered_device: None,
            takeovers: 0,
            peer: None,
            last_transition: None,
        }
    }

    /// Its state, without timers.
    pub(crate) const fn state(&self) -> StateName {
        self.state.name()
    }

    /// Time at which it needs [`Event::Deadline`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Init => None,
            State::Backup(watch) => Some(watch.deadline()),
            State::Master(Mastership { next, .. }) => Some(next),
        }
    }

    /// Checks whether a virtual host with `settings` on `link` can leave INIT.
    pub(crate) fn runnable(settings: &Settings, link: Option<&Link>) -> Result<(), Reason> {
        let missing = if !settings.up {
            Reason::AdministrativelyDown
        } else if settings.vhid.is_none() {
            Reason::NoVhid
        } else if settings.addresses.is_empty() {
            Reason::NoAddress
        } else {
            match link {
                None => Reason::NoDevice,
                Some(Link { up: false, .. }) => Reason::DeviceDown,
                Some(Link { carrier: false, .. }) => Reason::CarrierLost,
                Some(_) => return Ok(()),
            }
        };
        Err(missing)
    }

    /// Handles one event: the table of states and events.
    pub(crate) fn handle(&mut self, event: Event, env: &Env<'_>, out: &mut Vec<Action>) {
        self.notice_standstill(env, out);
        match (self.state, event) {
            (State::Init, Event::Reconsider) => match self.may_run(env) {
                Ok(()) => self.enter(StateName::Backup, Reason::BecameRunnable, None, env, out),
                Err(_) => self.order_device(env, out),
            },
            (State::Init, Event::Resume) => match self.may_run(env) {
                Ok(()) => self.enter(StateName::Master, Reason::Resumed, None, env, out),
                Err(_) => self.order_device(env, out),
            },
            (State::Backup(_) | State::Master(_), Event::Reconsider) => {
                if let Err(reason) = self.may_run(env) {
                    self.enter(StateName::Init, reason, None, env, out);
                }
            }

            (State::Backup(watch), Event::Deadline) => {
                if watch.has_sending_lapsed(env.now.instant) {
                    self.sending.lapse();
                    self.state = State::Backup(watch.with_sending_lapse(None));
                } else if watch.master_down <= env.now.instant {
                    self.enter(StateName::Master, Reason::MasterTimedOut, None, env, out);
                }
            }
            (State::Master(_), Event::Deadline) => {
                if self.is_due(env) {
                    self.advertise(env, out);
                }
            }

            (State::Backup(watch), Event::Heard { sender, claim }) => {
                self.heard_as_backup(watch, sender.source, claim, env, out);
            }
            (State::Master(mastership), Event::Heard { sender, claim }) => {
                self.heard_as_master(mastership, sender, claim, env, out);
            }
            (State::Master(mastership), Event::HeardInStep { sender, claim }) => {
                self.heard_in_step(mastership, sender, claim, env, out);
            }

            (State::Master(mastership), Event::AddressesTaken(number)) => {
                self.addresses_taken(mastership, number, env, out);
            }
            (State::Master(_), Event::Refresh | Event::ArpResponder) => {
                self.retake_addresses(env, out);
            }

            (State::Backup(_), Event::Force(ForcedState::Master)) => {
                self.enter(StateName::Master, Reason::Forced, None, env, out);
            }
            (State::Master(_), Event::Force(ForcedState::Backup)) => {
                self.enter(StateName::Backup, Reason::Forced, None, env, out);
            }

            (State::Master(_), Event::Suppression) if env.suppress == 0 => {}
            (State::Master(_), Event::Advertise | Event::Suppression) => {
                self.advertise(env, out);
            }
            (State::Backup(watch), Event::Refresh | Event::Suppression) => {
                self.adjust_wait(watch, env);
            }
            (State::Backup(watch), Event::SendingFails) => {
                self.state = State::Backup(self.with_sending_lapse(watch, env));
            }

            (State::Backup(_) | State::Master(_), Event::Retire(reason)) => {
                self.enter(StateName::Init, reason, None, env, out);
            }

            (
                State::Init,
                Event::Deadline
                | Event::Heard { .. }
                | Event::HeardInStep { .. }
                | Event::AddressesTaken(_)
                | Event::Force(_)
                | Event::Advertise
                | Event::Suppression
                | Event::Refresh
                | Event::ArpResponder
                | Event::SendingFails
                | Event::Retire(_),
            )
            | (
                State::Backup(_),
                Event::HeardInStep { .. }
                | Event::AddressesTaken(_)
                | Event::Force(ForcedState::Backup)
                | Event::Advertise
                | Event::ArpResponder
                | Event::Resume,
            )
            | (
                State::Master(_),
                Event::Force(ForcedState::Master) | Event::Resume | Event::SendingFails,
            ) => {}
        }
    }

    /// Handles a standstill of this host before the event that reveals it. No event may renew a lease
    /// that ended, and a BACKUP that missed advertisements listens first.
    fn notice_standstill(&mut self, env: &Env<'_>, out: &mut Vec<Action>) {
        match self.state {
            State::Master(mastership) if self.has_overslept(mastership, env) => {
                self.enter(StateName::Backup, Reason::Overslept, None, env, out);
            }
            State::Backup(watch) if self.has_slept(watch, env) => {
                self.state = State::Backup(watch.woken(env.now.instant, self.own_wait(env)));
            }
            State::Init | State::Backup(_) | State::Master(_) => {}
        }
    }

    /// Changes the state, with everything that belongs to leaving the old one and entering the new
    /// one.
    fn enter(
        &mut self,
        to: StateName,
        reason: Reason,
        peer: Option<IpAddr>,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) {
        let from = self.state();
        match from {
            StateName::Master => self.release_addresses(reason, env, out),
            StateName::Init | StateName::Backup => {}
        }
        match to {
            StateName::Init => {
                self.state = State::Init;
                self.peer = None;
                if self.ordered_device.is_some() {
                    out.push(Action::Work(Work::Down { unit: self.unit }));
                }
            }
            StateName::Backup => {
                if from == StateName::Init {
                    self.ordered_device = None;
                    self.order_device(env, out);
                }
                // A peer that is the reason was heard just now.
                let theirs = peer.and(self.peer).map(Peer::interval);
                let mut watch = Watch::starting(env.now.instant, theirs, self.own_wait(env));
                if reason == Reason::Overslept {
                    watch = watch.woken(env.now.instant, self.own_wait(env));
                }
                self.state = State::Backup(self.with_sending_lapse(watch, env));
            }
            StateName::Master if reason == Reason::Resumed => {
                self.ordered_device = self.needed_device(env);
                self.state = State::Master(Mastership::resumed(env.now));
                self.take_addresses(env, out);
            }
            StateName::Master => {
                let advbase = self.settings.advbase;
                self.state = State::Master(Mastership::taken_over(env.now, advbase));
                self.take_addresses(env, out);
            }
        }
        let device = env
            .link
            .map(|link| &link.name)
            .or(self.last_device.as_ref());
        let transition = Transition {
            unit: self.unit,
            vhid: self.settings.vhid,
            device: device.cloned(),
            at: env.now.unix,
            from,
            to,
            reason,
            peer,
        };
        self.counters.raise(Counter::Ostates);
        self.last_transition = Some(transition.clone());
        out.push(Action::Changed(transition));
    }

    fn may_run(&self, env: &Env<'_>) -> Result<(), Reason> {
        Self::runnable(&self.settings, env.link)?;
        match &self.impediment {
            None => Ok(()),
            Some(impediment) => Err(impediment.reason()),
        }
    }

    /// Content of its next advertisement.
    pub(crate) fn claim(&self, env: &Env<'_>) -> Claim {
        Claim {
            advbase: self.settings.advbase.get(),
            advskew: effective_advskew(self.own_advskew(env), env.suppress > 0),
            demotion: u8::try_from(env.suppress).unwrap_or(u8::MAX),
            bows_out: false,
        }
    }

    fn own_advskew(&self, env: &Env<'_>) -> u8 {
        let mut addresses = self.settings.addresses.iter();
        let is_owner = env
            .link
            .is_some_and(|link| addresses.any(|each| link.has(each.address)));
        own_advskew(self.settings.advskew, is_owner)
    }

    /// Returns true if `address` is one of its virtual addresses.
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        self.settings
            .addresses
            .iter()
            .any(|each| each.address == address)
    }

    /// Returns true if carpd can answer ARP requests for `address`. With `lladdr parent` the kernel
    /// answers, and cannot be kept from it.
    pub(crate) fn can_share(&self, address: IpAddr) -> bool {
        self.settings.lladdr == LinkLayer::Virtual && self.holds(address)
    }
}
