//! One virtual host: its state, what can happen to it, and what it makes happen.
//!
//! **Invariant:** a state owns its timers, and [`Vhost::enter`] is the only place where a state
//! changes.

mod election;
mod mastership;
mod report;
mod resume;
mod sending;
mod watch;

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;

pub(crate) use self::mastership::MOST_EARLY;
use self::mastership::Mastership;
pub(crate) use self::sending::Sending;
use self::watch::Watch;
use crate::action::{Action, Work};
use crate::advertiser::{self, Advertiser, Claim, Sender};
use crate::counters::{Counter, Counters};
use crate::dialect::carp::replay::Replay;
use crate::election::{Interval, Priority, effective_advskew, lease, own_advskew};
use crate::family::PerFamily;
use crate::link::{IfIndex, Link};
use crate::mac::Mac;
use crate::name::Unit;
use crate::obstacle::{Impediment, Obstacle};
use crate::reason::Reason;
use crate::settings::{DeviceName, ForcedState, LinkLayer, Settings};
use crate::status::{Peer, StateName, Transition};
use crate::sysctl::Sysctls;
use crate::time::{Instant, Now};
use crate::warning::Warning;
use crate::wire::carp::Header;

/// A virtual host.
#[derive(Clone, Debug)]
pub(crate) struct Vhost {
    pub(crate) unit: Unit,
    pub(crate) settings: Settings,
    /// The physical interface it is bound to.
    pub(crate) device: Option<IfIndex>,
    /// Who answers ARP requests for its addresses.
    pub(crate) arp: ArpDuty,
    pub(crate) advertiser: Advertiser,
    pub(crate) replay: PerFamily<Replay>,
    pub(crate) counters: Counters,
    /// Why it cannot run although its settings and its device would let it.
    pub(crate) impediment: Option<Impediment>,
    /// What of that an operator was last told.
    pub(crate) told: Option<Obstacle>,
    /// Settings that work but are probably a mistake, as they were last reported.
    pub(crate) warnings: Vec<Warning>,
    /// Addresses that the kernel refused since the last takeover, with its words.
    pub(crate) refused: BTreeMap<IpAddr, String>,
    pub(crate) sending: Sending,
    /// The name of the physical interface it was on last.
    pub(crate) was_on: Option<DeviceName>,
    state: State,
    /// The carp device as the kernel was last told to have it.
    placed: Option<(IfIndex, Mac)>,
    /// How many times the kernel was told to take the addresses.
    takes: u32,
    peer: Option<Peer>,
    last_transition: Option<Transition>,
}

/// Who answers ARP requests for the virtual addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ArpDuty {
    /// The kernel.
    #[default]
    Kernel,
    /// carpd, since other virtual hosts of the physical interface share some of them; those in
    /// `quiet` are balanced, so that no announcement may move all clients to one virtual host.
    Carpd { quiet: Vec<IpAddr> },
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

/// What a virtual host has to know of the world around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Env<'a> {
    pub(crate) now: Now,
    /// The physical interface it is bound to, if that is there.
    pub(crate) link: Option<&'a Link>,
    pub(crate) sysctls: &'a Sysctls,
    /// `net.inet.carp.suppress_preempt`
    pub(crate) suppress: u64,
}

