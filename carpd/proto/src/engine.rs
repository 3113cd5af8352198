//! The engine: one input in, an ordered list of actions out.

mod arp;
mod binding;
mod changes;
mod choice;
mod devices;
mod limiter;
mod obstacles;
mod packets;
mod refusals;
mod requests;
mod resume;
mod suppression;
mod unsaved;
mod warnings;

use std::collections::{BTreeMap, BTreeSet};

use self::changes::Changes;
use self::limiter::Limiter;
use crate::action::Action;
use crate::counters::Counters;
use crate::input::Input;
use crate::key::Key;
use crate::link::{Gateway, IfIndex, Link};
use crate::name::Unit;
use crate::numbers::Vhid;
use crate::status::{StateName, Status};
use crate::suppression::{Cause, Suppression, Suppressions};
use crate::sysctl::Sysctls;
use crate::time::{Instant, Now};
use crate::vhost::{Env, Event, MOST_EARLY, Sending, Vhost};

/// All virtual hosts of this host.
///
/// The caller reports everything that happens to [`Engine::handle`], performs the actions that it returns,
/// and asks [`Engine::deadline`] again after each call. All other methods only read, except
/// `take_unsaved` and [`Engine::take_touched`], which hand over what changed since the last call.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    /// Boxed, because a node of the tree has room for eleven, and is often half empty.
    vhosts: BTreeMap<Unit, Box<Vhost>>,
    /// Virtual hosts with a vhid and a physical interface.
    bound: BTreeMap<(IfIndex, Vhid), Unit>,
    links: BTreeMap<IfIndex, Link>,
    /// Physical interfaces on which this host receives.
    attached: BTreeSet<IfIndex>,
    /// Physical interfaces on which this host receives ARP requests.
    arp_devices: BTreeSet<IfIndex>,
    /// The gateways of this host's default routes.
    gateways: BTreeSet<Gateway>,
    /// Values as set. `suppressions` has the value of `suppress_preempt`.
    sysctls: Sysctls,
    suppressions: Suppressions,
    /// Deadlines of all virtual hosts.
    timers: BTreeSet<(Instant, Unit)>,
    /// Counters of packets that belong to no virtual host, and of removed virtual hosts.
    unattributed: Counters,
    limiter: Limiter,
    /// See [`Engine::take_touched`].
    touched: BTreeSet<Unit>,
    changes: Changes,
}

impl Engine {
    /// Engine without carp interfaces, with the default sysctls.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Handles `input`, which happened at `now`, and returns the actions to perform, in order.
    ///
    /// `now.instant` is at least that of every earlier call; `now.unix` may jump.
    #[must_use]
    pub fn handle(&mut self, input: Input<'_>, now: Now) -> Vec<Action> {
        let mut out = Vec::new();
        self.watch_clock(now);
        match input {
            Input::Packet { device, frame } => self.packet(device, frame, now, &mut out),
            Input::Deadline => self.deadlines(now, &mut out),
            Input::Link(link) => self.link_changed(link, now, &mut out),
            Input::LinkGone(index) => self.link_gone(index, now, &mut out),
            Input::Gateways(gateways) => self.gateways_changed(gateways, &mut out),
            Input::Sent { unit, result } => self.sent(unit, result, now, &mut out),
            Input::Taken { unit, number } => {
                self.event(unit, Event::AddressesTaken(number), now, &mut out);
                out.push(Action::Updated(unit));
            }
            Input::Refused {
                unit,
                address,
                error,
            } => {
                self.refused(unit, address, error, now, &mut out);
            }
            Input::Granted { unit, address } => self.granted(unit, address, now, &mut out),
            Input::Resume { saved, leases } => self.resume(saved, leases, now, &mut out),
            Input::Request(id, request) => self.request(id, request, now, &mut out),
        }
        out
    }

