//! Rules that hold for each host and each input.
//!
//! - Bytes with a wrong digest change no state, move no address and get no answer.
//! - The kernel has the addresses exactly while MASTER. Each transition starts in the state in which the last
//!   one ended.
//! - Each advertisement that is sent verifies under the present settings, and its counter grows.
//! - A packet is counted once, and refused for at most one reason. No counter goes back.
//! - A request has one answer. One that is refused changes nothing.
//! - No deadline stays due.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carp_proto::wire::carp::{GROUP_V4, GROUP_V6, Header, TTL, VERSION, parse_host};
use carp_proto::wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame};
use carp_proto::wire::{ipv4, ipv6};
use carp_proto::{
    Action, Counter, Counters, DeviceName, Digests, Engine, IfIndex, Input, Now, Request, Sealed,
    Settings, StateName, Sysctl, Unit, Vhid, Work,
};

/// State of the host before an input, and of its kernel.
#[derive(Default)]
pub(super) struct Judge {
    states: BTreeMap<Unit, StateName>,
    /// Carp interfaces whose addresses the kernel has.
    held: BTreeSet<Unit>,
    /// Number of the last takeover of each interface.
    takeovers: BTreeMap<Unit, u32>,
    /// Last counter of each interface and family since its creation.
    sealed: BTreeMap<(Unit, bool), u64>,
    own: BTreeMap<IfIndex, Vec<IpAddr>>,
    settings: BTreeMap<Unit, Settings>,
    totals: Counters,
    suppress: u64,
    overdue: bool,
    believable: bool,
}

impl Judge {
    /// Number of the last takeover of an interface.
    pub(super) fn takeover(&self, unit: Unit) -> u32 {
        self.takeovers.get(&unit).copied().unwrap_or_default()
    }

    /// Records the host before an input.
    pub(super) fn before(&mut self, engine: &Engine, input: &Input<'_>, now: Now) {
        self.settings = settings(engine);
        self.totals = engine.totals();
        self.suppress = engine.get(Sysctl::SuppressPreempt);
        self.overdue = engine.deadline().is_some_and(|at| at < now.instant);
        self.believable = match input {
            Input::Packet { device, frame } => self.believes(engine, *device, frame, now),
            Input::Link(link) => {
                let addresses = link.addresses.iter().map(|own| own.address);
                self.own.insert(link.index, addresses.collect());
                true
            }
            Input::LinkGone(index) => {
                self.own.remove(index);
                true
            }
            _ => true,
        };
    }

    /// Checks the actions of an input.
    pub(super) fn after(
        &mut self,
        engine: &Engine,
        input: &Input<'_>,
        actions: &[Action],
        now: Now,
    ) {
        if !self.believable {
            for action in actions {
                let harmless = matches!(action, Action::Notice(_) | Action::Resolve { .. });
                assert!(harmless, "an unauthentic packet: {action:?}");
            }
            assert_eq!(settings(engine), self.settings);
        }
        for action in actions {
            self.performed(engine, action, now);
        }
        self.check_states(engine, now);
        self.check_counters(engine, input);
        self.check_answers(engine, input, actions);
        let due = engine.deadline().is_some_and(|at| at <= now.instant);
        match input {
            Input::Deadline => assert!(!due, "still due"),
            _ => assert!(
                engine.deadline().is_none_or(|at| at >= now.instant) || self.overdue,
                "a deadline in the past"
            ),
        }
    }

