//! Causes of suppression, and failures to send, which are one.

use super::Engine;
use crate::action::{Action, Notice};
use crate::counters::Counter;
use crate::input::SendFailure;
use crate::name::Unit;
use crate::suppression::{Cause, Suppression};
use crate::time::Now;
use crate::vhost::{Event, Sending};

impl Engine {
    pub(super) fn sent(
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

    pub(super) fn set_cause(
        &mut self,
        cause: Cause,
        who: String,
        why: &str,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let before = self.suppressions.count();
        let text = format!("{who}: {why}");
        self.suppressions.set(cause, who, why.to_owned(), now.unix);
        self.suppression_changed(before, text, now, out);
    }

    pub(super) fn clear_cause(&mut self, cause: Cause, now: Now, out: &mut Vec<Action>) {
        let before = self.suppressions.count();
        if let Some(Suppression { who, why, .. }) = self.suppressions.clear(cause) {
            self.suppression_changed(before, format!("no longer {who}: {why}"), now, out);
        }
    }

    /// Publishes the new number of causes. When it rises from 0, each MASTER advertises at once, so that a
    /// healthy peer takes over all groups together.
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

    /// Forgets failures to send of a virtual host in INIT, which sends nothing that could end the cause.
    pub(super) fn forget_sending(&mut self, unit: Unit, now: Now, out: &mut Vec<Action>) {
        if let Some(vhost) = self.vhosts.get_mut(&unit) {
            vhost.sending = Sending::default();
        }
        self.clear_cause(Cause::Sending(unit), now, out);
    }
}
