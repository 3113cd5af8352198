//! What one virtual host puts on the wire: where from, with which counter and digest.
//!
//! **Invariant:** digests are made of the settings as a whole, so no advertisement can carry half
//! of a change.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::VecDeque;

use crate::dialect::carp::digest::Digests;
use crate::dialect::carp::seal::Seal;
use crate::dialect::carp::spent::Spent;
use crate::family::{Family, PerFamily};
use crate::key::Key;
use crate::link::Link;
use crate::mac::Mac;
use crate::settings::{LinkLayer, Settings};
use crate::time::Now;
use crate::wire::carp::{ADVERTISEMENT, AUTHLEN, BOW_OUT, Header, VERSION};
use crate::wire::frames;

/// How many of our own advertisements are remembered for each family, to know them again.
const REMEMBERED: usize = 8;

/// Who sends an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) source: IpAddr,
    /// The MAC of its physical interface, where it tells hosts apart that advertise from one
    /// source: a virtual address, for want of one of their own.
    pub(crate) host: Option<Mac>,
}

/// What an advertisement says beside who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) advbase: u8,
    pub(crate) advskew: u8,
    pub(crate) demotion: u8,
}

impl Claim {
    /// The last words of a MASTER.
    pub(crate) const fn bow_out(demotion: u8) -> Self {
        Self {
            advbase: BOW_OUT,
            advskew: BOW_OUT,
            demotion,
        }
    }
}

/// What a counter depends on beside what it says.
#[derive(Debug)]
pub(crate) struct Sealing<'a> {
    pub(crate) now: Now,
    /// `net.inet.carp.replay_window`
    pub(crate) window: Duration,
    /// In replay mode 2: what was used before.
    pub(crate) spent: Option<&'a mut Spent>,
}

/// Makes and recognises advertisements of one virtual host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Advertiser {
    digests: Option<Digests>,
    accepted: Option<Digests>,
    seals: PerFamily<Seal>,
    sent: PerFamily<VecDeque<(Sender, u64, [u8; 20])>>,
}

impl Advertiser {
    /// Hashes anew what all advertisements under `settings` have in common.
    pub(crate) fn configure(&mut self, settings: &Settings) {
        let addresses: Vec<IpAddr> = settings.addresses.iter().map(|each| each.address).collect();
        let digests = |key: &Key| {
            settings
                .vhid
                .map(|vhid| Digests::new(key, vhid, &addresses))
        };
        self.accepted = settings.accept_key.as_ref().and_then(digests);
        self.digests = digests(&settings.key);
    }

    /// Whether a host with one of our passwords and our addresses made this header.
    pub(crate) fn verify(&self, header: &Header) -> bool {
        [&self.digests, &self.accepted]
            .into_iter()
            .flatten()
            .any(|digests| digests.verify(header.counter, &header.digest))
    }

    /// Whether we sent this header ourselves, lately. Two equal hosts that become MASTER at one
    /// time make equal headers: only the sender tells them apart.
    pub(crate) fn is_own(&self, family: Family, sender: Sender, header: &Header) -> bool {
        self.sent
            .of(family)
            .contains(&(sender, header.counter, header.digest))
    }

    /// The last counter of `family` that was sealed, or heard where that is followed; 0 before the
    /// first.
    pub(crate) const fn last(&self, family: Family) -> u64 {
        self.seals.of(family).last()
    }

    /// Seals the next counter of `family` greater than `last`, which was heard: in replay mode 2 the rest of the group would refuse the next master if its clock
    /// were behind the last one's.
    pub(crate) fn follow(&mut self, family: Family, last: u64) {
        self.seals.of_mut(family).follow(last);
    }

    /// Seals the next counter of `family` greater than `last`, which was sealed before a restart.
    pub(crate) fn resume(&mut self, family: Family, last: u64) {
        self.seals.of_mut(family).resume(last);
    }

    /// Seals by the clock again if a clock that was ahead of it was followed by more than the replay
    /// window; returns by how much.
    pub(crate) fn follow_clock(&mut self, now: Now, window: Duration) -> Option<Duration> {
        let seals = [&mut self.seals.v4, &mut self.seals.v6];
        let ahead = seals.map(|seal| seal.follow_clock(now.unix, window));
        ahead.into_iter().flatten().max()
    }

    /// Seals the next counter of each family greater than the last one of both: a rival that was
    /// heard by one of them may hear this host by the other alone.
    pub(crate) fn follow_in_all_families(&mut self) {
        let last = Family::ALL.map(|family| self.last(family));
        for family in Family::ALL {
            for last in last {
                self.follow(family, last);
            }
        }
    }

