//! Decisions that a peer's advertisement causes.

use core::cmp::Ordering;
use core::net::IpAddr;

use super::mastership::{Mastership, Tie};
use super::watch::Watch;
use super::{Env, State, Vhost};
use crate::action::{Action, Notice};
use crate::claim::Claim;
use crate::counters::Counter;
use crate::election::{Interval, master_down_time, stays_in_a_tie};
use crate::family::Family;
use crate::reason::Reason;
use crate::sender::Sender;
use crate::status::{Peer, StateName};

impl Vhost {
    /// `ip_carp.c`, `carp_proto_input_c()`, `case BACKUP`, with OpenBSD's demotion.
    pub(super) fn heard_as_backup(
        &mut self,
        watch: Watch,
        source: IpAddr,
        theirs: Claim,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) {
        let only_listens = watch.only_listens(env.now.instant);
        if only_listens && theirs.bows_out {
            return;
        }
        let has_changed = self.remember(source, theirs, env);
        let takeover = if only_listens {
            None
        } else {
            self.takeover_from(theirs, env)
        };
        if let Some(reason) = takeover {
            if matches!(
                reason,
                Reason::PreemptingSlowerMaster | Reason::PreemptingDemotedMaster
            ) {
                self.counters.raise(Counter::Preempt);
            }
            self.enter(StateName::Master, reason, Some(source), env, out);
            return;
        }
        self.master_lives(watch, theirs.interval(), env);
        if has_changed {
            out.push(Action::Updated(self.unit));
        }
    }

    /// Reason to take over from a master that claims `theirs`.
    fn takeover_from(&self, theirs: Claim, env: &Env<'_>) -> Option<Reason> {
        let ours = self.claim(env);
        let is_no_better = theirs.demotion >= ours.demotion;
        if theirs.bows_out {
            Some(Reason::MasterWillTimeOut)
        } else if theirs.demotion > ours.demotion {
            Some(Reason::PreemptingDemotedMaster)
        } else if env.sysctls.preempt && is_no_better && theirs.interval() > ours.interval() {
            Some(Reason::PreemptingSlowerMaster)
        } else if is_no_better && self.is_too_slow(theirs.interval()) {
            Some(Reason::MasterWillTimeOut)
        } else {
            None
        }
    }

    /// `ip_carp.c`, `carp_proto_input_c()`, `case MASTER`, with two differences: of two equal masters
    /// one stays, and a slower master is answered, so that it yields at once.
    pub(super) fn heard_as_master(
        &mut self,
        mastership: Mastership,
        sender: Sender,
        theirs: Claim,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) {
        let ours = self.claim(env);
        let tie = Tie::continued(mastership.tie, env.now.instant, ours.interval());
        let order = ours.priority().cmp(&theirs.priority());
        let mastership = match order {
            Ordering::Equal => Mastership {
                tie: Some(tie),
                ..mastership
            },
            Ordering::Less | Ordering::Greater => mastership,
        };
        let lost = match order {
            // A host that bows out leaves no master to yield to.
            _ if theirs.bows_out => None,
            Ordering::Less => None,
            Ordering::Greater if theirs.demotion < ours.demotion => {
                Some(Reason::LessDemotedAdvertisement)
            }
            Ordering::Greater => Some(Reason::MoreFrequentAdvertisement),
            Ordering::Equal if self.wins_tie(sender, tie, env) != Some(false) => None,
            Ordering::Equal => Some(Reason::EqualHigherAddress),
        };
        let source = sender.source;
        match lost {
            Some(reason) => {
                self.remember(source, theirs, env);
                self.enter(StateName::Backup, reason, Some(source), env, out);
            }
            None => self.answer(mastership, source, theirs, env, out),
        }
    }

    /// In replay mode 2, two equal masters that seal in step refuse each other's counters. The one that
    /// wins the tie answers, with a greater counter.
    pub(super) fn heard_in_step(
        &mut self,
        mastership: Mastership,
        sender: Sender,
        theirs: Claim,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) {
        let ours = self.claim(env);
        if ours.priority() != theirs.priority() {
            return;
        }
        let tie = Tie::continued(mastership.tie, env.now.instant, ours.interval());
        let mastership = Mastership {
            tie: Some(tie),
            ..mastership
        };
        self.state = State::Master(mastership);
        if self.wins_tie(sender, tie, env) == Some(true) {
            self.answer(mastership, sender.source, theirs, env, out);
        }
    }

    /// Stays MASTER. Advertises at once, though no more than once in the shorter of the two intervals,
    /// and announces the addresses again, because the other master may have announced them too.
    fn answer(
        &mut self,
        mastership: Mastership,
        source: IpAddr,
        theirs: Claim,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) {
        let ours = self.claim(env);
        let shorter = ours.interval().min(theirs.interval());
        let may_answer = mastership
            .answered
            .is_none_or(|last| env.now.instant.since(last) >= shorter.duration());
        let answered = if may_answer {
            Some(env.now.instant)
        } else {
            mastership.answered
        };
        self.state = State::Master(Mastership {
            must_announce: true,
            answered,
            ..mastership
        });
        if !may_answer || theirs.bows_out {
            return;
        }
        // An advertisement that crossed our first one comes from no second master: a master with both
        // families that we preempt for its IPv4 advertisement sends an IPv6 one right behind it.
        if mastership.rounds > 1 {
            let text = format!(
                "{source} is MASTER too (advbase {} advskew {} demotion {}); this host stays",
                theirs.advbase, theirs.advskew, theirs.demotion
            );
            let unit = self.unit;
            out.push(Action::Notice(Notice::TwoMasters { unit, source, text }));
        }
        self.dialect.seal_above_rivals();
        self.advertise(env, out);
    }

    /// Decides a tie; `None` while the other family decides. Only one family decides, or both hosts would
    /// yield: IPv4 if there are IPv4 addresses. If that has not ended the tie in time, IPv6 decides too.
    /// Then only one of the hosts can lose, because the loser by IPv4 would have yielded.
    fn wins_tie(&self, sender: Sender, tie: Tie, env: &Env<'_>) -> Option<bool> {
        let family = Family::of(sender.source);
        let first = self.settings.families().next();
        if first != Some(family) && !tie.is_stuck(self.claim(env).interval()) {
            return None;
        }
        let ours = env
            .link
            .and_then(|link| Sender::own(family, &self.settings, link));
        Some(ours.is_none_or(|ours| stays_in_a_tie(ours, sender)))
    }

    /// Returns true if the master would time out before its next advertisement. With `advbase` 0 that is
    /// never assumed (OpenBSD's `ip_carp.c`).
    fn is_too_slow(&self, theirs: Interval) -> bool {
        let advbase = self.settings.advbase;
        advbase.get() > 0
            && theirs.duration() > master_down_time(advbase, self.settings.advskew.get())
    }

    /// Stores the present master. Returns true if more than its time changed.
    fn remember(&mut self, source: IpAddr, theirs: Claim, env: &Env<'_>) -> bool {
        let peer = Peer {
            source,
            advbase: theirs.advbase,
            advskew: theirs.advskew,
            demotion: theirs.demotion,
            heard: env.now.unix,
        };
        let is_same = |last: Peer| {
            let heard = peer.heard;
            Peer { heard, ..last } == peer
        };
        let has_changed = !self.peer.is_some_and(is_same);
        self.peer = Some(peer);
        has_changed
    }
}
