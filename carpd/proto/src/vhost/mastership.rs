//! What a virtual host does while it is MASTER, from taking the addresses to giving them back.

use core::net::IpAddr;
use core::time::Duration;

use super::{ArpDuty, Env, State, Vhost};
use crate::action::{Action, Place, Work};
use crate::advertiser::{self, Claim, Sealing};
use crate::counters::Counter;
use crate::election::{Interval, lease};
use crate::family::Family;
use crate::link::Link;
use crate::numbers::Advbase;
use crate::reason::Reason;
use crate::settings::LinkLayer;
use crate::time::{Instant, Now, UnixTime};

/// How long after its announcements a new MASTER advertises once more, so that switches learn the
/// virtual MAC's port from it last.
const SETTLE: Duration = Duration::from_millis(50);

/// How much earlier than it is due an advertisement may be sent at most, so as to go with others:
/// so much, and no more than one [`EARLY_PART`]th of the interval.
pub(crate) const MOST_EARLY: Duration = Duration::from_millis(20);

/// See [`MOST_EARLY`]: of a second 16 milliseconds.
const EARLY_PART: u32 = 64;

/// Some layer 3 switches miss the first burst of announcements: it is repeated with the
/// advertisement of this number, the one an interval after the takeover.
const REPEATED_BURST: u32 = 3;

/// So many intervals one address family has to decide a tie.
const TIE: u32 = 3;

/// How much longer than its lease a kernel may keep an address: it counts in whole seconds.
const LEASE_SLACK: Duration = Duration::from_secs(1);

/// What a MASTER keeps in mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mastership {
    /// When to advertise next.
    pub(super) next: Instant,
    /// Advertisements since the takeover, a round for all families counted once.
    pub(super) rounds: u32,
    /// When the last one was sent.
    pub(super) advertised: UnixTime,
    /// When another master was last answered.
    pub(super) answered: Option<Instant>,
    /// The last tie with another master.
    pub(super) tie: Option<Tie>,
    /// Whether the announcements go out once the kernel has the addresses, or, if it has them, with
    /// the next advertisement.
    pub(super) announce: bool,
    /// Whether the kernel has performed the last takeover.
    pub(super) live: bool,
    /// When the lease of the addresses last started.
    pub(super) renewed: Instant,
    /// Until when the kernel of a master that hangs may still answer for the addresses.
    pub(super) contested: Instant,
}

/// Equal advertisements of another master, none long after the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tie {
    first: Instant,
    last: Instant,
}

impl Tie {
    /// The tie after an equal advertisement at `now`, among masters that advertise once in
    /// `interval`.
    pub(super) fn continued(before: Option<Self>, now: Instant, interval: Interval) -> Self {
        let first = match before {
            Some(tie) if now.since(tie.last) < interval.duration() * TIE => tie.first,
            Some(_) | None => now,
        };
        Self { first, last: now }
    }

    /// Whether it should have been over by now: one of the two does not hear the other's
    /// advertisements of the family that decides.
    pub(super) fn is_stuck(self, interval: Interval) -> bool {
        self.last.since(self.first) >= interval.duration() * TIE
    }
}

impl Mastership {
    /// Nothing advertised yet.
    const fn starting(now: Now) -> Self {
        Self {
            next: now.instant,
            rounds: 0,
            advertised: now.unix,
            answered: None,
            tie: None,
            announce: false,
            live: false,
            renewed: now.instant,
            contested: now.instant,
        }
    }

    /// After a takeover of addresses that others had until now.
    pub(super) fn taken_over(now: Now, advbase: Advbase) -> Self {
        let lease = Duration::from_secs(lease(advbase).into());
        Self {
            announce: true,
            contested: now.instant + lease + LEASE_SLACK,
            ..Self::starting(now)
        }
    }

    /// The same after a restart: whom the announcements were for has had them.
    pub(super) const fn resumed(now: Now) -> Self {
        Self {
            rounds: REPEATED_BURST,
            ..Self::starting(now)
        }
    }
}

impl Vhost {
    /// Gives the addresses back, before anything else can happen; then the bow-out, so that never
    /// two hosts answer.
    pub(super) fn leave(&mut self, reason: Reason, env: &Env<'_>, out: &mut Vec<Action>) {
        out.push(Action::Work(Work::Leave { unit: self.unit }));
        if let (true, Some(link)) = (reason.bows_out(), env.link.filter(|link| link.works())) {
            let claim = Claim::bow_out(self.claim(env).demotion);
            let frames = self.frames(claim, link, env, out);
            let device = link.index;
            out.push(Action::Work(Work::BowOut {
                unit: self.unit,
                device,
                frames,
            }));
        }
    }

    /// As MASTER: advertises, and makes the kernel have all addresses.
    pub(super) fn take(&mut self, env: &Env<'_>, out: &mut Vec<Action>) {
        let Some(link) = env.link else { return };
        self.refused.clear();
        if let State::Master(mastership) = &mut self.state {
            if mastership.live {
                out.push(Action::Updated(self.unit));
            }
            mastership.live = false;
            mastership.renewed = env.now.instant;
        }
        self.advertise(env, out);
        let place = match (self.settings.lladdr, &self.arp) {
            (LinkLayer::Parent, _) => Place::Parent(link.index),
            (LinkLayer::Virtual, ArpDuty::Kernel) => Place::Device,
            (LinkLayer::Virtual, ArpDuty::Carpd { .. }) => Place::SilentDevice,
        };
        self.takes = self.takes.wrapping_add(1);
        out.push(Action::Work(Work::Take {
            unit: self.unit,
            place,
            addresses: self.settings.addresses.clone(),
            lease: lease(self.settings.advbase),
            number: self.takes,
        }));
    }