    /// A whole frame; `None` while the virtual host has no vhid.
    pub(crate) fn frame(
        &mut self,
        family: Family,
        claim: Claim,
        settings: &Settings,
        link: &Link,
        sealing: Sealing<'_>,
    ) -> Option<Vec<u8>> {
        let vhid = settings.vhid?;
        let digests = self.digests.as_ref()?;
        let sender = sender(family, settings, link)?;
        let seal = self.seals.of_mut(family);
        let Claim {
            advbase,
            advskew,
            demotion,
        } = claim;
        let Sealing { now, window, spent } = sealing;
        let counter = match spent {
            None => seal.next(now.unix, advbase, advskew, demotion),
            Some(spent) => {
                spent.begin(seal.last());
                let mut counter = seal.next(now.unix, advbase, advskew, demotion);
                // A clock that was set back comes to times again that it has seen.
                while spent.remembers(counter) {
                    counter = seal.next(now.unix, advbase, advskew, demotion);
                }
                spent.add(counter, now, window);
                counter
            }
        };
        let header = Header {
            version: VERSION,
            kind: ADVERTISEMENT,
            vhid: vhid.get(),
            advskew: claim.advskew,
            authlen: AUTHLEN,
            demotion: claim.demotion,
            advbase: claim.advbase,
            counter,
            digest: digests.digest(counter),
        };
        let sent = self.sent.of_mut(family);
        if sent.len() == REMEMBERED {
            sent.pop_front();
        }
        sent.push_back((sender, counter, header.digest));
        let (mac, Sender { source, host }) = (mac(settings, link)?, sender);
        Some(match host {
            None => frames::advertisement(mac, source, &header),
            Some(host) => frames::advertisement_of(mac, source, host, &header),
        })
    }
}

/// The link-layer address of the virtual addresses; `None` while there is no vhid.
pub(crate) fn mac(settings: &Settings, link: &Link) -> Option<Mac> {
    match settings.lladdr {
        LinkLayer::Virtual => settings.vhid.map(Mac::virtual_of),
        LinkLayer::Parent => Some(link.mac),
    }
}

/// The frames that tell the segment where the virtual addresses are: a gratuitous ARP reply or an
/// unsolicited neighbour advertisement for each, but for those in `quiet`.
pub(crate) fn announcement(settings: &Settings, link: &Link, quiet: &[IpAddr]) -> Vec<Vec<u8>> {
    let Some(mac) = mac(settings, link) else {
        return Vec::new();
    };
    let mut frames = Vec::new();
    for address in settings.addresses.iter().map(|each| each.address) {
        match address {
            _ if quiet.contains(&address) => {}
            IpAddr::V4(address) => {
                frames.push(frames::gratuitous_arp_reply(mac, address));
                match settings.lladdr {
                    // Where the MAC really changes, some stacks heed only the request form.
                    LinkLayer::Parent => frames.push(frames::gratuitous_arp_request(mac, address)),
                    // It would be answered by a leaving master, with the virtual MAC as source.
                    LinkLayer::Virtual => {}
                }
            }
            IpAddr::V6(address) => frames.push(frames::neighbour_advertisement(mac, address)),
        }
    }
    frames
}

/// The families that `settings` have addresses of.
pub(crate) fn families(settings: &Settings) -> impl Iterator<Item = Family> {
    let has = |family| {
        settings
            .addresses
            .iter()
            .any(|each| Family::of(each.address) == family)
    };
    let present = Family::ALL.map(|family| has(family).then_some(family));
    present.into_iter().flatten()
}

/// The source of advertisements of `family`: for IPv4 the physical interface's address in whose
/// subnet a virtual address is, for IPv6 its link-local one; else any of its addresses, else the
/// first virtual one. `None` only if there is no address of `family`.
fn source(family: Family, settings: &Settings, link: &Link) -> Option<IpAddr> {
    let virtuals = || {
        settings
            .addresses
            .iter()
            .map(|each| each.address)
            .filter(|each| Family::of(*each) == family)
    };
    let own = || {
        link.addresses
            .iter()
            .filter(|own| Family::of(own.address) == family)
    };
    let preferred = match family {
        Family::V4 => virtuals().find_map(|address| backing(address, link)),
        Family::V6 => own().map(|own| own.address).find(is_link_local),
    };
    preferred
        .or_else(|| own().map(|own| own.address).next())
        .or_else(|| virtuals().next())
}

/// Who sends our advertisements of `family`.
pub(crate) fn sender(family: Family, settings: &Settings, link: &Link) -> Option<Sender> {
    let source = source(family, settings, link)?;
    let is_virtual = settings.addresses.iter().any(|each| each.address == source);
    Some(Sender {
        source,
        host: is_virtual.then_some(link.mac),
    })
}

/// The address of `link` whose subnet holds `address`; the longest prefix if there are several.
pub(crate) fn backing(address: IpAddr, link: &Link) -> Option<IpAddr> {
    link.addresses
        .iter()
        .filter(|own| own.holds(address))
        .max_by_key(|own| own.prefix)
        .map(|own| own.address)
}

/// Whether one of the virtual addresses is the physical interface's own too.
pub(crate) fn is_owner(settings: &Settings, link: &Link) -> bool {
    settings.addresses.iter().any(|each| link.has(each.address))
}

/// Whether an address says nothing about the network that it is in.
pub(crate) fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
