//! Host of a segment: an engine and its kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use carp_proto::wire::carp::Header;
use carp_proto::wire::ethernet::{ETHERTYPE_ARP, Frame};
use carp_proto::{
    Counter, DeviceAddress, DeviceName, Engine, IfIndex, Instant, Lease, LeasedOn, Link, Mac,
    Notice, Now, Place, SavedState, StateName, Unit, UnixTime, Work,
};

use super::KERNEL;
use super::bsd::Bsd;
use super::observer::{Clock, Observer};

/// Start of the simulation in microseconds of Unix time.
const START: u64 = 1_700_000_000_000_000;

#[derive(Clone)]
pub(crate) struct Host {
    pub(super) name: &'static str,
    /// `None` while carpd does not run.
    pub(super) engine: Option<Engine>,
    /// Rules of another system instead of an engine.
    pub(super) bsd: Option<Bsd>,
    pub(super) links: BTreeMap<IfIndex, Link>,
    pub(super) kernel: Kernel,
    pub(super) attached: BTreeSet<IfIndex>,
    pub(super) arp: BTreeSet<IfIndex>,
    pub(super) notices: Vec<Notice>,
    pub(super) observer: Observer,
    pub(super) clock_offset: i64,
    pub(super) frozen: bool,
    pub(super) mute: bool,
    /// Its interfaces are pulled out.
    pub(super) pulled_out: bool,
    /// Content of the file of run-time state.
    pub(super) saved: SavedState,
    /// Last advertisement that was accepted, and its time.
    pub(super) heard: Option<(Instant, Header)>,
    /// Time of the last change of state of a carp interface.
    pub(super) changed: Instant,
    /// Time at which the kernel completes its work.
    busy: Instant,
}

impl Host {
    pub(super) fn new(name: &'static str, number: u8, wires: &[IfIndex]) -> Self {
        let nets = [[192, 0, 2], [198, 51, 100]];
        let links = wires.iter().zip(nets).map(|(index, [a, b, c])| {
            let link = Link {
                index: *index,
                name: DeviceName::new(&format!("eth{}", index.0 - 1)).unwrap(),
                other_names: Vec::new(),
                mac: Mac([2, 0, 0, 0, index.0.to_be_bytes()[3], number]),
                mtu: 1500,
                capable: true,
                up: true,
                carrier: true,
                addresses: vec![
                    DeviceAddress {
                        address: IpAddr::from([a, b, c, number]),
                        prefix: 24,
                    },
                    DeviceAddress {
                        address: IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, u16::from(number)]),
                        prefix: 64,
                    },
                    DeviceAddress {
                        address: IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(number)]),
                        prefix: 64,
                    },
                ],
            };
            (*index, link)
        });
        Self {
            name,
            engine: None,
            bsd: None,
            links: links.collect(),
            kernel: Kernel::default(),
            attached: BTreeSet::new(),
            arp: BTreeSet::new(),
            notices: Vec::new(),
            observer: Observer::default(),
            clock_offset: 0,
            frozen: false,
            mute: false,
            pulled_out: false,
            saved: SavedState::default(),
            heard: None,
            changed: Instant::ZERO,
            busy: Instant::ZERO,
        }
    }

    /// Number of advertisements that its engine refused.
    pub(super) fn refused(&self) -> Option<u64> {
        let engine = self.engine.as_ref()?;
        Some(engine.totals().of(Counter::Badauth))
    }

    pub(super) fn now(&self, instant: Instant) -> Now {
        let unix = START + instant.micros();
        Now {
            instant,
            unix: UnixTime::from_micros(unix.saturating_add_signed(self.clock_offset)),
        }
    }

    /// Its clock, for its observer.
    pub(super) fn clock(&self, instant: Instant) -> Clock {
        let sysctls = self.engine.as_ref().map(Engine::sysctls);
        let sysctls = sysctls.unwrap_or(self.saved.sysctls);
        Clock {
            now: self.now(instant).unix,
            window: sysctls.replay_window,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        if let Some(bsd) = &self.bsd {
            return Some(bsd.deadline());
        }
        self.engine.as_ref().filter(|_| !self.frozen)?.deadline()
    }

    pub(super) fn units(&self) -> Vec<Unit> {
        self.engine.iter().flat_map(Engine::units).collect()
    }

    pub(super) fn state(&self, unit: Unit) -> Option<StateName> {
        if let Some(bsd) = &self.bsd {
            return Some(bsd.state());
        }
        Some(
            self.engine
                .as_ref()?
                .status(unit, self.now(Instant::ZERO))?
                .state,
        )
    }

    pub(super) fn is_plugged(&self, device: IfIndex) -> bool {
        !self.pulled_out && self.links.get(&device).is_some_and(Link::works)
    }

    /// Returns true if carpd receives a frame.
    pub(super) fn hears(&self, device: IfIndex, frame: &[u8]) -> bool {
        let arp = Frame::parse(frame).is_some_and(|frame| frame.ethertype == ETHERTYPE_ARP);
        let devices = if arp { &self.arp } else { &self.attached };
        if self.bsd.is_some() {
            return self.is_plugged(device);
        }
        !self.frozen && self.is_plugged(device) && devices.contains(&device)
    }

    pub(super) fn listen_arp(&mut self, device: IfIndex, on: bool) {
        let changed = if on {
            self.arp.insert(device)
        } else {
            self.arp.remove(&device)
        };
        assert!(changed, "ListenArp repeated");
    }

    /// Queues work, first in, first out, and returns the time at which it is completed.
    pub(super) fn queue_work(&mut self, now: Instant) -> Instant {
        self.busy = self.busy.max(now) + KERNEL;
        self.busy
    }

    /// Returns true if the kernel has work to do.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        self.busy >= now
    }
}

