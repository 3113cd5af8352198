//! The door of the protocol: one input in, an ordered list of actions out.

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
mod unsaved;
mod warnings;

use std::collections::{BTreeMap, BTreeSet};

use self::changes::Changes;
use self::limiter::Limiter;
use crate::action::{Action, Notice};
use crate::counters::{Counter, Counters};
use crate::input::{Input, SendFailure};
use crate::key::Key;
use crate::link::{Gateway, IfIndex, Link};
use crate::name::Unit;
use crate::numbers::Vhid;
use crate::status::{StateName, Status};
use crate::suppression::{Cause, Suppression, Suppressions};
use crate::sysctl::Sysctls;
use crate::time::{Instant, Now};
use crate::vhost::{Env, Event, MOST_EARLY, Sending, Vhost};

/// All virtual hosts of this host, and what they share.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    /// Boxed, because a node of the tree has room for eleven, and is often half empty.
    vhosts: BTreeMap<Unit, Box<Vhost>>,
    /// Every virtual host with a vhid and a physical interface.
    bound: BTreeMap<(IfIndex, Vhid), Unit>,
    links: BTreeMap<IfIndex, Link>,
    /// Physical interfaces that we receive on.
    attached: BTreeSet<IfIndex>,
    /// Those of them where we receive ARP requests.
    arp_devices: BTreeSet<IfIndex>,
    /// The gateways of this host's default routes.
    gateways: BTreeSet<Gateway>,
    /// As they were set; what suppresses preemption is counted in `suppressions`.
    sysctls: Sysctls,
    suppressions: Suppressions,
    /// Every virtual host's deadline.
    timers: BTreeSet<(Instant, Unit)>,
    /// What cannot be counted for a virtual host that exists.
    unattributed: Counters,
    limiter: Limiter,
    /// Virtual hosts whose status may have changed.
    touched: BTreeSet<Unit>,
    changes: Changes,
}

impl Engine {
    /// No interfaces, sysctls at their defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies `input`, which happened at `now`, and says what must be done about it, in order.
    ///
    /// Times never go back: `now.instant` is at least that of every earlier call. `now.unix` may
    /// jump.
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
            Input::Resume { memory, leases } => self.resume(memory, leases, now, &mut out),
            Input::Request(id, request) => self.request(id, request, now, &mut out),
        }
        out
    }

    /// When [`Input::Deadline`] is wanted; `None` while nothing is running. Any call of
    /// [`Engine::handle`] may change it. After `handle(Input::Deadline, now)` it is later than
    /// `now`; after any other input it is earlier only if it was overdue before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(deadline, _)| *deadline)
    }

    /// All carp interfaces in ascending order.
    pub fn units(&self) -> impl Iterator<Item = Unit> + '_ {
        self.vhosts.keys().copied()
    }

    /// A snapshot of one carp interface at `now`.
    #[must_use]
    pub fn status(&self, unit: Unit, now: Now) -> Option<Status> {
        let vhost = self.vhosts.get(&unit)?;
        Some(vhost.status(self.obstacle(vhost), &self.env(vhost, now)))
    }

    /// The password of one carp interface, for root alone.
    #[must_use]
    pub fn key(&self, unit: Unit) -> Option<&Key> {
        self.vhosts.get(&unit).map(|vhost| &vhost.settings.key)
    }

    /// The values of the sysctls now.
    #[must_use]
    pub fn sysctls(&self) -> Sysctls {
        Sysctls {
            suppress_preempt: self.suppressions.count(),
            ..self.sysctls
        }
    }

    /// Everything that suppresses preemption now; their number is
    /// `net.inet.carp.suppress_preempt`.
    pub fn suppressions(&self) -> impl Iterator<Item = &Suppression> {
        self.suppressions.iter()
    }

    /// The counters of all carp interfaces together, with what belonged to none.
    #[must_use]
    pub fn totals(&self) -> Counters {
        let mut totals = self.unattributed;
        for vhost in self.vhosts.values() {
            totals.add(&vhost.counters);
        }
        totals
    }

    /// The carp interfaces whose [`Engine::status`] may have changed since this was last asked. An
    /// [`Action::Updated`] says so of all but counters and times.
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

    /// Lets one virtual host handle `event`.
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

    /// In INIT nothing is sent that could take the cause back; once it runs again it will be seen
    /// whether it can send.
    fn forget_sending(&mut self, unit: Unit, now: Now, out: &mut Vec<Action>) {
        if let Some(vhost) = self.vhosts.get_mut(&unit) {
            vhost.sending = Sending::default();
        }
        self.clear_cause(Cause::Sending(unit), now, out);
    }

    /// Whoever is due, and every MASTER that is nearly due: thousands of them then wake this host
    /// 64 times a second and not thousands of times. They stay together from then on, so that an
    /// interval is cut short once.
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

    fn sent(
        &mut self,
        unit: Unit,
        result: Result<(), SendFailure>,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let Some(vhost) = self.vhosts.get_mut(&unit) else {
            return;
        };
        match result {
            Ok(()) => {
                if vhost.sending.succeed() {
                    out.push(Action::Notice(Notice::Sending { unit, works: true }));
                    self.clear_cause(Cause::Sending(unit), now, out);
                }
            }
            Err(failure) => {
                if failure == SendFailure::NoMemory {
                    vhost.counters.raise(Counter::Onomem);
                }
                let fails = vhost.sending.fail();
                self.touched.insert(unit);
                if fails {
                    let why = "three advertisements in a row could not be sent";
                    out.push(Action::Notice(Notice::Sending { unit, works: false }));
                    self.set_cause(Cause::Sending(unit), unit.to_string(), why, now, out);
                    self.event(unit, Event::SendingFails, now, out);
                }
            }
        }
    }

    fn set_cause(&mut self, cause: Cause, who: String, why: &str, now: Now, out: &mut Vec<Action>) {
        let before = self.suppressions.count();
        let text = format!("{who}: {why}");
        self.suppressions.set(cause, who, why.to_owned(), now.unix);
        self.suppression_changed(before, text, now, out);
    }

    fn clear_cause(&mut self, cause: Cause, now: Now, out: &mut Vec<Action>) {
        let before = self.suppressions.count();
        if let Some(Suppression { who, why, .. }) = self.suppressions.clear(cause) {
            self.suppression_changed(before, format!("no longer {who}: {why}"), now, out);
        }
    }

    /// Publishes the new sum; when it rises from 0, every MASTER says so at once, so that a
    /// healthy peer takes all groups over together.
    fn suppression_changed(&mut self, from: u64, cause: String, now: Now, out: &mut Vec<Action>) {
        let to = self.suppressions.count();
        if from == to {
            return;
        }
        out.push(Action::SysctlsChanged);
        out.push(Action::Notice(Notice::Suppression { from, to, cause }));
        let units: Vec<Unit> = self.vhosts.keys().copied().collect();
        for unit in units {
            if from == 0 || to == 0 {
                self.event(unit, Event::Suppression, now, out);
            }
            out.push(Action::Updated(unit));
        }
    }

    fn state(&self, unit: Unit) -> StateName {
        self.vhosts
            .get(&unit)
            .map_or(StateName::Init, |vhost| vhost.state())
    }
}