    /// As MASTER with other addresses, or with others to answer for them: as [`Vhost::take`], and
    /// announces them afterwards.
    pub(super) fn take_anew(&mut self, env: &Env<'_>, out: &mut Vec<Action>) {
        self.announce_again();
        self.take(env, out);
    }

    fn announce_again(&mut self) {
        if let State::Master(mastership) = &mut self.state {
            mastership.announce = true;
        }
    }

    /// The kernel has an address; `true` if it refused that since the last takeover.
    pub(crate) fn has_address(&mut self, address: IpAddr) -> bool {
        let was_refused = self.refused.remove(&address).is_some();
        if was_refused {
            self.announce_again();
        }
        was_refused
    }

    /// Sends one advertisement for each family now, and what goes with it; sets the next one's
    /// time.
    pub(super) fn advertise(&mut self, env: &Env<'_>, out: &mut Vec<Action>) {
        let (State::Master(mastership), Some(link)) = (self.state, env.link) else {
            return;
        };
        let claim = self.claim(env);
        let unit = self.unit;
        let rounds = mastership.rounds.saturating_add(1);
        let lease = lease(self.settings.advbase);
        let renew = mastership.live
            && env.now.instant.since(mastership.renewed) >= Duration::from_secs(lease.into()) / 4;
        // With a MAC of its own, what a neighbour was told by such a kernel stays until it is told
        // otherwise; the virtual MAC is right whoever told it.
        let contested = self.settings.lladdr == LinkLayer::Parent
            && renew
            && mastership.renewed < mastership.contested;
        // Before the advertisement: a better host may take over at that, and what came from the
        // virtual MAC behind it would lead switches back here.
        if mastership.live && (mastership.announce || rounds == REPEATED_BURST || contested) {
            self.announce(link, out);
        }
        for frame in self.frames(claim, link, env, out) {
            out.push(Action::Transmit {
                unit,
                device: link.index,
                frame,
            });
        }
        if renew {
            out.push(Action::Work(Work::Renew { unit, lease }));
        }
        self.state = State::Master(Mastership {
            next: env.now.instant + Interval::new(claim.advbase, claim.advskew).duration(),
            rounds,
            advertised: env.now.unix,
            announce: mastership.announce && !mastership.live,
            renewed: if renew {
                env.now.instant
            } else {
                mastership.renewed
            },
            ..mastership
        });
    }

    /// Whether it may as well advertise now.
    pub(crate) fn is_nearly_due(&self, env: &Env<'_>) -> bool {
        let State::Master(Mastership { next, .. }) = self.state else {
            return false;
        };
        let claim = self.claim(env);
        let interval = Interval::new(claim.advbase, claim.advskew).duration();
        next - (interval / EARLY_PART).min(MOST_EARLY) <= env.now.instant
    }

    /// Announces what the kernel has: not what it refused, nor what is balanced.
    fn announce(&self, link: &Link, out: &mut Vec<Action>) {
        let mut quiet: Vec<IpAddr> = self.refused.keys().copied().collect();
        if let ArpDuty::Carpd { quiet: balanced } = &self.arp {
            quiet.extend(balanced);
        }
        let device = link.index;
        let frames = advertiser::announcement(&self.settings, link, &quiet);
        out.extend(
            frames
                .into_iter()
                .map(|frame| Action::Resolve { device, frame }),
        );
    }

    /// The kernel performed the takeover of this number: if nobody has taken over meanwhile, and no
    /// other one was asked for, the addresses are announced, and there is one more advertisement
    /// soon.
    pub(super) fn settle(
        &mut self,
        mastership: Mastership,
        number: u32,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) {
        let Some(link) = env.link.filter(|_| number == self.takes) else {
            return;
        };
        if mastership.announce {
            self.announce(link, out);
        }
        self.state = State::Master(Mastership {
            announce: false,
            live: true,
            next: mastership.next.min(env.now.instant + SETTLE),
            ..mastership
        });
    }

    fn frames(
        &mut self,
        claim: Claim,
        link: &Link,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) -> Vec<Vec<u8>> {
        let (now, sysctls) = (env.now, env.sysctls);
        self.follow_clock(now, sysctls.replay_window, out);
        let mut frames = Vec::new();
        for family in advertiser::families(&self.settings) {
            let sealing = Sealing {
                now,
                window: sysctls.replay_window,
                spent: self.replay.of_mut(family).sealing(sysctls.replay),
            };
            let frame = self
                .advertiser
                .frame(family, claim, &self.settings, link, sealing);
            frames.extend(frame);
            self.counters.raise(match family {
                Family::V4 => Counter::Opackets,
                Family::V6 => Counter::Opackets6,
            });
        }
        frames
    }

    /// Whether the kernel took the addresses away meanwhile: nobody renewed their lease.
    pub(super) fn overslept(&self, mastership: Mastership, env: &Env<'_>) -> bool {
        let lease = Duration::from_secs(lease(self.settings.advbase).into());
        env.now.instant.since(mastership.renewed) >= lease
    }
}