    fn performed(&mut self, engine: &Engine, action: &Action, now: Now) {
        match action {
            Action::Transmit { unit, frame, .. } => self.sent(engine, *unit, frame, now, false),
            Action::Work(work) => match work {
                Work::Take {
                    unit,
                    addresses,
                    lease,
                    number,
                    ..
                } => {
                    assert!(*lease >= 2 && !addresses.is_empty());
                    self.takeovers.insert(*unit, *number);
                    self.held.insert(*unit);
                }
                Work::Leave { unit } | Work::Down { unit } | Work::Remove { unit } => {
                    self.held.remove(unit);
                }
                Work::BowOut { unit, frames, .. } => {
                    assert!(!self.held.contains(unit), "a bow-out before the end");
                    for frame in frames {
                        self.sent(engine, *unit, frame, now, true);
                    }
                }
                Work::Renew { unit, .. } => {
                    assert!(self.held.contains(unit), "{work:?} without addresses");
                }
                Work::Ensure { .. } => {}
            },
            Action::Created(unit) => {
                let before = self.states.insert(*unit, StateName::Init);
                assert_eq!(before, None, "{unit} is created twice");
            }
            Action::Destroyed(unit) => {
                assert_eq!(self.states.remove(unit), Some(StateName::Init));
                self.held.remove(unit);
                self.sealed.retain(|(other, _), _| other != unit);
            }
            Action::Changed(transition) => {
                let before = self.states.insert(transition.unit, transition.to);
                assert_eq!(before, Some(transition.from), "{transition:?}");
                assert_ne!(transition.from, transition.to);
                assert_ne!(
                    (transition.from, transition.to),
                    (StateName::Init, StateName::Master)
                );
            }
            _ => {}
        }
    }

    fn sent(&mut self, engine: &Engine, unit: Unit, frame: &[u8], now: Now, bow_out: bool) {
        let (v4, _, ttl, payload) = packet(frame).expect("our own frame can be read");
        let header = Header::parse(&payload).unwrap();
        assert_eq!((ttl, header.version), (TTL, VERSION));
        let has_host = payload.len() == 44 && parse_host(&payload).is_some();
        assert!(payload.len() == 36 || has_host, "{payload:x?}");
        assert_eq!(header.is_bow_out(), bow_out);
        let before = self.settings.get(&unit);
        let settings = [before, engine.settings(unit)].into_iter().flatten();
        let right = settings.into_iter().any(|settings| {
            let digests = digests(settings, &settings.key);
            digests.is_some_and(|digests| digests.digest(header.counter) == header.digest)
                && settings.vhid.map(Vhid::get) == Some(header.vhid)
        });
        assert!(right, "sent under no settings that were in force");
        let last = self.sealed.entry((unit, v4)).or_default();
        // The 32 bits of seconds end in 2106: see `Seal::next`.
        let is_last = *last >> 24 == (1 << 40) - 1;
        let window = engine.sysctls().replay_window;
        let is_ahead = |counter| Sealed::open(counter).is_ahead(now.unix, window);
        let grows = header.counter > *last || is_last || is_ahead(*last);
        assert!(grows, "a counter that does not grow");
        assert!(!is_ahead(header.counter), "a counter too far ahead");
        *last = header.counter;
    }

    fn check_states(&self, engine: &Engine, now: Now) {
        let mut running = BTreeSet::new();
        let units: Vec<Unit> = engine.units().collect();
        assert!(self.states.keys().eq(&units), "not all were announced");
        let suppress = engine.get(Sysctl::SuppressPreempt);
        assert_eq!(engine.suppressions().count() as u64, suppress);
        for unit in units {
            let status = engine.status(unit, now).unwrap();
            assert_eq!(self.states.get(&unit), Some(&status.state));
            let master = status.state == StateName::Master;
            assert_eq!(self.held.contains(&unit), master, "{unit}");
            assert_eq!(u64::from(status.demotion), suppress.min(255));
            assert!(suppress == 0 || status.effective_advskew >= 240);
            if status.state != StateName::Init {
                let (index, _): (IfIndex, DeviceName) = status.device.unwrap();
                assert!(running.insert((index, status.vhid)), "a vhid runs twice");
            }
        }
    }