/// A kernel with its devices and addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kernel {
    devices: BTreeMap<Unit, Mac>,
    /// Addresses of each unit, and the end of their lease.
    leases: BTreeMap<Unit, (Vec<IpAddr>, Instant)>,
}

impl Kernel {
    pub(super) fn perform(&mut self, work: Work, now: Instant) {
        let end = |lease: u32| now + Duration::from_secs(lease.into());
        match work {
            Work::Ensure { unit, mac, .. } => {
                self.devices.insert(unit, mac);
                self.leases.remove(&unit);
            }
            Work::Take {
                unit,
                place,
                addresses,
                lease,
                number: _,
            } => {
                match place {
                    Place::Device | Place::SilentDevice => {
                        assert!(self.devices.contains_key(&unit), "no device to take them");
                    }
                    Place::Parent(_) => {}
                }
                assert!(lease >= 2, "a lease of {lease} s");
                let addresses = addresses.into_iter().map(|each| each.address).collect();
                self.leases.insert(unit, (addresses, end(lease)));
            }
            Work::Renew { unit, lease } => {
                if let Some((_, ends)) = self.leases.get_mut(&unit).filter(|it| it.1 > now) {
                    *ends = end(lease);
                }
            }
            Work::Leave { unit } => {
                self.leases.remove(&unit);
            }
            Work::Down { unit } => {
                assert!(
                    !self.leases.contains_key(&unit),
                    "taken down with addresses"
                );
            }
            Work::Remove { unit } => {
                assert!(!self.leases.contains_key(&unit), "removed with addresses");
                self.devices.remove(&unit);
            }
            Work::BowOut { .. } => panic!("not the kernel's: {work:?}"),
        }
    }

    /// Leases that carpd finds at its start.
    pub(super) fn found(&self, saved: &SavedState, now: Instant) -> BTreeSet<Lease> {
        let mut found = BTreeSet::new();
        for (unit, (held, _)) in self.leases.iter().filter(|(_, (_, end))| *end > now) {
            let Some(mac) = self.devices.get(unit).copied() else {
                continue;
            };
            let on = LeasedOn::Device {
                unit: *unit,
                parent: super::ETH0,
                mac,
            };
            let known = saved.interfaces.get(unit).into_iter();
            let addresses = known.flat_map(|known| known.settings.addresses.iter());
            let held = addresses.filter(|each| held.contains(&each.address));
            found.extend(held.map(|address| Lease {
                on,
                address: address.address,
            }));
        }
        found
    }

    /// Addresses of all units, and the ends of their leases.
    pub(super) fn leases(&self) -> impl Iterator<Item = (&[IpAddr], Instant)> {
        self.leases.values().map(|(held, end)| (&held[..], *end))
    }

    /// All its virtual addresses.
    pub(super) fn addresses(&self, now: Instant) -> impl Iterator<Item = IpAddr> {
        let held = self.leases.values().filter(move |(_, end)| *end > now);
        held.flat_map(|(addresses, _)| addresses.iter().copied())
    }

    /// Its addresses for `unit`.
    pub(super) fn addresses_of(&self, unit: Unit, now: Instant) -> &[IpAddr] {
        match self.leases.get(&unit) {
            Some((addresses, end)) if *end > now => addresses,
            Some(_) | None => &[],
        }
    }
}
