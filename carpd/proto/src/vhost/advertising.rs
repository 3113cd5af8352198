//! Advertisements of a MASTER.

use super::mastership::{MOST_EARLY, Mastership, REPEATED_ANNOUNCEMENT};
use super::{Env, State, Vhost};
use crate::action::{Action, Work};
use crate::claim::Claim;
use crate::counters::Counter;
use crate::election::{lease_seconds, lease_time};
use crate::family::Family;
use crate::link::Link;
use crate::settings::LinkLayer;

/// An advertisement is sent early by at most this part of the interval (16 ms of a second), and by at
/// most [`MOST_EARLY`].
const EARLY_PART: u32 = 64;

impl Vhost {
    /// Sends one advertisement of each family, renews the lease when due, and sets the time of the next
    /// advertisement.
    pub(super) fn advertise(&mut self, env: &Env<'_>, out: &mut Vec<Action>) {
        let (State::Master(mastership), Some(link)) = (self.state, env.link) else {
            return;
        };
        let claim = self.claim(env);
        let unit = self.unit;
        let rounds = mastership.rounds.saturating_add(1);
        let advbase = self.settings.advbase;
        let must_renew = mastership.is_live
            && env.now.instant.since(mastership.renewed) >= lease_time(advbase) / 4;
        // With `lladdr parent`, a neighbour keeps the MAC that the hanging master's kernel gave it until
        // it hears another one. The virtual MAC is right whichever host gave it.
        let is_contested = self.settings.lladdr == LinkLayer::Parent
            && must_renew
            && mastership.renewed < mastership.contested_until;
        // Before the advertisement, because a better host can take over when it hears that. Frames from
        // the virtual MAC behind it would lead switches back to this host.
        if mastership.is_live
            && (mastership.must_announce || rounds == REPEATED_ANNOUNCEMENT || is_contested)
        {
            self.announce(link, out);
        }
        for frame in self.frames(claim, link, env, out) {
            out.push(Action::Transmit {
                unit,
                device: link.index,
                frame,
            });
        }
        let mut renewed = mastership.renewed;
        if must_renew {
            renewed = env.now.instant;
            let lease = lease_seconds(advbase);
            out.push(Action::Work(Work::Renew { unit, lease }));
        }
        self.state = State::Master(Mastership {
            next: env.now.instant + claim.interval().duration(),
            rounds,
            advertised: env.now.unix,
            must_announce: mastership.must_announce && !mastership.is_live,
            renewed,
            ..mastership
        });
    }

    /// Frames of `claim`, one for each family.
    pub(super) fn frames(
        &mut self,
        claim: Claim,
        link: &Link,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) -> Vec<Vec<u8>> {
        for family in self.settings.families() {
            self.counters.raise(match family {
                Family::V4 => Counter::Opackets,
                Family::V6 => Counter::Opackets6,
            });
        }
        self.dialect
            .advertise(claim, &self.settings, link, env.sysctls, env.now, out)
    }

    /// Returns true if an advertisement is due.
    pub(super) fn is_due(&self, env: &Env<'_>) -> bool {
        self.deadline()
            .is_some_and(|deadline| deadline <= env.now.instant)
    }

    /// Returns true if an advertisement is due soon enough to be sent early.
    pub(crate) fn is_nearly_due(&self, env: &Env<'_>) -> bool {
        let State::Master(Mastership { next, .. }) = self.state else {
            return false;
        };
        let interval = self.claim(env).interval().duration();
        next - (interval / EARLY_PART).min(MOST_EARLY) <= env.now.instant
    }

    /// Returns true if the lease ended: this host stood still, and its kernel removed the addresses.
    pub(super) fn has_overslept(&self, mastership: Mastership, env: &Env<'_>) -> bool {
        env.now.instant.since(mastership.renewed) >= lease_time(self.settings.advbase)
    }
}