    fn check_counters(&self, engine: &Engine, input: &Input<'_>) {
        let grown = |counter| {
            let (before, after) = (self.totals.of(counter), engine.totals().of(counter));
            after.checked_sub(before).expect("a counter went back")
        };
        if let Input::Request(_, Request::ResetStatistics) = input {
            return;
        }
        let all: BTreeMap<_, u64> = Counter::ALL.map(|each| (each, grown(each))).into();
        if let Input::Packet { .. } = input {
            assert!(all[&Counter::Ipackets] + all[&Counter::Ipackets6] <= 1);
            let refused: u64 = [
                Counter::Badif,
                Counter::Badttl,
                Counter::Hdrops,
                Counter::Badsum,
                Counter::Badver,
                Counter::Badlen,
                Counter::Badauth,
                Counter::Badvhid,
            ]
            .iter()
            .map(|each| all[each])
            .sum();
            assert!(refused <= 1, "{all:?}");
        } else {
            assert_eq!(all[&Counter::Ipackets] + all[&Counter::Ipackets6], 0);
        }
    }

    fn check_answers(&self, engine: &Engine, input: &Input<'_>, actions: &[Action]) {
        let answers: Vec<_> = actions
            .iter()
            .filter_map(|action| match action {
                Action::Answer(id, answer) => Some((*id, answer)),
                _ => None,
            })
            .collect();
        match (input, &answers[..]) {
            (Input::Request(id, _), [(answered, answer)]) => {
                assert_eq!(id, answered);
                if let Err(refusal) = answer {
                    assert_eq!(actions.len(), 1, "{refusal} and yet something happened");
                    assert_eq!(settings(engine), self.settings);
                    assert!(
                        !refusal.message.chars().any(char::is_control),
                        "{refusal:?}"
                    );
                }
            }
            (Input::Request(..), _) => panic!("{} answers", answers.len()),
            (_, []) => {}
            (_, _) => panic!("an answer without a request"),
        }
    }

    /// Returns true if the host may act on these bytes, because they come from a host of its groups.
    fn believes(&self, engine: &Engine, device: IfIndex, frame: &[u8], now: Now) -> bool {
        let Some((_, destination, ttl, payload)) = packet(frame) else {
            return false;
        };
        let own = self
            .own
            .get(&device)
            .is_some_and(|own| own.contains(&destination));
        let groups = [IpAddr::from(GROUP_V4), IpAddr::from(GROUP_V6)];
        let Ok(header) = Header::parse(&payload) else {
            return false;
        };
        (own || groups.contains(&destination))
            && ttl == TTL
            && header.version == VERSION
            && engine.units().any(|unit| {
                let status = engine.status(unit, now).unwrap();
                let settings = engine.settings(unit).unwrap();
                let keys = [Some(&settings.key), settings.accept_key.as_ref()];
                status.state != StateName::Init
                    && status.vhid.map(Vhid::get) == Some(header.vhid)
                    && status.device.is_some_and(|(index, _)| index == device)
                    && keys.into_iter().flatten().any(|key| {
                        digests(settings, key)
                            .is_some_and(|digests| digests.verify(header.counter, &header.digest))
                    })
            })
    }
}

fn settings(engine: &Engine) -> BTreeMap<Unit, Settings> {
    let of = |unit| Some((unit, engine.settings(unit)?.clone()));
    engine.units().filter_map(of).collect()
}

fn digests(settings: &Settings, key: &carp_proto::Key) -> Option<Digests> {
    let addresses: Vec<IpAddr> = settings.addresses.iter().map(|each| each.address).collect();
    settings
        .vhid
        .map(|vhid| Digests::new(key, vhid, &addresses))
}

/// Family, destination, TTL and payload of an IP packet of protocol 112.
fn packet(frame: &[u8]) -> Option<(bool, IpAddr, u8, Vec<u8>)> {
    let frame = Frame::parse(frame)?;
    match frame.ethertype {
        ETHERTYPE_IPV4 => {
            let packet = ipv4::Packet::parse(frame.payload).ok()?;
            let carp = packet.protocol == carp_proto::wire::carp::PROTOCOL;
            let payload = packet.payload.to_vec();
            carp.then(|| (true, packet.destination.into(), packet.ttl, payload))
        }
        ETHERTYPE_IPV6 => {
            let packet = ipv6::Packet::parse(frame.payload).ok()?;
            let carp = packet.next_header == carp_proto::wire::carp::PROTOCOL;
            let payload = packet.payload.to_vec();
            carp.then(|| (false, packet.destination.into(), packet.hop_limit, payload))
        }
        _ => None,
    }
}
