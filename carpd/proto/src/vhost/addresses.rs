//! Virtual addresses of a MASTER: taking, announcing and releasing them.

use core::net::IpAddr;
use core::time::Duration;

use super::mastership::Mastership;
use super::{ArpResponder, Env, State, Vhost};
use crate::action::{Action, Place, Work};
use crate::announcement::announcement;
use crate::claim::Claim;
use crate::election::lease_seconds;
use crate::link::Link;
use crate::reason::Reason;
use crate::settings::LinkLayer;

/// Time from the announcements of a new MASTER to one more advertisement, which is then the last frame
/// from which switches learn the port of the virtual MAC.
const ANNOUNCED_TO_ADVERTISED: Duration = Duration::from_millis(50);

impl Vhost {
    /// As MASTER: advertises, and orders the kernel to have all addresses.
    pub(super) fn take_addresses(&mut self, env: &Env<'_>, out: &mut Vec<Action>) {
        let Some(link) = env.link else { return };
        self.refused_addresses.clear();
        if let State::Master(mastership) = &mut self.state {
            if mastership.is_live {
                out.push(Action::Updated(self.unit));
            }
            mastership.is_live = false;
            mastership.renewed = env.now.instant;
        }
        self.advertise(env, out);
        let place = match (self.settings.lladdr, &self.arp_responder) {
            (LinkLayer::Parent, _) => Place::Parent(link.index),
            (LinkLayer::Virtual, ArpResponder::Kernel) => Place::Device,
            (LinkLayer::Virtual, ArpResponder::Carpd { .. }) => Place::SilentDevice,
        };
        self.takeovers = self.takeovers.wrapping_add(1);
        out.push(Action::Work(Work::Take {
            unit: self.unit,
            place,
            addresses: self.settings.addresses.clone(),
            lease: lease_seconds(self.settings.advbase),
            number: self.takeovers,
        }));
    }

    /// As MASTER whose addresses, or their ARP responder, changed: takes and announces them again.
    pub(super) fn retake_addresses(&mut self, env: &Env<'_>, out: &mut Vec<Action>) {
        self.announce_again();
        self.take_addresses(env, out);
    }

    /// The kernel completed takeover `number`. Unless it is outdated, the addresses are announced, and
    /// an advertisement follows soon.
    pub(super) fn addresses_taken(
        &mut self,
        mastership: Mastership,
        number: u32,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) {
        let Some(link) = env.link.filter(|_| number == self.takeovers) else {
            return;
        };
        if mastership.must_announce {
            self.announce(link, out);
        }
        self.state = State::Master(Mastership {
            must_announce: false,
            is_live: true,
            next: mastership
                .next
                .min(env.now.instant + ANNOUNCED_TO_ADVERTISED),
            ..mastership
        });
    }

    /// The kernel has `address`. Returns true if it refused it since the last takeover.
    pub(crate) fn address_granted(&mut self, address: IpAddr) -> bool {
        let was_refused = self.refused_addresses.remove(&address).is_some();
        if was_refused {
            self.announce_again();
        }
        was_refused
    }

    /// Announces the addresses that the kernel has, except those that are balanced.
    pub(super) fn announce(&self, link: &Link, out: &mut Vec<Action>) {
        let mut except: Vec<IpAddr> = self.refused_addresses.keys().copied().collect();
        if let ArpResponder::Carpd { balanced } = &self.arp_responder {
            except.extend(balanced);
        }
        let device = link.index;
        let frames = announcement(&self.settings, link, &except);
        out.extend(
            frames
                .into_iter()
                .map(|frame| Action::Resolve { device, frame }),
        );
    }

    /// Releases the addresses, and then bows out, so that two hosts never answer for them.
    pub(super) fn release_addresses(
        &mut self,
        reason: Reason,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) {
        let unit = self.unit;
        out.push(Action::Work(Work::Leave { unit }));
        if let (true, Some(link)) = (reason.bows_out(), env.link.filter(|link| link.works())) {
            let claim = Claim {
                bows_out: true,
                ..self.claim(env)
            };
            let frames = self.frames(claim, link, env, out);
            out.push(Action::Work(Work::BowOut {
                unit,
                device: link.index,
                frames,
            }));
        }
    }

    const fn announce_again(&mut self) {
        if let State::Master(mastership) = &mut self.state {
            mastership.must_announce = true;
        }
    }
}