    /// Time at which [`Input::Deadline`] is due; `None` while no virtual host runs. Any call of
    /// [`Engine::handle`] may change it. After `handle(Input::Deadline, now)` it is later than `now`.
    /// After any other input it is earlier than `now` only if it was overdue before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(deadline, _)| *deadline)
    }

    /// All carp interfaces in ascending order.
    pub fn units(&self) -> impl Iterator<Item = Unit> + '_ {
        self.vhosts.keys().copied()
    }

    /// Snapshot of a carp interface at `now`.
    #[must_use]
    pub fn status(&self, unit: Unit, now: Now) -> Option<Status> {
        let vhost = self.vhosts.get(&unit)?;
        Some(vhost.status(self.obstacle(vhost), &self.env(vhost, now)))
    }

    /// Password of a carp interface, for root alone.
    #[must_use]
    pub fn key(&self, unit: Unit) -> Option<&Key> {
        self.vhosts.get(&unit).map(|vhost| &vhost.settings.key)
    }

    /// Present values of the sysctls.
    #[must_use]
    pub fn sysctls(&self) -> Sysctls {
        Sysctls {
            suppress_preempt: self.suppressions.count(),
            ..self.sysctls
        }
    }

    /// Present causes of suppression. Their number is `net.inet.carp.suppress_preempt`.
    pub fn suppressions(&self) -> impl Iterator<Item = &Suppression> {
        self.suppressions.iter()
    }

    /// Sums of the counters of all carp interfaces, and of packets that belonged to none.
    #[must_use]
    pub fn totals(&self) -> Counters {
        let mut totals = self.unattributed;
        for vhost in self.vhosts.values() {
            totals.add(&vhost.counters);
        }
        totals
    }

    /// Carp interfaces whose [`Engine::status`] may have changed since the last call, including changes of
    /// counters and times, for which there is no [`Action::Updated`].
    pub fn take_touched(&mut self) -> BTreeSet<Unit> {
        core::mem::take(&mut self.touched)
    }

    fn env<'a>(&'a self, vhost: &Vhost, now: Now) -> Env<'a> {
        Env {
            now,
            link: vhost.device.and_then(|device| self.links.get(&device)),
            sysctls: &self.sysctls,
            suppress: self.suppressions.count(),
        }
    }

    /// Makes one virtual host handle `event`, and keeps its deadline.
    fn event(&mut self, unit: Unit, event: Event, now: Now, out: &mut Vec<Action>) {
        let Some(vhost) = self.vhosts.get_mut(&unit) else {
            return;
        };
        let env = Env {
            now,
            link: vhost.device.and_then(|device| self.links.get(&device)),
            sysctls: &self.sysctls,
            suppress: self.suppressions.count(),
        };
        let (before, was) = (vhost.deadline(), vhost.state());
        let was_failing = vhost.sending.is_failing();
        vhost.handle(event, &env, out);
        let after = vhost.deadline();
        if vhost.state() != was {
            self.changes.settings_or_state(unit);
        }
        let sends_no_more = vhost.state() == StateName::Init && vhost.sending != Sending::default();
        if before != after {
            if let Some(deadline) = before {
                self.timers.remove(&(deadline, unit));
            }
            if let Some(deadline) = after {
                self.timers.insert((deadline, unit));
            }
        }
        let has_lapsed = was_failing && !vhost.sending.is_failing();
        self.touched.insert(unit);
        if sends_no_more {
            self.forget_sending(unit, now, out);
        } else if has_lapsed {
            self.clear_cause(Cause::Sending(unit), now, out);
        }
    }

    /// Handles all expired deadlines, and lets each MASTER that is nearly due advertise too. Thousands of
    /// MASTERs then wake this host 64 times a second at most. They stay together from then on, so only
    /// one interval is shortened.
    fn deadlines(&mut self, now: Now, out: &mut Vec<Action>) {
        while let Some(&(deadline, unit)) = self.timers.first() {
            if deadline > now.instant {
                break;
            }
            self.event(unit, Event::Deadline, now, out);
        }
        let horizon = now.instant + MOST_EARLY;
        let soon: Vec<Unit> = self
            .timers
            .iter()
            .take_while(|(deadline, _)| *deadline <= horizon)
            .map(|(_, unit)| *unit)
            .collect();
        for unit in soon {
            let vhost = self.vhosts.get(&unit);
            if vhost.is_some_and(|vhost| vhost.is_nearly_due(&self.env(vhost, now))) {
                self.event(unit, Event::Advertise, now, out);
            }
        }
    }

    fn state(&self, unit: Unit) -> StateName {
        self.vhosts
            .get(&unit)
            .map_or(StateName::Init, |vhost| vhost.state())
    }
}