/// What can happen to a virtual host.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// What it needs came or went: see [`Vhost::runnable`].
    Reconsider,
    /// As [`Event::Reconsider`], but it was MASTER before a restart, and the kernel has kept its
    /// addresses.
    Resume,
    /// Its own deadline.
    Deadline,
    /// A valid advertisement of another host.
    Heard { sender: Sender, header: &'a Header },
    /// An advertisement of another host that is refused for its counter, which is our last one.
    HeardAlike { sender: Sender, header: &'a Header },
    /// The kernel performed the takeover of this number.
    Taken(u32),
    /// `state master|backup`
    Force(ForcedState),
    /// A MASTER has something to say at once.
    Advertise,
    /// Preemption is suppressed, or no longer.
    Suppression,
    /// The settings changed in a way that peers or the kernel must see.
    Refresh,
    /// Its addresses must be answered for by somebody else: kernel or carpd.
    Rehouse,
    /// Its advertisements could not be sent: see [`Sending`].
    CannotSend,
    /// It is going to be something else, or nothing at all.
    Retire(Reason),
}

impl Vhost {
    /// A virtual host in INIT.
    pub(crate) fn new(unit: Unit) -> Self {
        Self {
            unit,
            settings: Settings::default(),
            device: None,
            arp: ArpDuty::default(),
            advertiser: Advertiser::default(),
            replay: PerFamily::default(),
            counters: Counters::default(),
            impediment: None,
            told: None,
            warnings: Vec::new(),
            refused: BTreeMap::new(),
            sending: Sending::default(),
            was_on: None,
            state: State::Init,
            placed: None,
            takes: 0,
            peer: None,
            last_transition: None,
        }
    }

    /// Its state, without timers.
    pub(crate) const fn state(&self) -> StateName {
        self.state.name()
    }

    /// When it wants [`Event::Deadline`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Init => None,
            State::Backup(watch) => Some(watch.deadline()),
            State::Master(Mastership { next, .. }) => Some(next),
        }
    }

    /// Whether `settings` on `link` could leave INIT; if not, why.
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

    /// Something happened: the one table of what each state makes of it.
    pub(crate) fn handle(&mut self, event: Event<'_>, env: &Env<'_>, out: &mut Vec<Action>) {
        // Whatever comes first after a standstill: no other event may renew a lease that ended, and
        // a suspended machine wakes up deaf to what was said, so it has to listen first.
        match self.state {
            State::Master(mastership) if self.overslept(mastership, env) => {
                self.enter(StateName::Backup, Reason::Overslept, None, env, out);
            }
            State::Backup(watch) if self.has_slept(watch, env) => {
                self.state = State::Backup(watch.woken(env.now.instant, self.patience(env)));
            }
            State::Init | State::Backup(_) | State::Master(_) => {}
        }
        match (self.state, event) {
            (State::Init, Event::Reconsider) => match self.may_run(env) {
                Ok(()) => self.enter(StateName::Backup, Reason::BecameRunnable, None, env, out),
                Err(_) => self.place(env, out),
            },
            (State::Init, Event::Resume) => match self.may_run(env) {
                Ok(()) => self.enter(StateName::Master, Reason::Resumed, None, env, out),
                Err(_) => self.place(env, out),
            },
            (State::Backup(_) | State::Master(_), Event::Reconsider) => {
                if let Err(reason) = self.may_run(env) {
                    self.enter(StateName::Init, reason, None, env, out);
                }
            }

            (State::Backup(watch), Event::Deadline) => {
                if watch.has_lapsed(env.now.instant) {
                    self.sending.lapse();
                    self.state = State::Backup(watch.with_lapse(None));
                } else if watch.master_down <= env.now.instant {
                    self.enter(StateName::Master, Reason::MasterTimedOut, None, env, out);
                }
            }
            (State::Master(_), Event::Deadline) => {
                if self.is_due(env) {
                    self.advertise(env, out);
                }
            }

            (State::Backup(watch), Event::Heard { sender, header }) => {
                self.heard_as_backup(watch, sender.source, header, env, out);
            }
            (State::Master(mastership), Event::Heard { sender, header }) => {
                self.heard_as_master(mastership, sender, header, env, out);
            }

            (State::Master(mastership), Event::HeardAlike { sender, header }) => {
                self.heard_alike(mastership, sender, header, env, out);
            }
            (State::Master(mastership), Event::Taken(number)) => {
                self.settle(mastership, number, env, out);
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

            (State::Backup(watch), Event::CannotSend) => {
                self.state = State::Backup(self.lapsing(watch, env));
            }

            (State::Backup(watch), Event::Refresh | Event::Suppression) => {
                self.adjust_wait(watch, env);
            }
            (State::Master(_), Event::Refresh | Event::Rehouse) => self.take_anew(env, out),

            (State::Backup(_) | State::Master(_), Event::Retire(reason)) => {
                self.enter(StateName::Init, reason, None, env, out);
            }

            (
                State::Init,
                Event::Deadline
                | Event::Heard { .. }
                | Event::HeardAlike { .. }
                | Event::Taken(_)
                | Event::Force(_)
                | Event::Advertise
                | Event::Suppression
                | Event::Refresh
                | Event::Rehouse
                | Event::CannotSend
                | Event::Retire(_),
            )
            | (
                State::Backup(_),
                Event::HeardAlike { .. }
                | Event::Taken(_)
                | Event::Force(ForcedState::Backup)
                | Event::Advertise
                | Event::Rehouse
                | Event::Resume,
            )
            | (
                State::Master(_),
                Event::Force(ForcedState::Master) | Event::Resume | Event::CannotSend,
            ) => {}
        }
    }

    /// Whether `address` is one of its virtual addresses.
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        self.settings
            .addresses
            .iter()
            .any(|each| each.address == address)
    }

    /// Whether carpd could answer ARP requests for `address` on its behalf. Where it has no MAC of
    /// its own the kernel does, and nobody can keep that from it.
    pub(crate) fn can_share(&self, address: IpAddr) -> bool {
        self.settings.lladdr == LinkLayer::Virtual && self.holds(address)
    }

    /// What its advertisements claim now.
    pub(crate) fn claim(&self, env: &Env<'_>) -> Claim {
        Claim {
            advbase: self.settings.advbase.get(),
            advskew: effective_advskew(self.own_advskew(env), env.suppress > 0),
            demotion: u8::try_from(env.suppress).unwrap_or(u8::MAX),
        }
    }

    /// Changes the state, and does everything that belongs to leaving the old one and entering
    /// the new one.
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
            StateName::Master => self.leave(reason, env, out),
            StateName::Init | StateName::Backup => {}
        }
        match to {
            StateName::Init => {
                self.state = State::Init;
                self.peer = None;
                if self.has_device() {
                    out.push(Action::Work(Work::Down { unit: self.unit }));
                }
            }
            StateName::Backup => {
                if from == StateName::Init {
                    self.placed = None;
                    self.place(env, out);
                }
                // It has just been heard if it is the reason.
                let theirs = peer.and(self.peer).map(Peer::interval);
                let mut watch = Watch::starting(env.now.instant, theirs, self.patience(env));
                if reason == Reason::Overslept {
                    watch = watch.woken(env.now.instant, self.patience(env));
                }
                self.state = State::Backup(self.lapsing(watch, env));
            }
            StateName::Master if reason == Reason::Resumed => {
                self.placed = self.placement(env);
                self.state = State::Master(Mastership::resumed(env.now));
                self.take(env, out);
            }
            StateName::Master => {
                let advbase = self.settings.advbase;
                self.state = State::Master(Mastership::taken_over(env.now, advbase));
                self.take(env, out);
            }
        }
        let device = env.link.map(|link| &link.name).or(self.was_on.as_ref());
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

    /// Tells the kernel to have the carp device, or not to have it, if that changed.
    fn place(&mut self, env: &Env<'_>, out: &mut Vec<Action>) {
        let unit = self.unit;
        let wanted = self.placement(env);
        if self.placed == wanted {
            return;
        }
        self.placed = wanted;
        match wanted {
            Some((parent, mac)) => {
                out.push(Action::Work(Work::Ensure { unit, parent, mac }));
                if self.may_run(env).is_err() {
                    out.push(Action::Work(Work::Down { unit }));
                }
            }
            None => out.push(Action::Work(Work::Remove { unit })),
        }
    }

    /// The carp device that the kernel shall have.
    fn placement(&self, env: &Env<'_>) -> Option<(IfIndex, Mac)> {
        let taken = self.impediment == Some(Impediment::VhidTaken);
        match (self.settings.lladdr, self.settings.vhid, env.link) {
            (LinkLayer::Virtual, Some(vhid), Some(link)) if !taken => {
                Some((link.index, Mac::virtual_of(vhid)))
            }
            (LinkLayer::Virtual | LinkLayer::Parent, _, _) => None,
        }
    }

    /// Forgets that the kernel has the carp device: it is told again.
    pub(crate) const fn forget_placement(&mut self) {
        self.placed = None;
    }

    const fn has_device(&self) -> bool {
        self.placed.is_some()
    }

    fn may_run(&self, env: &Env<'_>) -> Result<(), Reason> {
        Self::runnable(&self.settings, env.link)?;
        match &self.impediment {
            None => Ok(()),
            Some(impediment) => Err(impediment.reason()),
        }
    }

    fn is_due(&self, env: &Env<'_>) -> bool {
        self.deadline()
            .is_some_and(|deadline| deadline <= env.now.instant)
    }

    /// Whether what was due is long past: this host stood still, and may not have heard its master.
    fn has_slept(&self, watch: Watch, env: &Env<'_>) -> bool {
        let lease = Duration::from_secs(lease(self.settings.advbase).into());
        env.now.instant.since(watch.master_down) >= lease
    }

    fn own_advskew(&self, env: &Env<'_>) -> u8 {
        let owner = env
            .link
            .is_some_and(|link| advertiser::is_owner(&self.settings, link));
        own_advskew(self.settings.advskew, owner)
    }

    fn priority(&self, env: &Env<'_>) -> Priority {
        let Claim {
            advbase,
            advskew,
            demotion,
        } = self.claim(env);
        Priority {
            demotion,
            interval: Interval::new(advbase, advskew),
        }
    }
}
