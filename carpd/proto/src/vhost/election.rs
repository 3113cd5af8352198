//! What a virtual host makes of another's advertisement.

use core::cmp::Ordering;
use core::net::IpAddr;

use super::mastership::Tie;
use super::watch::Watch;
use super::{Env, Mastership, State, Vhost};
use crate::action::{Action, Notice};
use crate::advertiser::{self, Sender};
use crate::counters::Counter;
use crate::election::{Interval, Priority, master_down_time, stays_in_a_tie};
use crate::family::Family;
use crate::reason::Reason;
use crate::status::{Peer, StateName};
use crate::wire::carp::Header;

impl Vhost {
    /// `ip_carp.c`, `carp_proto_input_c()`, `case BACKUP`, with OpenBSD's demotion.
    pub(super) fn heard_as_backup(
        &mut self,
        watch: Watch,
        source: IpAddr,
        header: &Header,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) {
        let only_listens = watch.only_listens(env.now.instant);
        if only_listens && header.is_bow_out() {
            return;
        }
        let another = self.remember(source, header, env);
        let ours = self.priority(env);
        let theirs = priority_of(header);
        let preemptable = theirs.demotion >= ours.demotion && theirs.interval > ours.interval;
        let takeover = if only_listens {
            None
        } else if header.is_bow_out() {
            Some(Reason::MasterWillTimeOut)
        } else if theirs.demotion > ours.demotion {
            Some(Reason::PreemptingDemotedMaster)
        } else if env.sysctls.preempt && preemptable {
            Some(Reason::PreemptingSlowerMaster)
        } else if theirs.demotion >= ours.demotion && self.is_too_slow(theirs.interval) {
            Some(Reason::MasterWillTimeOut)
        } else {
            None
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
        self.master_lives(watch, theirs.interval, env);
        if another {
            out.push(Action::Updated(self.unit));
        }
    }

    /// `ip_carp.c`, `carp_proto_input_c()`, `case MASTER`; but two equals do not both yield, and a
    /// slower master is answered, so that it yields now.
    pub(super) fn heard_as_master(
        &mut self,
        mastership: Mastership,
        sender: Sender,
        header: &Header,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) {
        let source = sender.source;
        let ours = self.priority(env);
        let theirs = priority_of(header);
        let tie = Tie::continued(mastership.tie, env.now.instant, ours.interval);
        let mastership = if ours == theirs {
            Mastership {
                tie: Some(tie),
                ..mastership
            }
        } else {
            mastership
        };
        let lost = match ours.cmp(&theirs) {
            // Nobody is left to yield to, however well the sender was.
            _ if header.is_bow_out() => None,
            Ordering::Less => None,
            Ordering::Greater if theirs.demotion < ours.demotion => {
                Some(Reason::LessDemotedAdvertisement)
            }
            Ordering::Greater => Some(Reason::MoreFrequentAdvertisement),
            Ordering::Equal if self.wins_tie(sender, tie, env) != Some(false) => None,
            Ordering::Equal => Some(Reason::EqualHigherAddress),
        };
        match lost {
            Some(reason) => {
                self.remember(source, header, env);
                self.enter(StateName::Backup, reason, Some(source), env, out);
            }
            None => self.answer(mastership, source, header, env, out),
        }
    }

    /// In replay mode 2 two equal masters that seal in step refuse each other's counters. The one that
    /// wins the tie answers: its next counter is the greater one.
    pub(super) fn heard_alike(
        &mut self,
        mastership: Mastership,
        sender: Sender,
        header: &Header,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) {
        let ours = self.priority(env);
        if ours != priority_of(header) {
            return;
        }
        let tie = Tie::continued(mastership.tie, env.now.instant, ours.interval);
        let mastership = Mastership {
            tie: Some(tie),
            ..mastership
        };
        self.state = State::Master(mastership);
        if self.wins_tie(sender, tie, env) == Some(true) {
            self.answer(mastership, sender.source, header, env, out);
        }
    }

    /// Stays MASTER and says so, at most once in the shorter interval of the two, and has the
    /// addresses announced again:
    /// the other may have announced them elsewhere.
    fn answer(
        &mut self,
        mastership: Mastership,
        source: IpAddr,
        header: &Header,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) {
        let shorter = self
            .priority(env)
            .interval
            .min(priority_of(header).interval);
        let interval = shorter.duration();
        let free = mastership
            .answered
            .is_none_or(|last| env.now.instant.since(last) >= interval);
        let answered = if free {
            Some(env.now.instant)
        } else {
            mastership.answered
        };
        self.state = State::Master(Mastership {
            announce: true,
            answered,
            ..mastership
        });
        if !free {
            return;
        }
        if header.is_bow_out() {
            return;
        }
        // What crossed our first advertisement is no second master: a dual-stack one that we
        // preempt for its IPv4 advertisement has sent an IPv6 one right behind.
        if mastership.rounds > 1 {
            let text = format!(
                "{source} is MASTER too (advbase {} advskew {} demotion {}); this host stays",
                header.advbase, header.advskew, header.demotion
            );
            let unit = self.unit;
            out.push(Action::Notice(Notice::TwoMasters { unit, source, text }));
        }
        self.advertiser.follow_in_all_families();
        self.advertise(env, out);
    }

    /// One family decides between equals, or both hosts would yield: IPv4 if there are IPv4
    /// addresses. Once IPv4 has not decided in time IPv6 decides too: a host that lost by an
    /// IPv4 advertisement would have yielded, so only one of the two can lose by IPv6 then.
    fn wins_tie(&self, sender: Sender, tie: Tie, env: &Env<'_>) -> Option<bool> {
        let family = Family::of(sender.source);
        let first = advertiser::families(&self.settings).next();
        if first != Some(family) && !tie.is_stuck(self.priority(env).interval) {
            return None;
        }
        let ours = env
            .link
            .and_then(|link| advertiser::sender(family, &self.settings, link));
        Some(ours.is_none_or(|ours| stays_in_a_tie(ours, sender)))
    }

    /// A master so slow that it would time out anyway. It must not be a better one, which would only
    /// answer. With `advbase` 0 this is not asked
    /// (OpenBSD's `ip_carp.c`), nor is it here.
    fn is_too_slow(&self, theirs: Interval) -> bool {
        let advbase = self.settings.advbase;
        advbase.get() > 0
            && theirs.duration() > master_down_time(advbase, self.settings.advskew.get())
    }

    /// Who is master now; `true` if more than the time has changed.
    fn remember(&mut self, source: IpAddr, header: &Header, env: &Env<'_>) -> bool {
        let peer = Peer {
            source,
            advbase: header.advbase,
            advskew: header.advskew,
            demotion: header.demotion,
            heard: env.now.unix,
        };
        let same = |last: Peer| {
            let heard = peer.heard;
            Peer { heard, ..last } == peer
        };
        let another = !self.peer.is_some_and(same);
        self.peer = Some(peer);
        another
    }
}

const fn priority_of(header: &Header) -> Priority {
    Priority {
        demotion: header.demotion,
        interval: Interval::new(header.advbase, header.advskew),
    }
}
